"""The share of right answers: at the first guess, among the first k, or of answers yes and no at a threshold.

Source: `ThresholdAccuracy` is `accuracy_thresh` of fastai, Howard and Gugger 2020, arXiv:2002.04688; the others own.
Differs from the paper: nothing known.
Shapes: B samples, C classes, * any further dimensions.
"""

import math

import torch
from torch import Tensor

from zoo.metrics.base import Metric, undefined
from zoo.metrics.inputs import (
    Inputs,
    check_inputs,
    check_probabilities,
    check_range,
    check_scores,
    check_target,
    predicted_labels,
)


class Accuracy(Metric):
    """Right answers over all answers, 0..1. Every entry of the target counts the same.

    inputs: what `outputs` are; `predicted_labels` says which shapes they may have.
    """

    higher_is_better = True

    def __init__(self, *, inputs: Inputs = "logits") -> None:
        check_inputs(inputs)
        super().__init__({"correct": torch.zeros((), dtype=torch.int64)})
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        labels = predicted_labels(outputs, target, inputs=self.inputs)
        self._open(outputs.device)["correct"].add_((labels == target).sum())
        self._count += target.numel()

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no sample was seen")
        return self._sums["correct"].item() / self._count


class TopKAccuracy(Metric):
    """Targets among the k highest scores, over all targets, 0..1. Among equal scores the choice is torch.topk's.

    k: from 1 to the number of classes.
    """

    higher_is_better = True

    def __init__(self, *, k: int, inputs: Inputs = "logits") -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        if k < 1:
            raise ValueError(f"k is {k}; at least 1 is needed.")
        super().__init__({"correct": torch.zeros((), dtype=torch.int64)})
        self.k = k

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_target(target)
        check_scores(outputs, target)
        if self.k > outputs.shape[1]:
            raise ValueError(
                f"Top-{self.k} accuracy needs at least {self.k} classes; the outputs have {outputs.shape[1]}. "
                "Use 'accuracy', or 'top_k' with a smaller k."
            )
        best = outputs.topk(self.k, dim=1).indices  # [B, k, *]
        self._open(outputs.device)["correct"].add_((best == target.unsqueeze(1)).sum())
        self._count += target.numel()

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no sample was seen")
        return self._sums["correct"].item() / self._count


class Top5Accuracy(TopKAccuracy):
    """Targets among the five highest scores, over all targets, 0..1."""

    def __init__(self, *, inputs: Inputs = "logits") -> None:
        super().__init__(k=5, inputs=inputs)


class ThresholdAccuracy(Metric):
    """Right answers yes and no over all of them, 0..1: for several labels of a sample, and for critics.

    Outputs are scores of yes [B, *]. Targets are 0 or 1, either one for each score, or one for each sample [B], which
    each of its scores is held against: those of a critic's patches, for instance.

    threshold: the probability above which the answer is yes; logits are held against its log-odds.
    inputs:    what `outputs` are.
    """

    higher_is_better = True

    def __init__(self, *, threshold: float = 0.5, inputs: Inputs = "logits") -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is a probability in (0, 1); got {threshold}.")
        super().__init__({"correct": torch.zeros((), dtype=torch.int64)})
        self.threshold = threshold
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_target(target)
        check_range(target, num_classes=2)
        if target.shape not in (outputs.shape, outputs.shape[:1]):
            raise ValueError(
                f"Scores {list(outputs.shape)} need answers of the same shape, or one for each sample; "
                f"got {list(target.shape)}."
            )
        least = self.threshold
        if self.inputs == "probabilities":
            check_probabilities(outputs)
        else:
            least = math.log(least / (1 - least))
        answers = target.bool().reshape(target.shape + (1,) * (outputs.ndim - target.ndim))
        self._open(outputs.device)["correct"].add_(((outputs > least) == answers).sum())
        self._count += outputs.numel()

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no sample was seen")
        return self._sums["correct"].item() / self._count


def accuracy(outputs: Tensor, target: Tensor, *, inputs: Inputs = "logits") -> float:
    """`Accuracy` of one batch."""
    metric = Accuracy(inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def top_k_accuracy(outputs: Tensor, target: Tensor, *, k: int, inputs: Inputs = "logits") -> float:
    """`TopKAccuracy` of one batch."""
    metric = TopKAccuracy(k=k, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def accuracy_thresh(outputs: Tensor, target: Tensor, *, threshold: float = 0.5, inputs: Inputs = "logits") -> float:
    """`ThresholdAccuracy` of one batch."""
    metric = ThresholdAccuracy(threshold=threshold, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()
