"""How far the confidence of a classifier is from how often it is right.

Source: Guo et al. 2017, arXiv:1706.04599, section 2: reliability diagrams, expected and maximum calibration error.
Differs from the paper: nothing known.
Shapes: B samples, C classes, M bins, * any further dimensions.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from zoo.metrics.base import Metric, undefined
from zoo.metrics.inputs import Inputs, check_inputs, check_probabilities, check_range, check_scores, check_target

CalibrationNorm = Literal["expected", "maximum"]


class Reliability(NamedTuple):
    """What happened at each level of confidence, float64 on the host; NaN where a bin is empty.

    edges:      [M + 1] of the bins, 0..1; a bin holds its upper edge, not its lower one.
    confidence: [M] mean probability given to the predicted class.
    accuracy:   [M] share of right predictions.
    counts:     [M] predictions.
    """

    edges: Tensor
    confidence: Tensor
    accuracy: Tensor
    counts: Tensor


class CalibrationError(Metric):
    """Distance of confidence and accuracy in bins of equal width of confidence, 0..1.

    Outputs are [B, C, *] scores of C classes, or scores of "yes" in the shape of the target; then the confidence is
    that of the likelier answer.

    num_bins: bins over 0..1; fewer hide errors that cancel out, more make noise count.
    norm:     "expected" is the mean over predictions, Guo's ECE; "maximum" the largest of a bin, his MCE.
    inputs:   what `outputs` are.
    """

    higher_is_better = False

    def __init__(self, *, num_bins: int = 15, norm: CalibrationNorm = "expected", inputs: Inputs = "logits") -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        if num_bins < 1:
            raise ValueError(f"num_bins is {num_bins}; at least 1 is needed.")
        if norm not in get_args(CalibrationNorm):
            raise ValueError(f"norm must be one of {', '.join(map(repr, get_args(CalibrationNorm)))}; got {norm!r}.")
        zeros = torch.zeros(num_bins, dtype=torch.float64)
        super().__init__(
            {"confidence": zeros, "right": zeros.long(), "seen": zeros.long(), "nan": torch.zeros((), dtype=torch.long)}
        )
        self.num_bins = num_bins
        self.norm = norm
        self.inputs = inputs
        self._edges = _edges(num_bins)

    def update(self, outputs: Tensor, target: Tensor) -> None:
        confidence, right = self._judged(outputs.detach(), target)
        sums = self._open(outputs.device)
        dtype = sums["confidence"].dtype
        self._edges = self._edges.to(outputs.device, dtype)
        confidence = confidence.flatten().to(dtype)
        sums["nan"].add_(confidence.isnan().sum())
        bins = torch.bucketize(confidence, self._edges[1:-1])
        sums["confidence"].index_add_(0, bins, confidence.nan_to_num(0.0))
        sums["right"].index_add_(0, bins, right.flatten().long())
        sums["seen"].index_add_(0, bins, torch.ones_like(bins))

    def compute(self) -> float:
        bins = self.bins()
        total = bins.counts.sum()
        if not total:
            return undefined(self, "no sample was seen")
        if self._sums["nan"].item():
            return undefined(self, f"{self._sums['nan'].item()} of {int(total)} outputs are NaN")
        gaps = (bins.accuracy - bins.confidence).abs().nan_to_num(0.0)
        return float(gaps.max() if self.norm == "maximum" else (gaps * bins.counts).sum() / total)

    def bins(self) -> Reliability:
        """What the error is computed from, to be drawn by `zoo.metrics.pictures.reliability_figure`."""
        confidence, right, seen = (self._sums[name].cpu().double() for name in ("confidence", "right", "seen"))
        return Reliability(_edges(self.num_bins), confidence / seen, right / seen, seen)

    def _judged(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Confidences, and whether the predictions are right, of every target [B, *]."""
        check_target(target)
        binary = outputs.shape == target.shape
        if not binary:
            check_scores(outputs, target)
        check_range(target, num_classes=2 if binary else outputs.shape[1])
        if self.inputs == "probabilities":
            check_probabilities(outputs, class_dimension=not binary)
        precise = outputs if outputs.dtype == torch.float64 else outputs.float()
        if not binary:
            probs = precise.softmax(1) if self.inputs == "logits" else precise
            confidence, labels = probs.max(1)
            return confidence, labels == target
        yes = outputs > (0 if self.inputs == "logits" else 0.5)
        if self.inputs == "logits":
            return precise.abs().sigmoid(), yes == target
        return torch.maximum(precise, 1 - precise), yes == target


def calibration_error(
    outputs: Tensor,
    target: Tensor,
    *,
    num_bins: int = 15,
    norm: CalibrationNorm = "expected",
    inputs: Inputs = "logits",
) -> float:
    """`CalibrationError` of one batch."""
    metric = CalibrationError(num_bins=num_bins, norm=norm, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def _edges(num_bins: int) -> Tensor:
    return torch.arange(num_bins + 1, dtype=torch.float64) / num_bins
