"""Normalisation as one slot: a function of the number of channels for each kind.

Source: batch, Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1; layer, Ba et al. 2016, arXiv:1607.06450, section
  3, and over the channels of each pixel as in ConvNeXt, Liu et al. 2022, arXiv:2201.03545; instance, Ulyanov et al.
  2016, arXiv:1607.08022; group, Wu and He 2018, arXiv:1803.08494, section 3; rms, Zhang and Sennrich 2019,
  arXiv:1910.07467, section 4.
Differs from the papers: nothing known; the kernels are torch's.
Shapes: B rows, C channels, D features, H height, W width, * any dimensions. Learned scale and shift are [C] or [D] and
  called weight and bias in all kinds.
"""

from collections.abc import Iterable
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

Over = Literal["last", "channels", "sample"]
Place = Literal["last", "channels"]

BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ChannelLayerNorm(nn.LayerNorm):
    """Maps [B, C, *] to maps of the same shape, the C values of each place to mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, *] to maps [B, C, *]."""
        x = x.movedim(1, -1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class ChannelRMSNorm(nn.RMSNorm):
    """Maps [B, C, *] to maps of the same shape, the C values of each place to a root mean square of 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, *] to maps [B, C, *]."""
        x = x.movedim(1, -1)
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps).movedim(-1, 1)


def batch(
    channels: int, *, spatial_dims: int = 2, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
) -> nn.Module:
    """Each channel of [B, C, *] over the rows of the batch and all places; in evaluation by running statistics.

    spatial_dims: dimensions after the channels: 0 for rows [B, C], 1 for sequences, 2 for images, 3 for volumes.
    eps:          added to the variance; momentum: share of a batch in the running statistics.
    affine:       whether there are a learned scale and shift.
    Raises:       ValueError for a number that cannot be used; the others likewise.
    """
    _check(channels, eps)
    _check_spatial_dims("batch", spatial_dims, BATCH_NORMS)
    if not 0 < momentum <= 1:
        raise ValueError(f"momentum is {momentum}; give the share of a batch in the running statistics, in (0, 1].")
    return BATCH_NORMS[spatial_dims](channels, eps=eps, momentum=momentum, affine=affine)


def instance(channels: int, *, spatial_dims: int = 2, eps: float = 1e-5, affine: bool = True) -> nn.Module:
    """Each channel of each row of [B, C, *] over its places; `spatial_dims` from 1 to 3, other options as for `batch`.

    There are no running statistics: evaluation does as training.
    """
    _check(channels, eps)
    _check_spatial_dims("instance", spatial_dims, INSTANCE_NORMS)
    return INSTANCE_NORMS[spatial_dims](channels, eps=eps, affine=affine)


def group(channels: int, *, num_groups: int = 32, eps: float = 1e-5, affine: bool = True) -> nn.Module:
    """Each row of [B, C, *] over the places and channels of each of `num_groups` groups, which must divide C."""
    _check(channels, eps)
    if num_groups < 1 or channels % num_groups:
        divisors = [str(count) for count in range(1, min(channels, 64) + 1) if channels % count == 0]
        raise ValueError(
            f"{channels} channels cannot be divided into num_groups={num_groups} groups. Take one of "
            f"{', '.join(divisors)}."
        )
    return nn.GroupNorm(num_groups, channels, eps=eps, affine=affine)


def layer(channels: int, *, over: Over = "last", eps: float = 1e-5, affine: bool = True) -> nn.Module:
    """Each row by itself, over the dimensions that `over` says.

    over:   "last": the D values of each vector of [*, D], as in a Transformer;
            "channels": the C values of each place of [B, C, *], as in ConvNeXt;
            "sample": the C values of all places of [B, C, *] together, with a scale and shift for each channel: a group
            norm of one group.
    Raises: ValueError for another word.
    """
    _check(channels, eps)
    _check_choice("over", over, get_args(Over))
    if over == "sample":
        return nn.GroupNorm(1, channels, eps=eps, affine=affine)
    kind = ChannelLayerNorm if over == "channels" else nn.LayerNorm
    return kind(channels, eps=eps, elementwise_affine=affine)


def rms(channels: int, *, over: Place = "last", eps: float = 1e-6, affine: bool = True) -> nn.Module:
    """As `layer`, over the root mean square alone: the mean is not taken out, and there is no shift."""
    _check(channels, eps)
    _check_choice("over", over, get_args(Place))
    kind = ChannelRMSNorm if over == "channels" else nn.RMSNorm
    return kind(channels, eps=eps, elementwise_affine=affine)


def none(channels: int) -> nn.Module:
    """What comes in."""
    _check(channels, 1.0)
    return nn.Identity()


def _check(channels: int, eps: float) -> None:
    if channels < 1:
        raise ValueError(f"channels is {channels}; at least 1 is needed.")
    if not eps > 0:
        raise ValueError(f"eps is {eps}; it must be above 0, as it keeps a constant channel from a division by 0.")


def _check_spatial_dims(name: str, spatial_dims: int, kinds: Iterable[int]) -> None:
    if spatial_dims not in kinds:
        known = ", ".join(map(str, kinds))
        raise ValueError(f"spatial_dims is {spatial_dims}; a {name} norm takes {known} dimensions after the channels.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
