"""U-Net: a contracting path, an expanding path, and the maps of the one handed over to the other.

Source: Ronneberger, Fischer and Brox 2015, arXiv:1505.04597, section 2 and figure 1; initialisation from section 3;
  dropout at the end of the contracting path from section 3.1.
Differs from the paper: the rate of the dropout, which it does not state, is that of the authors' published network,
  after levels 4 and 5; padded convolutions and norms are options.
Shapes: B images, C channels, H x W pixels, D channels of a map, K classes.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts, check_probabilities
from zoo.layers import make_normalisation

Padding = Literal["valid", "same"]
Norm = Literal["none", "batch", "group", "instance"]

GROUPS = 8  # of a group norm, fewer for maps of fewer channels


class UNet(nn.Module):
    """Images [B, in_channels, H, W] to logits [B, num_classes, H - 2 margin, W - 2 margin].

    width:   channels of the first level; each level below has twice as many.
    depth:   levels, one more than there are poolings.
    padding: "valid" as in the paper: sizes must be `admissible`, and the output lacks `margin` pixels on each side.
             "same" takes any size and loses nothing.
    norm:    what stands between a convolution and its ReLU; convolutions have a bias only without.
    dropout: probability that a value is dropped after each of the two lowest levels of the contracting path.
    Raises:  ValueError for a value that is none of the choices, a count below 1 or a probability outside [0, 1).
    """

    def __init__(
        self,
        *,
        num_classes: int = 2,
        in_channels: int = 1,
        width: int = 64,
        depth: int = 5,
        padding: Padding = "valid",
        norm: Norm = "none",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, width=width, depth=depth)
        check_choice("padding", padding, get_args(Padding))
        check_choice("norm", norm, get_args(Norm))
        check_probabilities(dropout=dropout)
        self.stride = 2 ** (depth - 1)
        self.padding = padding
        # Each of the two convolutions takes 1 pixel of its level's on each side, on the way down and on the way up.
        losses = [2 * 2**level for level in range(depth)]
        self.margin = sum(losses) + sum(losses[:-1]) if padding == "valid" else 0
        widths = [width * 2**level for level in range(depth)]

        self.down = nn.ModuleList()
        for level, channels in enumerate(widths):
            before = in_channels if level == 0 else widths[level - 1]
            self.down.append(DoubleConvolution(before, channels, padding=padding, norm=norm))
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for channels in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(2 * channels, channels, kernel_size=2, stride=2))
            self.merge.append(DoubleConvolution(2 * channels, channels, padding=padding, norm=norm))
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        self.explained_layer = f"down.{depth - 1}"
        self._init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes, H - 2 margin, W - 2 margin].

        Raises: ValueError if `padding` is "valid" and a side is none of the admissible sizes.
        """
        if self.padding == "valid":
            self._check_size(x)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)  # [B, D 2^level, ~H / 2^level, ~W / 2^level]
            if level >= len(self.down) - 2:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            skip = skips.pop()
            x = merge(torch.cat(_fitted(skip, x), dim=1))
        return self.head(x)

    def admissible(self, size: int) -> int:
        """The smallest input size, pixels, from `size` up, that the poolings halve without remainder."""
        if self.padding == "same":
            return max(size, self.stride)
        offset = _size_before(1, levels=len(self.down))  # sizes that halve well are multiples of the stride apart
        least = max(size, 2 * self.margin + 1)  # a pixel must be left of the output
        return least + (offset - least) % self.stride

    def _check_size(self, x: Tensor) -> None:
        for side in x.shape[-2:]:
            above = self.admissible(side)
            if side != above:
                below = above - self.stride
                near = f"{below} or {above}" if self.admissible(below) == below else f"{above} or more"
                raise ValueError(
                    f"A side of {side} pixels cannot be halved {len(self.down) - 1} times by this U-Net without "
                    f"padding: take {near}, or build it with padding='same'."
                )

    def _init_weights(self) -> None:
        """Normal weights with the deviation sqrt(2 / N) for N values that go into a unit, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.ConvTranspose2d):  # each output pixel sees one input pixel
                nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                nn.init.zeros_(module.bias)


class DoubleConvolution(nn.Sequential):
    """Maps [B, in_channels, H, W] to [B, out_channels, H, W], less 2 pixels a side if "valid": twice 3 x 3 and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, padding: Padding, norm: Norm) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(
                nn.Conv2d(channels, out_channels, kernel_size=3, padding=int(padding == "same"), bias=norm == "none")
            )
            layers += _norm(norm, out_channels)
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "none":
        return []
    groups = next(count for count in range(min(GROUPS, channels), 0, -1) if channels % count == 0)
    options = {"num_groups": groups} if norm == "group" else {}
    return [make_normalisation(norm, channels, **options)]


def _fitted(skip: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at one size: the skip's middle where it is larger, `x` with its last pixels repeated where it is."""
    rows, columns = (skip.shape[dim] - x.shape[dim] for dim in (-2, -1))
    if 0 <= rows <= 1 and 0 <= columns <= 1:  # padded, after the pooling of an odd size
        return skip, F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x
    top, left = rows // 2, columns // 2
    return skip[..., top : top + x.shape[-2], left : left + x.shape[-1]], x


def _size_before(lowest: int, *, levels: int) -> int:
    """The input size that leaves `lowest` pixels at the end of a contracting path without padding."""
    size = lowest + 4
    for _ in range(levels - 1):
        size = 2 * size + 4
    return size
