"""Probabilities or values of several members to those of the ensemble.

Source: soft voting after Dietterich 2000, doi:10.1007/3-540-45014-9_1; majority after Hansen and Salamon 1990,
        doi:10.1109/34.58871, section IV.
Shapes: M members, N rows, C classes, or numbers of one target.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def average(outputs: Tensor, *, weights: Sequence[float] | None = None) -> Tensor:
    """The mean [N, C] over members of probabilities or values [M, N, C].

    weights: what each member counts, from 0 up; only their ratios matter. None: all the same.
    Raises:  ValueError for weights that do not fit the members.
    """
    return torch.tensordot(_shares(outputs, weights), outputs, dims=1)


def vote(outputs: Tensor, *, weights: Sequence[float] | None = None) -> Tensor:
    """The share [N, C] of members whose likeliest class is C, from probabilities [M, N, C].

    The class of the most votes is the first of the largest shares: of a tie, that with the lower number.
    weights: as of `average`.
    """
    votes = torch.zeros_like(outputs).scatter_(2, outputs.argmax(2, keepdim=True), 1.0)
    return average(votes, weights=weights)


def _shares(outputs: Tensor, weights: Sequence[float] | None) -> Tensor:
    """The weights as shares that add up to 1, [M]."""
    if outputs.ndim != 3 or not len(outputs):
        raise ValueError(f"Outputs [members, rows, classes] are needed, got the shape {list(outputs.shape)}.")
    if weights is None:
        return outputs.new_full((len(outputs),), 1 / len(outputs))
    if len(weights) != len(outputs):
        raise ValueError(f"{len(outputs)} members need as many weights, got {list(weights)}.")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ValueError(f"weights must be finite, not negative and not all 0, got {list(weights)}.")
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    return shares.to(outputs)
