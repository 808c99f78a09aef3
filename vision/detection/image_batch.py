"""Images of different sizes as one batch: normalised, resized, padded; and the boxes that go with them.

Source: the scales of training and test in Lin et al. 2017, arXiv:1612.03144, section 5.1.
Differs from the paper: nothing known; bilinear without antialiasing, as in torchvision.
Shapes: B images, N boxes (x1, y1, x2, y2), H x W pixels of the batch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DIVISIBLE_BY = 32  # pixels: the coarsest stride that must divide the sides of a batch


class ImageBatch(NamedTuple):
    """Images side by side.

    pixels:   [B, C, H, W], normalised; zeros at the bottom and right of the smaller images.
    sizes:    height and width of each image within the batch, pixels.
    originals: the same as they came, pixels.
    """

    pixels: Tensor
    sizes: list[tuple[int, int]]
    originals: list[tuple[int, int]]


def make_batch(images: Sequence[Tensor], *, mean: Tensor, std: Tensor, min_size: int, max_size: int) -> ImageBatch:
    """Images [C, h, w] on the scale 0..1 to a batch.

    mean, std: [C, 1, 1].
    min_size:  of the shorter side, pixels; max_size: of the longer side, which goes before.
    Raises:    ValueError or TypeError for what is no image.
    """
    resized = [_resized((_checked(image) - mean) / std, min_size, max_size) for image in images]
    sizes = [(image.shape[-2], image.shape[-1]) for image in resized]
    height, width = (math.ceil(max(size[axis] for size in sizes) / DIVISIBLE_BY) * DIVISIBLE_BY for axis in (0, 1))
    if all(size == (height, width) for size in sizes):
        pixels = torch.stack(resized)
    else:
        pixels = resized[0].new_zeros(len(resized), resized[0].shape[0], height, width)
        for row, image in zip(pixels, resized, strict=True):
            row[:, : image.shape[1], : image.shape[2]] = image
    return ImageBatch(pixels, sizes, [(image.shape[-2], image.shape[-1]) for image in images])


def scale_boxes(boxes: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """Boxes [N, 4] of an image of `size` (height, width) as they lie in the same image at `new_size`."""
    down, right = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * boxes.new_tensor([right, down, right, down])


def at_least_single(values: Tensor) -> Tensor:
    """Half precision to float32, which boxes of hundreds of pixels and their scores need; all else as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _resized(image: Tensor, min_size: int, max_size: int) -> Tensor:
    sides = image.shape[-2:]
    scale = min(min_size / min(sides), max_size / max(sides))
    if scale == 1.0:
        return image
    return F.interpolate(
        image[None], scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0]


def _checked(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or image.ndim != 3:
        came = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"A detector takes a list of images [C, H, W], got {came} in it.")
    if not image.is_floating_point():
        raise TypeError(f"A detector takes images as floats on the scale 0..1, got {image.dtype}: divide by 255.")
    return image
