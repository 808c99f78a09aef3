"""What judged episodes come to.

Shapes: N episodes.
"""

import torch
from torch import Tensor

from rl.environments.episodes import Episodes
from zoo.metrics import ListMetric, Metric
from zoo.metrics.base import undefined


class EpisodeMean(Metric):
    """Mean over episodes: of their returns, of their lengths in steps, or of whether a return reaches a threshold.

    what:      a field of `Episodes`.
    threshold: if given, the share of episodes, 0..1, whose value is at least so large.
    """

    def __init__(self, what: str, *, threshold: float | None = None, higher_is_better: bool | None = True) -> None:
        super().__init__({"total": torch.zeros((), dtype=torch.float64)})
        self.what, self.threshold = what, threshold
        self.higher_is_better = higher_is_better

    def update(self, outputs: Episodes, target: object) -> None:  # type: ignore[override]
        """Adds episodes; `target`, their seeds, is not looked at."""
        values = torch.as_tensor(getattr(outputs, self.what), dtype=torch.float64)
        counted = values if self.threshold is None else (values >= self.threshold).double()
        self._open(values.device)["total"].add_(counted.sum())
        self._count += len(values)

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no episode was played")
        return float(self._sums["total"]) / self._count


class EpisodeReturns(ListMetric):
    """The return of every episode, for pictures."""

    def update(self, outputs: Episodes, target: object) -> None:
        self.items += outputs.returns.tolist()

    def compute(self) -> Tensor:
        """[N]"""
        return torch.tensor(self.items, dtype=torch.float64)
