"""Views of images for test-time augmentation. All keep the size, so that every network takes them.

Source: mirror images and crops at the corners and the centre: Krizhevsky et al. 2012, Advances in Neural
    Information Processing Systems 25, section 4.1.
Differs from the paper: crops are of the image that the network takes, 7/8 of its sides, and are enlarged to its size.
Shapes: B images, C channels, H, W pixels.
"""

from functools import partial

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.training.test_time import View

CROP = 7 / 8  # of each side: 224 of 256 pixels, as in the paper
SCALES = (1.0, 7 / 8, 3 / 4)  # sides of centre crops, over those of the image
CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))  # top or bottom, left or right
CENTRE = (0.5, 0.5)


def flip() -> tuple[View, ...]:
    """The image and its mirror image."""
    return View(checked), View(mirrored)


def flips() -> tuple[View, ...]:
    """The image and its mirror images: left and right, top and bottom, and both."""
    return View(checked), View(mirrored), View(upside_down), View(turned)


def mask_flip() -> tuple[View, ...]:
    """As `flip`, for outputs with a place for each pixel, which are mirrored back."""
    return View(checked), View(mirrored, mirrored)


def mask_flips() -> tuple[View, ...]:
    """As `flips`, for outputs with a place for each pixel, which are mirrored back."""
    return (*mask_flip(), View(upside_down, upside_down), View(turned, turned))


def five_crop() -> tuple[View, ...]:
    """The corners and the centre."""
    return tuple(View(partial(crop, place=place)) for place in (*CORNERS, CENTRE))


def ten_crop() -> tuple[View, ...]:
    """The corners and the centre, and their mirror images."""
    crops = five_crop()
    return crops + tuple(View(partial(_mirrored_crop, place=place)) for place in (*CORNERS, CENTRE))


def scales() -> tuple[View, ...]:
    """The image, and its centre enlarged a little and more."""
    return tuple(View(partial(crop, place=CENTRE, share=share)) for share in SCALES)


def checked(images: Tensor) -> Tensor:
    """Images [B, C, H, W] as they are.

    Raises: DataError for other inputs.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise DataError(f"Views are of float images [B, C, H, W], got {images.dtype} {list(images.shape)}.")
    return images


def mirrored(images: Tensor) -> Tensor:
    """Images or logits [B, C, H, W], left and right swapped."""
    return checked(images).flip(-1)


def upside_down(images: Tensor) -> Tensor:
    """Images or logits [B, C, H, W], top and bottom swapped."""
    return checked(images).flip(-2)


def turned(images: Tensor) -> Tensor:
    """Images or logits [B, C, H, W], turned by half a turn."""
    return checked(images).flip(-2, -1)


def crop(images: Tensor, *, place: tuple[float, float], share: float = CROP) -> Tensor:
    """A part of images [B, C, H, W], enlarged to their size.

    place: where in the room that there is the part begins: rows and columns, 0..1.
    share: of each side that it covers.
    """
    height, width = checked(images).shape[-2:]
    part = max(1, round(share * height)), max(1, round(share * width))
    if part == (height, width):
        return images
    top, left = round(place[0] * (height - part[0])), round(place[1] * (width - part[1]))
    cut = images[..., top : top + part[0], left : left + part[1]]
    return torch.nn.functional.interpolate(cut, size=(height, width), mode="bilinear", align_corners=False)


def _mirrored_crop(images: Tensor, *, place: tuple[float, float]) -> Tensor:
    return mirrored(crop(images, place=place))
