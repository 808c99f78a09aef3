"""One vector for each row of states, whatever its length.

Shapes: B rows, T tokens, D features.
"""

import torch
from torch import Tensor, nn


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """States [B, T, D] and mask [B, T] to the mean over the tokens [B, D]."""
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def max_pool(states: Tensor, mask: Tensor) -> Tensor:
    """States [B, T, D] and mask [B, T] to the largest of each feature over the tokens [B, D]."""
    return states.masked_fill(~mask[:, :, None], torch.finfo(states.dtype).min).amax(1)


class AttentionPool(nn.Module):
    """States [B, T, D] and mask [B, T] to a weighted mean over the tokens [B, D]; the weights are learned.

    Source: Yang et al. 2016, doi:10.18653/v1/N16-1174, equations 5 to 7.
    Differs from the paper: nothing known.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.project = nn.Linear(num_features, num_features)
        self.context = nn.Linear(num_features, 1, bias=False)

    def weights(self, states: Tensor, mask: Tensor) -> Tensor:
        """The share of each token, [B, T]; a row's shares add up to 1, and padding has none."""
        scores = self.context(self.project(states).tanh())[:, :, 0]  # [B, T]
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(1)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        return (self.weights(states, mask)[:, :, None] * states).sum(1)
