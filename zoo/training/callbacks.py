"""What may happen around the training loop: stopping, keeping the best, averaging weights, logging, progress."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from zoo.training.checkpoint import save_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo.training.trainer import Trainer


class Callback:
    """Does nothing; a subclass overrides the moments it needs. Its state is part of every checkpoint."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first step, after a checkpoint was loaded."""

    def on_stage_start(self, trainer: "Trainer") -> None:
        """When a stage begins, not when it is resumed."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """After each optimizer step. Reading a loss here would make the device wait."""

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        """When something was measured or happened; `record["event"]` is "train", "epoch", "stage" or "end"."""

    def on_validation_end(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        """After validation, with the weights that were validated still in the model."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """At the end, also after an error or an interruption."""

    def evaluation_weights(self, trainer: "Trainer") -> AbstractContextManager[None]:
        """Inside, the model holds the weights that are to be judged."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""


class Monitor(Callback):
    """Follows one validation metric and knows its best value.

    metric: its name; None takes the task's own.
    """

    def __init__(self, *, metric: str | None = None, mode: Literal["min", "max"] | None = None) -> None:
        self.metric = metric
        self.mode = mode
        self.best: float | None = None

    def is_better(self, trainer: "Trainer", metrics: Mapping[str, float]) -> bool:
        """Whether `metrics` beats all before, which it then replaces; a NaN never does."""
        name = self.metric or trainer.task.monitor
        if name not in metrics:
            raise KeyError(f"There is no validation metric {name!r} to follow; there are {', '.join(metrics)}.")
        value, mode = metrics[name], self.mode or trainer.task.mode
        better = value == value and (self.best is None or (value > self.best if mode == "max" else value < self.best))
        if better:
            self.best = value
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]


class EarlyStopping(Monitor):
    """Ends the stage after `patience` epochs without a better value of the monitored metric."""

    def __init__(self, *, patience: int, metric: str | None = None, mode: Literal["min", "max"] | None = None) -> None:
        super().__init__(metric=metric, mode=mode)
        self.patience = patience
        self.waited = 0

    def on_stage_start(self, trainer: "Trainer") -> None:
        self.best, self.waited = None, 0

    def on_validation_end(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        self.waited = 0 if self.is_better(trainer, metrics) else self.waited + 1
        if self.waited >= self.patience:
            trainer.stop_stage(f"no better {self.metric or trainer.task.monitor} for {self.waited} epochs")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]


class EpochPictures(Callback):
    """Keeps the task's pictures of every epoch, such as a generator's samples, in the run's directory `pictures/`."""

    def on_validation_end(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        """Draws with the weights that were validated."""
        if trainer.directory is None or not trainer.engine.leads:
            return
        for name, figure in trainer.task.epoch_figures(trainer.model).items():
            folder = trainer.directory / "pictures"
            folder.mkdir(exist_ok=True)
            stage = trainer.position.stage + 1
            figure.savefig(folder / f"{name}-{stage}-{trainer.position.epoch:04d}.png", dpi=100)


class BestCheckpoint(Monitor):
    """Keeps the weights of the best validation in the run's `model.safetensors`; without validation, the last.

    Of equally good ones, such as perfect accuracies, those of the lowest loss are kept.
    """

    def __init__(self, *, metric: str | None = None, mode: Literal["min", "max"] | None = None) -> None:
        super().__init__(metric=metric, mode=mode)
        self.best_loss = math.inf

    def is_better(self, trainer: "Trainer", metrics: Mapping[str, float]) -> bool:
        loss = metrics.get("loss", math.inf)
        equal = metrics.get(self.metric or trainer.task.monitor) == self.best
        better = super().is_better(trainer, metrics) or (equal and loss < self.best_loss)
        if better:
            self.best_loss = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best_loss": self.best_loss}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.best_loss = state["best_loss"]

    def on_validation_end(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        if self.is_better(trainer, metrics) and trainer.directory is not None and trainer.engine.leads:
            save_weights(trainer.directory / "model.safetensors", trainer.model)

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        if (
            record["event"] == "end"
            and trainer.validation is None
            and trainer.directory is not None
            and trainer.engine.leads
        ):
            with trainer.evaluation_weights():
                save_weights(trainer.directory / "model.safetensors", trainer.model)


class ExponentialMovingAverage(Callback):
    """Averages the weights over the steps and lets the average be judged and kept.

    Source: Polyak and Juditsky 1992, doi:10.1137/0330046; in its exponential form Tarvainen and Valpola 2017,
            arXiv:1703.01780, whose ramp min(decay, (1 + step) / (10 + step)) lets early averages forget the start.
    decay:  per step, in [0, 1). Buffers such as BatchNorm's statistics are copied, integer ones too.
    """

    def __init__(self, *, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected a number in [0, 1), such as 0.999.")
        self.decay = decay
        self.num_updates = 0
        self.average: dict[str, Tensor] = {}
        self._parameters: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self, trainer: "Trainer") -> None:
        held = trainer.model.state_dict()
        if self.average:
            self.average = {name: value.to(held[name].device) for name, value in self.average.items()}
        else:
            self.average = {name: value.clone() for name, value in held.items()}
        trained = {name for name, _ in trainer.model.named_parameters(remove_duplicate=False)}
        pairs = [(self.average[name], value) for name, value in held.items() if name in trained]
        self._parameters = [average for average, _ in pairs], [value for _, value in pairs]
        self._buffers = [(self.average[name], value) for name, value in held.items() if name not in trained]

    @torch.no_grad()
    def on_step_end(self, trainer: "Trainer") -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        torch._foreach_lerp_(*self._parameters, 1 - decay)
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
        return {"num_updates": self.num_updates, "average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_updates, self.average = state["num_updates"], dict(state["average"])
