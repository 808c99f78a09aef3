"""Averages of the weights over the steps or epochs, which are judged and kept in place of the last weights."""

import math
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.training.callbacks import Callback
from zoo.training.checkpoint import random_state, restore_random_state, seed_everything
from zoo.training.sharding import placed_like

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo.training.trainer import Trainer

BatchNorm = nn.modules.batchnorm._BatchNorm


class AveragedWeights(Callback):
    """Keeps an average of the model's weights beside them; a subclass says when it moves.

    average: by the names of the model's state; empty until training starts.
    """

    def __init__(self) -> None:
        self.average: dict[str, Tensor] = {}
        self._parameters: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self, trainer: "Trainer") -> None:
        held = trainer.model.state_dict()
        if self.average:
            self.average = {name: placed_like(value, held[name]) for name, value in self.average.items()}
        else:
            self.average = {name: value.clone() for name, value in held.items()}
        trained = {name for name, _ in trainer.model.named_parameters(remove_duplicate=False)}
        pairs = [(self.average[name], value) for name, value in held.items() if name in trained]
        self._parameters = [average for average, _ in pairs], [value for _, value in pairs]
        self._buffers = [(self.average[name], value) for name, value in held.items() if name not in trained]

    @torch.no_grad()
    def _move(self, share: float) -> None:
        """Takes `share` of the present weights into the average, and the present buffers as they are."""
        torch._foreach_lerp_(*self._parameters, share)
        for average, value in self._buffers:
            average.copy_(value)

    @contextmanager
    def _swapped(self, trainer: "Trainer") -> "Iterator[None]":
        own = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        trainer.model.load_state_dict(self.average)
        try:
            yield
        finally:
            trainer.model.load_state_dict(own)

    def evaluation_weights(self, trainer: "Trainer") -> AbstractContextManager[None]:
        return self._swapped(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: Any) -> None:
        self.average = dict(state["average"])


class ExponentialMovingAverage(AveragedWeights):
    """Averages the weights over the steps and lets the average be judged and kept.

    Source: Polyak and Juditsky 1992, doi:10.1137/0330046; in its exponential form Tarvainen and Valpola 2017,
            arXiv:1703.01780, whose ramp min(decay, (1 + step) / (10 + step)) lets early averages forget the start.
    decay:  per step, in [0, 1). Buffers such as BatchNorm's statistics are copied, integer ones too.
    """

    def __init__(self, *, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected a number in [0, 1), such as 0.999.")
        super().__init__()
        self.decay = decay
        self.num_updates = 0

    def on_step_end(self, trainer: "Trainer") -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        self._move(1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self.num_updates, **super().state_dict()}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self.num_updates = state["num_updates"]


class StochasticWeightAveraging(AveragedWeights):
    """Averages the weights at the ends of the last epochs of a run, and lets the average be judged and kept.

    From then on each epoch is judged with the average so far, whose BatchNorm statistics are measured anew by a pass
    over the training data, as they are trained on: the weights that left their own are no longer there.

    Source: Izmailov et al. 2018, arXiv:1803.05407, algorithm 1, with a cycle of one epoch.
    Differs from the paper: the rate jumps to its constant, without the cycles; BatchNorm statistics are measured after
            each epoch that is averaged, so that validation sees what is kept.
    start:  share of the last stage's epochs before the first that counts, in [0, 1); the paper's is 0.75.
    lr:     constant rate of the epochs that count, of the head where rates differ; None keeps the schedule's.
    """

    def __init__(self, *, start: float = 0.75, lr: float | None = None) -> None:
        if not 0 <= start < 1:
            raise ValueError(f"start is {start}; expected a share of the epochs in [0, 1), such as 0.75.")
        if lr is not None and not 0 < lr < math.inf:
            raise ValueError(f"lr is {lr}; it must be above 0 and finite, or None.")
        super().__init__()
        self.start = start
        self.lr = lr
        self.num_averaged = 0
        self._measured = 0  # how many the average held when its BatchNorm statistics were measured

    def counts(self, trainer: "Trainer") -> bool:
        """Whether the epoch in progress is one of those that are averaged."""
        recipe, position = trainer.recipe, trainer.position
        if position.stage < len(recipe.stages) - 1:
            return False
        epochs = recipe.stages[-1].epochs
        if recipe.max_steps is not None:
            left = recipe.max_steps - (position.step - position.stage_step)
            epochs = min(epochs, math.ceil(left / math.ceil(trainer.stage.batches_per_epoch / recipe.accumulate)))
        return position.epoch >= min(round(self.start * epochs), epochs - 1)

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Sets the constant rate. A resumed epoch does so again."""
        if self.lr is not None and self.counts(trainer):
            for phase in trainer.phases:
                phase.schedule = None
                _set_rate(phase.optimizer, self.lr / trainer.recipe.stages[-1].lr)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Takes the epoch's last weights into the average."""
        if self.counts(trainer):
            self._move(1 / (self.num_averaged + 1))
            self.num_averaged += 1

    @contextmanager
    def _measured_weights(self, trainer: "Trainer") -> "Iterator[None]":
        with self._swapped(trainer):
            if self._measured < self.num_averaged:
                measure_batch_norm(trainer)
                for average, value in self._buffers:
                    average.copy_(value)
                self._measured = self.num_averaged
            yield

    def evaluation_weights(self, trainer: "Trainer") -> AbstractContextManager[None]:
        return self._measured_weights(trainer) if self.num_averaged else nullcontext()

    def state_dict(self) -> dict[str, Any]:
        return {"num_averaged": self.num_averaged, "measured": self._measured, **super().state_dict()}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self.num_averaged, self._measured = state["num_averaged"], state["measured"]


def _set_rate(optimizer: Optimizer, factor: float) -> None:
    """Sets each group's rate to its base rate times `factor`."""
    for group in optimizer.param_groups:
        rate = group.setdefault("initial_lr", float(group["lr"])) * factor
        if isinstance(group["lr"], Tensor):  # which a compiled step reads, and which must stay the same tensor
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def measure_batch_norm(trainer: "Trainer") -> None:
    """Replaces the statistics of BatchNorm layers that train by the means over an epoch of training batches.

    The batches are those of the stage's next epoch, in training mode as in training; of several processes each measures
    its own, and the means over them are taken. Global generators are seeded meanwhile and given back, so that a resumed
    run measures the same. A model without such layers costs no pass.

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2, as torch.optim.swa_utils.update_bn does.
    """
    stage, task, engine = trainer.stage, trainer.task, trainer.engine
    modes = [(module, module.training) for module in stage.model.modules()]
    stage.train_mode()
    layers = [layer for layer in stage.module.modules() if isinstance(layer, BatchNorm) and layer.training]
    layers = [layer for layer in layers if layer.running_mean is not None]
    momenta = [layer.momentum for layer in layers]
    before = random_state()
    try:
        seed_everything(trainer.recipe.seed + engine.rank)
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over all batches
        if layers:
            for batch in stage.batches(epoch=trainer.position.epoch, start=0):
                with engine.autocast():  # with gradients, which the loss of a critic may need
                    task.losses(stage.module, engine.to_device(batch))
        for layer in layers:
            for statistic in (layer.running_mean, layer.running_var):
                assert statistic is not None, "layers without statistics were left out"
                statistic.copy_(engine.sum(statistic) / engine.world_size)
    finally:
        restore_random_state(before)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, training in modes:
            module.training = training
