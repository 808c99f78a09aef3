"""Rows of a batch mixed with other rows of it: mixup and CutMix.

Source: mixup: Zhang et al. 2017, arXiv:1710.09412, section 2; CutMix: Yun et al. 2019, arXiv:1905.04899, section 3.1.
Differs from the papers: nothing known. As in their authors' code the rows of a batch are mixed with a random order of
    the same rows, by one share for all, and CutMix corrects the share by the area that was really pasted.

All chance comes from torch's global CPU generator, which is a part of every checkpoint and has a seed for each process.
Shapes: B rows, H, W of an image.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.parts.augmentations import AUGMENTATIONS

MixingName = Literal["mixup", "cutmix", "both"]
Box = tuple[int, int, int, int]
IMAGE_BATCH_DIMS = 4  # B, C, H, W


class Mixed(NamedTuple):
    """A batch whose rows are mixtures.

    inputs:   [B, ...], or what a task makes of them.
    partners: the row that each was mixed with, int64 [B].
    share:    of the row itself in the mixture, 0..1; the rest is its partner's.
    """

    inputs: Any
    partners: Tensor
    share: float


Mixing = Callable[[Tensor], Mixed]


def make_mixing(name: str, *, alpha: float = 1.0) -> Mixing:
    """The way of mixing called `name`: "mixup", "cutmix" or "both". Raises: UnknownNameError."""
    return cast(Mixing, AUGMENTATIONS.make(name, alpha=alpha))


class Mixup:
    """Each row becomes a weighted mean of itself and another.

    alpha: of the distribution Beta(alpha, alpha) of the share: small ones leave rows nearly as they are, 1 is even.
    """

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = _checked(alpha)

    def __call__(self, inputs: Tensor) -> Mixed:
        """A batch [B, ...] of floats, mixed."""
        share, partners = draw_share(self.alpha), draw_partners(inputs)
        return Mixed(blended(inputs, partners, share), partners, share)


class CutMix:
    """In each image a rectangle is replaced by that of another.

    alpha: of the distribution Beta(alpha, alpha) of the share of the image that stays.
    """

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = _checked(alpha)

    def __call__(self, inputs: Tensor) -> Mixed:
        """A batch [B, C, H, W], mixed.

        Raises: DataError for inputs that are no images.
        """
        if inputs.ndim < IMAGE_BATCH_DIMS:
            raise DataError(f"CutMix needs images [B, C, H, W], got inputs {list(inputs.shape)}; mixup takes them.")
        share, partners = draw_share(self.alpha), draw_partners(inputs)
        height, width = inputs.shape[-2:]
        column, row = int(torch.randint(width, ())), int(torch.randint(height, ()))
        box = cut_box(share, height=height, width=width, centre=(row, column))
        return Mixed(pasted(inputs, partners, box), partners, share_left(box, height=height, width=width))


class MixupOrCutMix:
    """Mixup or CutMix, drawn evenly for each batch. `alpha` is of both."""

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.mixup, self.cutmix = Mixup(alpha=alpha), CutMix(alpha=alpha)

    def __call__(self, inputs: Tensor) -> Mixed:
        """A batch [B, C, H, W], mixed."""
        return self.mixup(inputs) if torch.rand(()) < 0.5 else self.cutmix(inputs)


def draw_share(alpha: float) -> float:
    """A draw from Beta(alpha, alpha)."""
    parameter = torch.tensor(float(alpha))
    return float(torch.distributions.Beta(parameter, parameter).sample())


def draw_partners(inputs: Tensor) -> Tensor:
    """A random order of the rows of `inputs`, int64 [B], on its device."""
    return torch.randperm(len(inputs)).to(inputs.device, non_blocking=True)


def blended(inputs: Tensor, partners: Tensor, share: float) -> Tensor:
    """`share` of each row and the rest of its partner, [B, ...].

    Raises: DataError for inputs that are no floats.
    """
    if not inputs.is_floating_point():
        raise DataError(f"mixup needs inputs of floats, got {inputs.dtype}: of numbers of things there is no mean.")
    return inputs.lerp(inputs[partners], 1 - share)


def cut_box(share: float, *, height: int, width: int, centre: tuple[int, int]) -> Box:
    """The rectangle (top, left, bottom, right) that leaves `share` of an image, less what lies outside of it.

    centre: row and column, pixels.
    """
    side = 0.5 * (1 - share) ** 0.5  # half of it, over that of the image
    half_height, half_width = int(side * height), int(side * width)
    row, column = centre
    return (
        max(row - half_height, 0), max(column - half_width, 0),
        min(row + half_height, height), min(column + half_width, width),
    )  # fmt: skip


def pasted(inputs: Tensor, partners: Tensor, box: Box) -> Tensor:
    """Images [B, C, H, W] with the rectangle `box` of their partners."""
    top, left, bottom, right = box
    mixed = inputs.clone()
    mixed[..., top:bottom, left:right] = inputs[partners, ..., top:bottom, left:right]
    return mixed


def share_left(box: Box, *, height: int, width: int) -> float:
    """The share of an image outside of `box`, 0..1."""
    top, left, bottom, right = box
    return 1 - (bottom - top) * (right - left) / (height * width)


def _checked(alpha: float) -> float:
    if not 0 < alpha < float("inf"):
        raise ValueError(f"The alpha of a mixture must be above 0 and finite, such as 0.2 or 1.0; got {alpha}.")
    return alpha
