"""Sequences of unequal length in one batch: masks, and batch norm that leaves the padding out of its statistics.

Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1, over the valid positions only.
Differs from the paper: nothing known.
Shapes: B rows, C channels, F frequencies, T positions in time.
"""

from typing import Any

import torch
from torch import Tensor, nn


def valid_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """Lengths [B] to a mask [B, T], True before the end of each row."""
    return torch.arange(num_positions, device=lengths.device) < lengths[:, None]


def over_channels(mask: Tensor, like: Tensor) -> Tensor:
    """A mask [B, T] in the shape that multiplies `like` [B, C, *, T], in its dtype."""
    return mask.view(len(mask), *(1,) * (like.ndim - 2), mask.shape[1]).to(like.dtype)


class MaskedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of [B, C, *, T] whose statistics in training are of the valid positions alone.

    In evaluation it is PyTorch's. What comes out at positions that are not valid has no meaning: mask it.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 3:
            raise ValueError(f"Expected [B, C, *, T], got {list(input.shape)}.")

    def forward(self, input: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Values [B, C, *, T] and mask [B, 1, *, T], 1 where valid, to normalised values [B, C, *, T]."""
        self._check_input_dim(input)
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        x, mask = input.float() * mask, mask.float()
        dims = [dim for dim in range(x.ndim) if dim != 1]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        num_valid = mask.sum() * (x.numel() / (x.shape[1] * mask.numel()))
        mean = x.sum(dims) / num_valid
        centred = x - mean.view(shape) * mask
        # Not the mean of squares less the square of the mean: that loses all digits where the mean is large.
        variance = centred.square().sum(dims) / num_valid
        self._update(mean.detach(), variance.detach() * (num_valid / (num_valid - 1).clamp(min=1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias.view(shape), centred, scale.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        running: Any = self
        running.num_batches_tracked.add_(1)
        running.running_mean.lerp_(mean, self.momentum or 0.1)
        running.running_var.lerp_(unbiased_variance, self.momentum or 0.1)
