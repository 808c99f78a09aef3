"""The task: how a batch becomes a loss, a prediction and metrics, for one kind of problem."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.modes import evaluation_mode
from zoo.optim import Schedule, make_optimizer, takes_fused
from zoo.records import Entry
from zoo.training.phases import Batch, Losses, Phase
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.data import Bundle
    from zoo.explanation import Explanation
    from zoo.metrics import Metric
    from zoo.training.test_time import View

Prediction = dict[str, Any]
ParameterGroups = list[dict[str, Any]]
Item = str | Path
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Inputs:
    """What a task predicts for.

    rows:  as the task's `predict` takes them.
    names: of each row, such as "cat.jpg" or "reviews.csv:17".
    """

    rows: Any
    names: Sequence[str]


class Task(ABC):
    """One kind of problem. A subclass says what a loss, a prediction and a good result are; the trainer does the rest.

    A task must never keep the model: everything it does takes the model as an argument.

    monitor:     the validation metric by which the best weights are chosen.
    mode:        whether a better `monitor` is larger ("max") or smaller ("min").
    suffixes:    how the names of files end that `read_inputs` reads, in lower case; empty where any may do.
    recipe:      options of training for this kind of problem, where neither the user nor the model's entry gives them.
    explanation: name of the method that `explain` takes where the user names none.
    views:       what makes the views of a batch for test-time augmentation, by name; a task that has some has `logits`
                 too: zoo.training.test_time.
    trainer:     "module:class" of the trainer; another than the core's where the data come from acting on them.
    """

    name: str
    monitor: str = "loss"
    mode: Literal["min", "max"] = "min"
    suffixes: frozenset[str] = frozenset()
    recipe: ClassVar[Mapping[str, Any]] = NOTHING
    explanation: ClassVar[str] = "grad_cam"
    views: ClassVar[Mapping[str, Callable[[], Sequence["View"]]]] = NOTHING
    trainer: str = "zoo.training.trainer:Trainer"

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
    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        """What `predict` and `explain` take, from the user's files, or from texts where the task reads such.

        A file may hold several rows.
        """

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
        if recipe.precision == "16-mixed" and recipe.clip_norm is not None and takes_fused(recipe.optimizer):
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

    def epoch_figures(self, model: nn.Module) -> dict[str, "Figure"]:
        """Pictures by name that are kept of the model after every epoch, such as samples of a generator."""
        return {}

    def describe(self, prediction: Prediction) -> str:
        """One prediction as a line of text."""
        if "top" in prediction:
            return "  ".join(f"{item['label']} {item['probability']:.3f}" for item in prediction["top"][:3])
        return "  ".join(f"{name} {_short(value)}" for name, value in prediction.items())

    def picture(self, model: nn.Module, inputs: Any, predictions: Sequence[Prediction]) -> "Figure | None":
        """Inputs with what was predicted for them, as a picture; None where there is nothing to draw."""
        return None

    def reading(self) -> dict[str, Any]:
        """Options by which the task's reader reads other data in the form of those trained on."""
        classes = getattr(self, "classes", None)
        return {} if classes is None else {"classes": list(classes)}

    def check_bundle(self, bundle: "Bundle") -> None:
        """Raises DataError unless the model can be judged on these other data."""
        classes = getattr(self, "classes", None)
        if classes is not None and bundle.classes is not None and tuple(bundle.classes) != tuple(classes):
            raise DataError(
                f"The run was trained on the classes {', '.join(classes)}, and these data have "
                f"{', '.join(bundle.classes)}. Name them alike and in the same order."
            )

    def baselines(self) -> Mapping[str, Callable[["Bundle", str], dict[str, float]]]:
        """Classical models to compare with, by name: a function that fits one and judges it on a part of the data.

        It takes the bundle and the name of the part, and returns metrics that are named as the task's own.
        """
        return {}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
            metric.sync(engine)
    values = {name: metric.compute() for name, metric in metrics.items()}
    return {
        name: float(value) for name, value in values.items() if not hasattr(value, "ndim") or value.ndim == 0
    }, metrics
