"""Classification, whatever the rows are: cross-entropy, its metrics, ranked predictions.

A task of a domain says how its model makes logits of what it takes; tasks that do more than classify use the functions.
Shapes: B rows, C classes.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from zoo.augmentation import Mixed, make_mixing
from zoo.errors import DataError, check_name
from zoo.losses import make_loss
from zoo.metrics import make_metric
from zoo.metrics.chosen import check_chosen, chosen_figures, chosen_metrics
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
    mixing:          "mixup", or of images "cutmix" or "both": in training each row is mixed with another of its batch,
                     and its loss is the mean of that for its own class and that for its partner's, weighted as they
                     are mixed. The training accuracy, which mixtures have none of, is then not logged. Where the
                     features of a frozen body are cached, mixup mixes these.
    mixing_alpha:    of the distribution Beta(alpha, alpha) of the weights; 0.2 mixes little, 1 evenly.
    extra_metrics:   any of "roc_auc", "average_precision" and "calibration_error": reported beside the usual metrics,
                     with a picture each.
    """

    monitor = "accuracy"
    mode: Literal["min", "max"] = "max"

    def __init__(
        self,
        *,
        classes: Sequence[str],
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        mixing: str | None = None,
        mixing_alpha: float = 1.0,
        extra_metrics: Sequence[str] = (),
    ) -> None:
        if len(classes) < 2:
            raise DataError(f"Classification needs two classes or more, got {list(classes)}.")
        self.classes = tuple(classes)
        self.loss = ClassLoss(classes=classes, label_smoothing=label_smoothing, class_weights=class_weights)
        self.mixing = RowMixing(mixing, alpha=mixing_alpha)
        self.extra_metrics = check_chosen(extra_metrics)

    @abstractmethod
    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The model's logits [B, C] for the inputs of a batch."""

    def schema(self) -> dict[str, Any]:
        extra = {"extra_metrics": list(self.extra_metrics)} if self.extra_metrics else {}
        return {"classes": list(self.classes), **self.loss.options(), **self.mixing.options(), **extra}

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        inputs, targets = batch
        mixed = self.mixed(model, inputs)
        logits = self.logits(model, inputs if mixed is None else mixed.inputs)
        return class_losses(self.loss(logits, targets, mixed), logits, targets, mixed)

    def mixed(self, model: nn.Module, inputs: Any) -> Mixed | None:
        """The mixed inputs of a batch, for a task that mixes while the model is in training mode; else None."""
        return self.mixing(inputs) if self.mixing.applies(model) else None

    def rows(self, batch: Batch) -> int:
        return len(batch[1])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        return self.loss.weight(batch[1])

    def metrics(self) -> dict[str, Any]:
        count, classes = len(self.classes), list(self.classes)
        metrics = {
            "accuracy": make_metric("accuracy"),
            "loss": make_metric("log_loss"),
            "precision": make_metric("precision", num_classes=count, classes=classes),
            "recall": make_metric("recall", num_classes=count, classes=classes),
            "f1": make_metric("f1", num_classes=count, classes=classes),
            "confusion_matrix": make_metric("confusion_matrix", num_classes=count),
            **chosen_metrics(self.extra_metrics, classes),
        }
        return {**metrics, "top5": make_metric("top5")} if count >= CLASSES_WITH_TOP5 else metrics

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        return self.logits(model, inputs).float(), targets

    def figures(self, metrics: Mapping[str, Any]) -> dict[str, "Figure"]:
        return {**confusion_figures(metrics, self.classes), **chosen_figures(metrics, self.classes)}


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

    def __call__(self, logits: Tensor, targets: Tensor, mixed: Mixed | None = None) -> Tensor:
        """The mean [] over a batch, from logits [B, C] and class numbers [B] of the rows before they were `mixed`.

        The rows' classes and their partners' are the same ones in another order, so that both means are over the same
        `weight`.
        """
        loss: Tensor = self._loss(logits, targets)
        if mixed is None:
            return loss
        return mixed.share * loss + (1 - mixed.share) * self._loss(logits, targets[mixed.partners])

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


class RowMixing:
    """Whether and how the rows of training batches are mixed.

    name:    "mixup", "cutmix" or "both"; None mixes nothing.
    choices: the names that suit the rows; empty for all.
    Raises:  UnknownNameError; ValueError for an alpha that cannot be, or that nothing is mixed by.
    """

    def __init__(self, name: str | None, *, alpha: float = 1.0, choices: Sequence[str] = ()) -> None:
        if name is None and alpha != 1:
            raise ValueError(f"mixing_alpha={alpha} is for mixing; choose mixing, such as mixup, or leave it out.")
        if name is not None and choices:
            check_name("mixing of such rows", name, choices)
        self.name = name
        self.alpha = alpha
        self._mix = None if name is None else make_mixing(name, alpha=alpha)

    def applies(self, model: nn.Module) -> bool:
        """Whether rows are mixed for a model in its present mode."""
        return self._mix is not None and model.training

    def __call__(self, inputs: Tensor) -> Mixed:
        """Inputs [B, ...], mixed."""
        assert self._mix is not None, "there is mixing"
        return self._mix(inputs)

    def options(self) -> dict[str, Any]:
        """The arguments of the task that make it again; none where nothing is mixed."""
        return {} if self.name is None else {"mixing": self.name, "mixing_alpha": self.alpha}


def class_losses(loss: Tensor, logits: Tensor, targets: Tensor, mixed: Mixed | None) -> Losses:
    """What a training batch logs: its loss, and the accuracy of rows that are not mixed."""
    return {"loss": loss} if mixed is not None else {"loss": loss, "accuracy": share_right(logits, targets)}


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
