"""The task: how a batch becomes a loss, a prediction and metrics, for one kind of problem."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from zoo.optim import Schedule, make_optimizer
from zoo.records import Entry
from zoo.training.phases import Batch, Losses, Phase
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.data import Bundle
    from zoo.explanation import Explanation
    from zoo.metrics import Metric

Prediction = dict[str, Any]
ParameterGroups = list[dict[str, Any]]


class Task(ABC):
    """One kind of problem. A subclass says what a loss, a prediction and a good result are; the trainer does the rest.

    A task must never keep the model: everything it does takes the model as an argument.

    monitor:  the validation metric by which the best weights are chosen.
    mode:     whether a better `monitor` is larger ("max") or smaller ("min").
    suffixes: how the names of files end that `read_inputs` reads, in lower case; empty where any may do.
    """

    name: str
    monitor: str = "loss"
    mode: Literal["min", "max"] = "min"
    suffixes: frozenset[str] = frozenset()

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """The loss of a batch as "loss" [], and what else to log, each a mean over the batch."""

    @abstractmethod
    def metrics(self) -> dict[str, "Metric"]:
        """New metrics by name, empty."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        """What the metrics compare: the model's outputs for a batch, and the targets."""

    @abstractmethod
    def predict(self, model: nn.Module, inputs: Any) -> list[Prediction]:
        """One readable prediction for each row of `inputs`."""

    @abstractmethod
    def read_inputs(self, paths: Sequence[Path]) -> Any:
        """What `predict` and `explain` take, from the user's files."""

    @abstractmethod
    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str,
        target: Any,
        layer: Any,
        options: Mapping[str, Any] | None,
    ) -> "Explanation":
        """Why the model answers so for each row of `inputs`; `options` are the method's."""

    @abstractmethod
    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        """What the model of `entry` must be built with to fit this task's data, such as num_classes."""

    @classmethod
    @abstractmethod
    def from_bundle(cls, bundle: "Bundle", **options: Any) -> "Task":
        """The task for what a bundle says of its data; `options` go to the constructor."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON-able arguments that rebuild this task without its training data."""

    def modules(self, model: nn.Module) -> dict[str, nn.Module]:
        """The parts of the model that phases train and call, by name; the trainer sets up each for its devices."""
        return {"model": model}

    def phases(
        self, modules: Mapping[str, nn.Module], groups: ParameterGroups, schedule: Schedule, recipe: Recipe
    ) -> list[Phase]:
        """The phases of a step; one that trains the whole model unless a task says otherwise.

        modules: as `modules` gave them, set up for the run's devices.
        groups:  the trainable parameters, each group with its own "lr" and "weight_decay".
        """
        model = modules["model"]
        options = dict(recipe.optimizer_options)
        if recipe.precision == "16-mixed" and recipe.clip_norm is not None:
            options.setdefault("fused", False)  # fused kernels unscale gradients themselves, too late to clip them
        optimizer = make_optimizer(recipe.optimizer, groups, lr=groups[0]["lr"], **options)
        return [
            Phase(
                name="train",
                module=model,
                optimizer=optimizer,
                losses=lambda batch: self.losses(model, batch),
                schedule=schedule,
                clip_norm=recipe.clip_norm,
            )
        ]

    def rows(self, batch: Batch) -> int:
        """How many samples a batch holds."""
        return len(batch[0])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        """What the batch's mean loss is a mean over: its rows, or the sum of their weights."""
        return self.rows(batch)

    def figures(self, metrics: Mapping[str, "Metric"]) -> dict[str, "Figure"]:
        """Pictures of an evaluation by name, from its filled metrics."""
        return {}


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, `model` is in evaluation mode; afterwards each submodule is in its own again, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, batches: Any, *, engine: Any = None
) -> tuple[dict[str, float], dict[str, "Metric"]]:
    """Runs every batch through the model in evaluation mode; the mode of each submodule is given back.

    batches: an iterable of batches as `Source.batches` gives them.
    engine:  of a run, to move batches and to add up over processes.
    Returns: the values of all metrics that are single numbers, and the filled metrics.
    """
    metrics = task.metrics()
    with evaluation_mode(model):
        for batch in batches:
            outputs, targets = task.evaluate(model, batch if engine is None else engine.to_device(batch))
            for metric in metrics.values():
                metric.update(outputs, targets)
    if engine is not None and engine.world_size > 1:
        for metric in metrics.values():
            metric.sync(engine.sum)
    values = {name: metric.compute() for name, metric in metrics.items()}
    return {
        name: float(value) for name, value in values.items() if not hasattr(value, "ndim") or value.ndim == 0
    }, metrics
