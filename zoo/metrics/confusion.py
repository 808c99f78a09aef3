"""How often each class was taken for each other one.

Shapes: B samples, C classes, * any further dimensions.
"""

import torch
from torch import Tensor

from zoo.metrics.base import Metric
from zoo.metrics.inputs import Inputs, check_inputs, predicted_labels


class ConfusionMatrix(Metric):
    """Counts [C, C], int64: rows are true classes, columns predicted ones.

    inputs: what `outputs` are; `predicted_labels` says which shapes they may have.
    A label outside 0..C-1 raises ValueError in `compute`, when the counts leave the device.
    """

    def __init__(self, *, num_classes: int, inputs: Inputs = "logits") -> None:
        check_inputs(inputs)
        check_num_classes(num_classes)
        # One count more than there are pairs, for labels out of range.
        super().__init__({"counts": torch.zeros(num_classes**2 + 1, dtype=torch.int64)})
        self.num_classes = num_classes
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        labels = predicted_labels(outputs, target, inputs=self.inputs).flatten().long()
        target = target.flatten().long()
        classes = self.num_classes
        valid = (target >= 0) & (target < classes) & (labels >= 0) & (labels < classes)
        pairs = torch.where(valid, target * classes + labels, classes**2)
        # Not bincount, which makes a GPU's host wait for the largest index.
        self._open(outputs.device)["counts"].index_add_(0, pairs, torch.ones_like(pairs))

    def compute(self) -> Tensor:
        counts = self._sums["counts"].cpu()
        check_no_strays(int(counts[-1]), self.num_classes)
        return counts[:-1].view(self.num_classes, self.num_classes).clone()


def confusion_matrix(outputs: Tensor, target: Tensor, *, num_classes: int, inputs: Inputs = "logits") -> Tensor:
    """`ConfusionMatrix` of one batch."""
    metric = ConfusionMatrix(num_classes=num_classes, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError for fewer than one class."""
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; at least 1 is needed.")


def check_no_strays(strays: int, num_classes: int) -> None:
    """Raises ValueError if labels lay outside 0..num_classes-1."""
    if strays:
        raise ValueError(f"{strays} targets or predictions lay outside 0..{num_classes - 1}. Check num_classes.")
