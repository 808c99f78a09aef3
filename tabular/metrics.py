"""Metrics of tables that zoo.metrics does not have: the area under the ROC curve, and what pictures are drawn from.

Shapes: B rows of a batch, N rows of all.
"""

import torch
from torch import Tensor

from zoo.losses import Loss
from zoo.metrics import ListMetric, Metric
from zoo.metrics.base import undefined


class RocAuc(ListMetric):
    """Chance that a row of class 1 gets a higher score than one of class 0, 0..1; equal scores count half.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747: the area is the Mann-Whitney statistic.
    Differs from the paper: nothing known.
    """

    higher_is_better = True

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Keeps the scores of logits [B, 2] beside the classes [B], 0 or 1."""
        if outputs.ndim != 2 or outputs.shape[1] != 2 or target.shape != outputs.shape[:1]:
            raise ValueError(
                f"Logits [B, 2] and classes [B] are needed; got {list(outputs.shape)}, {list(target.shape)}."
            )
        scores = outputs.detach().double()
        self.items.append(((scores[:, 1] - scores[:, 0]).cpu(), target.cpu()))

    def compute(self) -> float:
        """The area; NaN where one class is missing."""
        if not self.items:
            return undefined(self, "no sample was seen")
        scores = torch.cat([score for score, _ in self.items])
        positive = torch.cat([target for _, target in self.items]).bool()
        num_positive, num_negative = int(positive.sum()), int((~positive).sum())
        if not num_positive or not num_negative:
            return undefined(self, "only one of the two classes occurs")
        _, place, counts = scores.unique(return_inverse=True, return_counts=True)
        last = counts.cumsum(0).double()
        ranks = (last - (counts - 1) / 2)[place]  # of equal scores the middle one, counted from 1
        above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
        return float(above / (num_positive * num_negative))


class Pairs(ListMetric):
    """The predicted beside the true values of all rows [N, 2], to be drawn."""

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Keeps values [B] beside true ones [B]."""
        self.items.append(torch.stack([outputs.detach().float(), target.float()], dim=1).cpu())

    def compute(self) -> Tensor:
        """All of them, [N, 2]."""
        return torch.cat(self.items) if self.items else torch.zeros(0, 2)


class StandardLoss(Metric):
    """The mean of a loss of values over all rows, in units of the target's standard deviation, as training has it.

    loss: of two tensors [B] to a mean [].
    """

    higher_is_better = False

    def __init__(self, loss: Loss, *, std: float) -> None:
        super().__init__({"total": torch.zeros((), dtype=torch.float64)})
        self.loss = loss
        self.std = std

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Adds a batch of values [B] beside true ones [B], in the target's unit."""
        total = self._open(outputs.device)["total"]
        if len(target):
            total.add_(self.loss(outputs.detach() / self.std, target / self.std), alpha=len(target))
        self._count += len(target)

    def compute(self) -> float:
        """The mean."""
        return self._sums["total"].item() / self._count if self._count else undefined(self, "no value was seen")
