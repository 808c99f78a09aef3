"""The mean negative log-likelihood of the right answers.

Source: the logarithmic scoring rule, Good 1952, Journal of the Royal Statistical Society B 14(1).
Shapes: B samples, C classes, * any further dimensions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.base import Metric, undefined
from zoo.metrics.inputs import Inputs, check_inputs, check_probabilities, check_range, check_scores, check_target


class LogLoss(Metric):
    """Mean of -ln(probability given to the true label), in nats, computed in float32 at least.

    Outputs are [B, C, *] scores of C classes, or scores of "yes" in the shape of the target. Probabilities are
    clipped by the eps of their dtype, as scikit-learn does, so that a sure and wrong answer costs a finite amount;
    logits need no clipping.
    """

    higher_is_better = False

    def __init__(self, *, inputs: Inputs = "logits") -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        super().__init__({"total": torch.zeros((), dtype=torch.float64)})
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_target(target)
        binary = outputs.shape == target.shape
        if not binary:
            check_scores(outputs, target)
        check_range(target, num_classes=2 if binary else outputs.shape[1])
        if self.inputs == "probabilities":
            check_probabilities(outputs, class_dimension=not binary)
        outputs = outputs.detach()
        if outputs.dtype != torch.float64:
            outputs = outputs.float()
        total = self._open(outputs.device)["total"]
        nats = self._binary(outputs, target) if binary else self._multiclass(outputs, target)  # [B, *]
        total.add_(nats.sum(dtype=total.dtype))
        self._count += target.numel()

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no sample was seen")
        return self._sums["total"].item() / self._count

    def _multiclass(self, outputs: Tensor, target: Tensor) -> Tensor:
        index = target.long().unsqueeze(1)
        if self.inputs == "logits":
            return -F.log_softmax(outputs, dim=1).gather(1, index).squeeze(1)
        return -_clipped(outputs.gather(1, index).squeeze(1)).log()

    def _binary(self, outputs: Tensor, target: Tensor) -> Tensor:
        if self.inputs == "logits":
            return F.softplus(torch.where(target.bool(), -outputs, outputs))
        return -_clipped(torch.where(target.bool(), outputs, 1 - outputs)).log()


def log_loss(outputs: Tensor, target: Tensor, *, inputs: Inputs = "logits") -> float:
    """`LogLoss` of one batch."""
    metric = LogLoss(inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def _clipped(probs: Tensor) -> Tensor:
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)
