"""What may happen around the training loop: stopping, keeping the best weights, pictures."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from zoo.training.checkpoint import save_weights
from zoo.training.sharding import full, is_sharded, whole

if TYPE_CHECKING:
    from zoo.training.trainer import Trainer


class Callback:
    """Does nothing; a subclass overrides the moments it needs. Its state is part of every checkpoint."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first step, after a checkpoint was loaded."""

    def on_stage_start(self, trainer: "Trainer") -> None:
        """When a stage begins, not when it is resumed."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before the first step of an epoch, or of what a resumed run has left of it."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After the last step of an epoch, before it is judged."""

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
        with whole(trainer.model):
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
        if self.is_better(trainer, metrics):
            _keep_weights(trainer)

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        if record["event"] == "end" and trainer.validation is None:
            with trainer.evaluation_weights():
                _keep_weights(trainer)


def _keep_weights(trainer: "Trainer") -> None:
    """Writes the weights in the model to the run's file. Every process must ask, and the leader writes."""
    state = full(trainer.model.state_dict()) if is_sharded(trainer.model) else None
    if trainer.directory is not None and trainer.engine.leads:
        save_weights(trainer.directory / "model.safetensors", trainer.model, state=state)
