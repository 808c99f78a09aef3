"""The weighted mean of values that were computed elsewhere, such as losses of batches of unequal size."""

import torch
from torch import Tensor

from zoo.metrics.base import Accumulator, undefined


class Mean(Accumulator):
    """Sum of value times weight over the sum of weights, in the unit of the values.

    Not a `Metric`: it is updated with values and weights, not with outputs and targets.
    """

    def __init__(self, *, higher_is_better: bool | None = False) -> None:
        zero = torch.zeros((), dtype=torch.float64)
        super().__init__({"total": zero, "weight": zero.clone()})
        self.higher_is_better = higher_is_better

    def update(self, value: Tensor | float, weight: Tensor | float = 1.0) -> None:
        """Adds values [*]; `weight` is one number for each of them, or a tensor that broadcasts with them.

        For the mean loss of a batch the weight is the number of its samples.
        """
        located = value if isinstance(value, Tensor) else weight
        sums = self._open(located.device if isinstance(located, Tensor) else self._device)
        dtype = sums["total"].dtype
        value = value.detach() if isinstance(value, Tensor) else value
        if isinstance(weight, Tensor):
            weight = weight.detach().to(dtype)
            weighted = weight * value
            sums["total"].add_(weighted.sum())
            sums["weight"].add_(weight.expand_as(weighted).sum())
        elif isinstance(value, Tensor):
            sums["total"].add_(value if value.ndim == 0 else value.sum(dtype=dtype), alpha=weight)
            sums["weight"].add_(weight * value.numel())
        else:
            sums["total"].add_(value * weight)
            sums["weight"].add_(weight)

    def compute(self) -> float:
        weight = self._sums["weight"].item()
        if weight == 0:
            return undefined(self, "the weights sum to 0")
        return self._sums["total"].item() / weight
