"""Precision, recall and their harmonic mean F1, for single-label classification.

Source: van Rijsbergen 1979, Information Retrieval, 2nd ed., chapter 7.
Shapes: B samples, C classes, * any further dimensions.

What is undefined: precision of a class that was never predicted, recall of a class that never occurs, F1 of a class
that does neither. Such a value is NaN, not 0. The "macro" and "weighted" averages leave undefined classes out and
warn of it, as scikit-learn does with zero_division=nan; where all classes are undefined, so is the average.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.metrics.averages import Average, average_of, check_average, check_names, defined
from zoo.metrics.base import Metric
from zoo.metrics.confusion import check_no_strays, check_num_classes
from zoo.metrics.inputs import Inputs, check_inputs, predicted_labels


class ClassRatio(Metric):
    """A ratio of counts for each class, and its average over classes, 0..1.

    average: "binary" is the value of class 1 of two; "micro" adds the counts of all classes first; "macro" is the
             mean over classes; "weighted" the mean weighted by how often each class occurs; "none" all C values.
    inputs:  what `outputs` are; `predicted_labels` says which shapes they may have.
    classes: C names, by which warnings call the classes; numbers where there are none.
    A label outside 0..C-1 raises ValueError in `compute`, when the counts leave the device.
    """

    higher_is_better = True

    def __init__(
        self,
        *,
        num_classes: int,
        average: Average = "macro",
        inputs: Inputs = "logits",
        classes: Sequence[str] | None = None,
    ) -> None:
        check_inputs(inputs)
        check_num_classes(num_classes)
        check_average(average)
        if average == "binary" and num_classes != 2:
            raise ValueError(f"average='binary' needs two classes, not {num_classes}. Choose 'macro', for instance.")
        # Row by row: right, predicted and true labels of each class; the last column takes labels out of range.
        super().__init__({"counts": torch.zeros(3, num_classes + 1, dtype=torch.int64)})
        self.num_classes = num_classes
        self.average = average
        self.inputs = inputs
        self.classes = check_names(classes, num_classes)

    def update(self, outputs: Tensor, target: Tensor) -> None:
        labels = self._in_range(predicted_labels(outputs, target, inputs=self.inputs))
        target = self._in_range(target)
        right, predicted, true = self._open(outputs.device)["counts"]
        # Not bincount, which makes a GPU's host wait for the largest index.
        right.index_add_(0, target, (labels == target).long())
        predicted.index_add_(0, labels, torch.ones_like(labels))
        true.index_add_(0, target, torch.ones_like(target))

    def compute(self) -> float | Tensor:
        counts = self._sums["counts"].cpu()
        check_no_strays(int(counts[1:, -1].sum()), self.num_classes)
        right, predicted, true = counts[:, :-1].double()
        above, below = self._ratio(right, predicted, true)
        reason = f"its denominator is 0 (average={self.average!r})"
        if self.average == "micro":
            return defined(above.sum() / below.sum(), self, reason)
        values = above / below  # [C], NaN from 0 / 0
        if self.average == "binary":
            return defined(values[1], self, reason)
        return average_of(self, values, true, average=self.average, reason=reason, classes=self.classes)

    @abstractmethod
    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Numerator and denominator [C] from the counts [C]."""

    def _in_range(self, labels: Tensor) -> Tensor:
        labels = labels.flatten().long()
        return torch.where((labels < 0) | (labels >= self.num_classes), self.num_classes, labels)


class Precision(ClassRatio):
    """Of the samples predicted to be of a class, the share that are."""

    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        return right, predicted


class Recall(ClassRatio):
    """Of the samples of a class, the share that are predicted to be."""

    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        return right, true


class F1(ClassRatio):
    """Harmonic mean of precision and recall of a class; "macro" is the mean of these, not their mean's harmony."""

    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * right, predicted + true


def precision(
    outputs: Tensor, target: Tensor, *, num_classes: int, average: Average = "macro", inputs: Inputs = "logits"
) -> float | Tensor:
    """`Precision` of one batch."""
    metric = Precision(num_classes=num_classes, average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def recall(
    outputs: Tensor, target: Tensor, *, num_classes: int, average: Average = "macro", inputs: Inputs = "logits"
) -> float | Tensor:
    """`Recall` of one batch."""
    metric = Recall(num_classes=num_classes, average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def f1(
    outputs: Tensor, target: Tensor, *, num_classes: int, average: Average = "macro", inputs: Inputs = "logits"
) -> float | Tensor:
    """`F1` of one batch."""
    metric = F1(num_classes=num_classes, average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()
