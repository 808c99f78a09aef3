"""Overlap of predicted and true regions, for segmentation: Dice, intersection over union, share of right pixels.

Source: Dice 1945, Ecology 26(3), doi:10.2307/1932409; Jaccard 1912, New Phytologist 11(2),
  doi:10.1111/j.1469-8137.1912.tb05611.x; all over the pixels of all images together, as Pascal VOC does, Everingham et
  al. 2010, doi:10.1007/s11263-009-0275-4, section 4.4.
Differs from the paper: nothing known.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image.

A class that is neither predicted nor there is undefined: NaN, and left out of the mean with a warning.
"""

from abc import abstractmethod
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.overlap import IGNORE_INDEX
from zoo.metrics.base import Metric, undefined
from zoo.metrics.confusion import check_no_strays, check_num_classes
from zoo.metrics.inputs import Inputs, check_inputs, check_scores, check_target, predicted_labels

OverlapAverage = Literal["macro", "none"]


class Overlap(Metric):
    """A ratio of pixel counts for each class, and its mean over the classes that occur, 0..1.

    average:      "macro" is the mean over classes; "none" all C values.
    ignore_index: class index of targets that count nothing.
    inputs:       what `outputs` are; `zoo.metrics.inputs.predicted_labels` says which shapes they may have.
    Another label outside 0..C-1 raises ValueError in `compute`, when the counts leave the device.
    """

    higher_is_better = True

    def __init__(
        self,
        *,
        num_classes: int,
        average: OverlapAverage = "macro",
        ignore_index: int = IGNORE_INDEX,
        inputs: Inputs = "logits",
    ) -> None:
        check_inputs(inputs)
        check_num_classes(num_classes)
        if average not in get_args(OverlapAverage):
            choices = ", ".join(map(repr, get_args(OverlapAverage)))
            raise ValueError(f"average must be one of {choices}; got {average!r}.")
        # Rows: right, predicted and true pixels of each class; the last column takes labels out of range.
        super().__init__({"counts": torch.zeros(3, num_classes + 1, dtype=torch.int64)})
        self.num_classes = num_classes
        self.average = average
        self.ignore_index = ignore_index
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        labels = predicted_labels(outputs, target, inputs=self.inputs)
        counts = self._open(outputs.device)["counts"]
        counts += overlap_counts(labels, target, num_classes=self.num_classes, ignore_index=self.ignore_index)

    def compute(self) -> float | Tensor:
        counts = self._sums["counts"].cpu()
        check_no_strays(int(counts[1:, -1].sum()), self.num_classes)
        right, predicted, true = counts[:, :-1].double()
        values = self._ratio(right, predicted, true)  # [C], NaN from 0 / 0
        if self.average == "none":
            return values
        defined = values[~values.isnan()]
        if not len(defined):
            return undefined(self, "no class was seen")
        return float(defined.mean())

    @abstractmethod
    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """The values [C] from the counts [C]."""


class IoU(Overlap):
    """Intersection over union of a class's predicted and true pixels."""

    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        return right / (predicted + true - right)


class Dice(Overlap):
    """Twice the intersection over the sum of both, which is the F1 of pixels."""

    def _ratio(self, right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        return 2 * right / (predicted + true)


class PixelAccuracy(Metric):
    """Share of the pixels that have the right class, 0..1."""

    higher_is_better = True

    def __init__(self, *, ignore_index: int = IGNORE_INDEX, inputs: Inputs = "logits") -> None:
        check_inputs(inputs)
        super().__init__({"counts": torch.zeros(2, dtype=torch.int64)})  # right, all
        self.ignore_index = ignore_index
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        labels = predicted_labels(outputs, target, inputs=self.inputs)
        counted = target != self.ignore_index
        self._open(outputs.device)["counts"] += torch.stack([((labels == target) & counted).sum(), counted.sum()])

    def compute(self) -> float:
        right, total = self._sums["counts"].tolist()
        return right / total if total else undefined(self, "no pixel was seen")


class PixelLogLoss(Metric):
    """Mean of -ln(probability given to the true class) over the pixels that count, in nats, from logits [B, C, *]."""

    higher_is_better = False

    def __init__(self, *, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__({"total": torch.zeros((), dtype=torch.float64), "pixels": torch.zeros((), dtype=torch.int64)})
        self.ignore_index = ignore_index

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_target(target)
        check_scores(outputs, target)
        outputs = outputs.detach()
        precise = outputs if outputs.dtype == torch.float64 else outputs.float()
        nats = F.cross_entropy(precise, target.long(), ignore_index=self.ignore_index, reduction="none")
        sums = self._open(outputs.device)
        sums["total"].add_(nats.sum(dtype=sums["total"].dtype))
        sums["pixels"].add_((target != self.ignore_index).sum())

    def compute(self) -> float:
        pixels = int(self._sums["pixels"])
        return self._sums["total"].item() / pixels if pixels else undefined(self, "no pixel was seen")


def overlap_counts(labels: Tensor, target: Tensor, *, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Right, predicted and true pixels of each class [3, C + 1], int64; the last column counts labels out of range.

    labels, target: integers [*]. What is predicted where the target is `ignore_index` counts nothing.
    """
    labels, target = labels.flatten().long(), target.flatten().long()
    outside = num_classes
    labels = torch.where((labels < 0) | (labels >= num_classes), outside, labels)
    true = torch.where((target < 0) | (target >= num_classes), outside, target)
    # A pair of labels to one number; those to be ignored go to a bin of their own.
    width = num_classes + 1
    pairs = torch.where(target == ignore_index, width * width, true * width + labels)
    if pairs.device.type == "cpu":
        found = torch.bincount(pairs, minlength=width * width + 1)
    else:  # bincount would make the host wait for the largest index
        found = torch.zeros(width * width + 1, dtype=torch.int64, device=pairs.device)
        found.index_add_(0, pairs, torch.ones_like(pairs))
    matrix = found[:-1].view(width, width)
    return torch.stack([matrix.diagonal(), matrix.sum(0), matrix.sum(1)])


def dice(
    outputs: Tensor, target: Tensor, *, num_classes: int, average: OverlapAverage = "macro", inputs: Inputs = "logits"
) -> float | Tensor:
    """`Dice` of one batch."""
    metric = Dice(num_classes=num_classes, average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def iou(
    outputs: Tensor, target: Tensor, *, num_classes: int, average: OverlapAverage = "macro", inputs: Inputs = "logits"
) -> float | Tensor:
    """`IoU` of one batch."""
    metric = IoU(num_classes=num_classes, average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def pixel_accuracy(outputs: Tensor, target: Tensor, *, inputs: Inputs = "logits") -> float:
    """`PixelAccuracy` of one batch."""
    metric = PixelAccuracy(inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()
