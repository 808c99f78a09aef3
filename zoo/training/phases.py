"""Phases, and the one step that runs them: supervised training, GANs and reinforcement learning alike."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from zoo.optim import Schedule, apply_schedule
from zoo.training.checkpoint import random_state, restore_random_state
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe

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

    An optimizer that searches says so by `needs_closure`, one that asks for the curvature by `needs_graph`.
    """

    name: str
    module: nn.Module
    optimizer: Optimizer
    losses: Callable[[Batch], Losses]
    every: int = 1
    schedule: Schedule | None = None
    clip_norm: float | None = None
    searches: bool = field(init=False)
    needs_graph: bool = field(init=False)

    def __post_init__(self) -> None:
        self.searches = getattr(self.optimizer, "needs_closure", False)
        self.needs_graph = getattr(self.optimizer, "needs_graph", False)


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
    if phase.searches:
        losses = _search(phase, batches, shares, engine)
    elif phase.needs_graph:
        with _differentiable_twice():
            losses = _collect_gradients(phase, batches, shares, engine)
        engine.step(phase.module, phase.optimizer, clip_norm=phase.clip_norm)
    else:
        losses = _collect_gradients(phase, batches, shares, engine)
        engine.step(phase.module, phase.optimizer, clip_norm=phase.clip_norm)
    logs.update(losses if alone else {f"{phase.name}/{key}": value for key, value in losses.items()})


def _collect_gradients(
    phase: Phase, batches: Sequence[Batch], shares: Sequence[Share] | None, engine: Engine
) -> dict[str, Tensor]:
    """Leaves the gradients over all batches in the module, and returns the losses over all of them."""
    totals: dict[str, Tensor] = {}
    last = len(batches) - 1
    for index, batch in enumerate(batches):
        with engine.synchronise_gradients(phase.module, enabled=index == last):
            losses = phase.losses(batch)
            share = None if shares is None else shares[index]
            loss = losses["loss"] if share is None else losses["loss"] * share.loss
            if phase.needs_graph:
                engine.backward(loss, create_graph=True)
                phase.optimizer.take_curvature(engine.backward)  # type: ignore[attr-defined]
            else:
                engine.backward(loss)
        for key, value in losses.items():
            value = value.detach()
            if share is not None:
                value = value * (share.loss if key == "loss" else share.rows)
            totals[key] = value if index == 0 else totals[key] + value
    return totals


def _search(
    phase: Phase, batches: Sequence[Batch], shares: Sequence[Share] | None, engine: Engine
) -> dict[str, Tensor]:
    """Lets the optimizer evaluate the loss over all batches as often as it likes; the losses before its step.

    Every evaluation draws the same random numbers, so that dropout leaves out the same units and the loss is a function
    of the weights. What normalisation layers collect is collected at every evaluation.
    """
    before = random_state()
    first: dict[str, Tensor] = {}

    def closure() -> Tensor:
        restore_random_state(before)
        phase.optimizer.zero_grad(set_to_none=True)
        losses = _collect_gradients(phase, batches, shares, engine)
        if not first:
            first.update(losses)
        return losses["loss"]

    phase.optimizer.step(closure)  # type: ignore[arg-type]  # torch's stubs want a float, its optimizers take a tensor
    phase.optimizer.zero_grad(set_to_none=True)
    return first


@contextmanager
def _differentiable_twice() -> Iterator[None]:
    """Inside, attention takes the kernel whose gradient has a gradient, and torch does not warn of kept graphs."""
    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
        yield


def check_optimizer(optimizer: Optimizer, recipe: Recipe) -> None:
    """Raises ValueError for a recipe that the optimizer cannot follow: one of second order cannot follow all."""
    searches = getattr(optimizer, "needs_closure", False)
    if not (searches or getattr(optimizer, "needs_graph", False)):
        return
    name = recipe.optimizer
    if recipe.precision == "16-mixed":
        raise ValueError(f"{name} cannot take scaled gradients: use precision 32-true or bf16-mixed, not 16-mixed.")
    if recipe.devices * recipe.num_nodes > 1 or recipe.parallel == "fsdp":
        raise ValueError(f"{name} works in one process on whole parameters: use devices=1, and no parallel='fsdp'.")
    if searches and any(stage.lr_decay < 1 for stage in recipe.stages):
        raise ValueError(f"{name} takes one rate for all layers: use body_lr_ratio=1, or lr_decay=1 of the stage.")
    if searches and (recipe.l1 or recipe.l2):
        raise ValueError(f"{name} searches along the loss alone: use weight_decay, its L2 penalty, not l1 or l2.")
    if searches and recipe.clip_norm is not None:
        raise ValueError(
            f"{name} needs the gradients of the loss itself, which clipped ones are not: leave clip_norm out."
        )
    if not searches and recipe.compile:
        raise ValueError(f"{name} differentiates twice, which torch.compile cannot: use compile=False.")


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
