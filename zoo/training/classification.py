"""Classification, whatever the rows are: cross-entropy, its metrics, ranked predictions.

A task of a domain says how its model makes logits of what it takes; tasks that do more than classify use the functions.
Shapes: B rows, C classes.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.losses import make_loss
from zoo.metrics import Metric, make_metric
from zoo.training.phases import Batch, Losses
from zoo.training.task import Prediction, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES_WITH_TOP5 = 6  # the fewest for which the five likeliest say anything


class Classification(Task):
    """Trains and judges classifiers by cross-entropy; a batch is inputs and one class number for each row.

    classes:         names in the order of the outputs.
    label_smoothing: share of the target that is spread over all classes, 0..1.
    class_weights:   one for each class, or None for equal ones.
    """

    monitor = "accuracy"
    mode: Literal["min", "max"] = "max"

    def __init__(
        self,
        *,
        classes: Sequence[str],
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if len(classes) < 2:
            raise DataError(f"Classification needs two classes or more, got {list(classes)}.")
        self.classes = tuple(classes)
        self.loss = ClassLoss(classes=classes, label_smoothing=label_smoothing, class_weights=class_weights)

    @abstractmethod
    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The model's logits [B, C] for the inputs of a batch."""

    def schema(self) -> dict[str, Any]:
        return {"classes": list(self.classes), **self.loss.options()}

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        inputs, targets = batch
        logits = self.logits(model, inputs)
        return {"loss": self.loss(logits, targets), "accuracy": share_right(logits, targets)}

    def rows(self, batch: Batch) -> int:
        return len(batch[1])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        return self.loss.weight(batch[1])

    def metrics(self) -> dict[str, Metric]:
        count = len(self.classes)
        metrics = {
            "accuracy": make_metric("accuracy"),
            "loss": make_metric("log_loss"),
            "precision": make_metric("precision", num_classes=count),
            "recall": make_metric("recall", num_classes=count),
            "f1": make_metric("f1", num_classes=count),
            "confusion_matrix": make_metric("confusion_matrix", num_classes=count),
        }
        return {**metrics, "top5": make_metric("top5")} if count >= CLASSES_WITH_TOP5 else metrics

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        return self.logits(model, inputs).float(), targets

    def figures(self, metrics: Mapping[str, Any]) -> dict[str, "Figure"]:
        return confusion_figures(metrics, self.classes)


class ClassLoss:
    """Cross-entropy over named classes, and what a batch's mean of it is a mean over.

    Arguments as of `Classification`.
    Raises: ValueError for weights that do not fit the classes.
    """

    def __init__(
        self, *, classes: Sequence[str], label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> None:
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is a share in [0, 1]; got {label_smoothing}.")
        if class_weights is not None:
            _check_weights(class_weights, classes)
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tuple(class_weights)
        self._weights = None if class_weights is None else torch.tensor(self.class_weights)
        self._loss = make_loss("cross_entropy", label_smoothing=label_smoothing, class_weights=self.class_weights)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean [] over a batch, from logits [B, C] and class numbers [B]."""
        loss: Tensor = self._loss(logits, targets)
        return loss

    def weight(self, targets: Tensor) -> float | Tensor:
        """What the mean over these targets is a mean over: their number, or the sum of their weights."""
        if self._weights is None:
            return len(targets)
        self._weights = self._weights.to(targets.device)  # once; each copy would make the device wait
        return self._weights[targets].sum()

    def options(self) -> dict[str, Any]:
        """The arguments that make it again, for a task's schema."""
        weights = None if self.class_weights is None else list(self.class_weights)
        return {"label_smoothing": self.label_smoothing, "class_weights": weights}


def share_right(logits: Tensor, targets: Tensor) -> Tensor:
    """The share [] of rows whose largest logit is the target's."""
    return (logits.argmax(1) == targets).mean(dtype=torch.float32)


def ranked(probs: Tensor, classes: Sequence[str], *, top: int) -> list[Prediction]:
    """For each row of probabilities [B, C] its likeliest class as "label" and "probability", and the `top` ones."""
    best = probs.topk(min(top, len(classes)), dim=1)
    predictions = []
    for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        likeliest = [
            {"label": classes[index], "probability": value} for value, index in zip(values, indices, strict=True)
        ]
        predictions.append({**likeliest[0], "top": likeliest})
    return predictions


def class_number(target: Any, classes: Sequence[str]) -> Any:
    """The number of a class given by name; anything but a text as it is.

    Raises: ValueError for a name that no class has.
    """
    if not isinstance(target, str):
        return target
    if target not in classes:
        raise ValueError(f"There is no class {target!r}; expected one of {', '.join(classes)}.")
    return list(classes).index(target)


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] in whatever a classifier returns: a tensor, ours with side heads, or a library's output.

    Raises: TypeError for anything else.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        came = list(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
        raise TypeError(f"A classifier must return logits [B, C]; this one returned {came}.")
    return logits


def confusion_figures(metrics: Mapping[str, Any], classes: Sequence[str]) -> dict[str, "Figure"]:
    """The confusion matrix among filled metrics, as a picture."""
    from zoo.metrics.pictures import confusion_figure

    return {"confusion": confusion_figure(metrics["confusion_matrix"].compute(), classes)}


def _check_weights(weights: Any, classes: Sequence[str]) -> None:
    """Raises ValueError unless there is a finite number from 0 up for each class, and one above 0."""
    numbers = isinstance(weights, Sequence) and all(isinstance(weight, int | float) for weight in weights)
    if not numbers or len(weights) != len(classes):
        raise ValueError(f"{len(classes)} classes need as many numbers as class_weights, got {weights!r}.")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"class_weights must be finite, not negative and not all 0, got {list(weights)}.")
