"""Phases, and the one step that runs them: supervised training, GANs and reinforcement learning alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.optim import Schedule, apply_schedule
from zoo.training.engine import Engine

Batch = Any
Losses = Mapping[str, Tensor]


@dataclass(frozen=True)
class Share:
    """What the means of one batch count in the whole of several batches or processes.

    loss: by what the loss is a mean over, such as class weights; rows: by the number of rows, for all else.
    """

    loss: float | Tensor
    rows: float | Tensor


@dataclass
class Phase:
    """One optimizer's share of a training step.

    module:   the only module that the phase changes.
    losses:   `(batch) -> {"loss": [], ...}`, each a mean over the batch; "loss" is minimised, the rest is logged.
    every:    steps from one turn of the phase to the next.
    schedule: learning rate as a function of the step, its own turns or not, or None for a constant one.
    clip_norm: largest L2 norm of all the module's gradients together, or None.
    """

    name: str
    module: nn.Module
    optimizer: Optimizer
    losses: Callable[[Batch], Losses]
    every: int = 1
    schedule: Schedule | None = None
    clip_norm: float | None = None


def run_step(
    phases: Sequence[Phase],
    batches: Sequence[Batch],
    *,
    step: int,
    engine: Engine,
    shares: Sequence[Share] | None = None,
) -> dict[str, Tensor]:
    """Lets each phase whose turn it is change its module once, with the gradient over all of `batches`.

    step:    counts from 0.
    shares:  of each batch, so that several batches equal one large one; None for one batch in one process.
    Returns: the losses by name, detached, on the device; nothing here waits for the device.
    """
    logs: dict[str, Tensor] = {}
    alone = len(phases) == 1
    for phase in phases:
        if step % phase.every:
            continue
        if phase.schedule is not None:
            apply_schedule(phase.optimizer, phase.schedule, step)
        if alone:
            _run_phase(phase, batches, shares, engine, logs, alone)
        else:
            with only_trainable(phase, phases):
                _run_phase(phase, batches, shares, engine, logs, alone)
    return logs


def _run_phase(
    phase: Phase,
    batches: Sequence[Batch],
    shares: Sequence[Share] | None,
    engine: Engine,
    logs: dict[str, Tensor],
    alone: bool,
) -> None:
    last = len(batches) - 1
    for index, batch in enumerate(batches):
        with engine.synchronise_gradients(phase.module, enabled=index == last):
            losses = phase.losses(batch)
            share = None if shares is None else shares[index]
            engine.backward(losses["loss"] if share is None else losses["loss"] * share.loss)
        for key, value in losses.items():
            name = key if alone else f"{phase.name}/{key}"
            value = value.detach()
            if share is not None:
                value = value * (share.loss if key == "loss" else share.rows)
            logs[name] = value if index == 0 else logs[name] + value
    engine.step(phase.module, phase.optimizer, clip_norm=phase.clip_norm)


@contextmanager
def only_trainable(phase: Phase, phases: Sequence[Phase]) -> Iterator[None]:
    """Inside, no parameter of another phase's module takes a gradient; afterwards all do as before."""
    own = {id(parameter) for parameter in phase.module.parameters()}
    paused = [
        parameter
        for other in phases
        for parameter in other.module.parameters()
        if id(parameter) not in own and parameter.requires_grad
    ]
    for parameter in paused:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in paused:
            parameter.requires_grad_(True)
