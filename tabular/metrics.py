"""Metrics of tables that zoo.metrics does not have: what pictures are drawn from, and the loss as training has it.

Shapes: B rows of a batch, N rows of all.
"""

import torch
from torch import Tensor

from zoo.losses import Loss
from zoo.metrics import ListMetric, Metric
from zoo.metrics.base import undefined


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
