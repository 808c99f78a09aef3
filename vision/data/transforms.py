"""From images to what a network was trained to see: evaluation crops, random training crops, normalisation.

Source: the random resized crop is Inception's: Szegedy et al. 2014, arXiv:1409.4842, section 6.
Differs from the paper: areas start at 35% (8% there), which suits fine-tuning, where few images are seen few times; a
crop that would not fit is cut to the image instead of drawn again.

All chance comes in as uniform draws from [0, 1), so that a file read alone and an array changed in batches share the
arithmetic, and a row's change does not depend on its batch.
Shapes: B images, C channels, H, W pixels; h, w of the crop.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from vision.data.jpeg import ImageFile, planes, read_crop, resize, scaled_size
from zoo.errors import DataError, check_name
from zoo.records import ImagePreprocessing

NUM_UNIFORMS = 8  # area, aspect, top, left, flip, brightness, contrast, saturation
SMALL = 64  # up to this size, pixels, images are used whole: there is no margin to give away
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: what JPEG and Pillow call grey


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentStrength:
    """How far a training image may be changed.

    area:   least and most share of the image that a crop covers.
    aspect: most that a crop may be stretched, width over height or the other way round.
    flip:   probability of mirroring left and right.
    jitter: most relative change of brightness, contrast and saturation, in 0..1.
    """

    area: tuple[float, float]
    aspect: float
    flip: float
    jitter: float

    def __post_init__(self) -> None:
        if len(self.area) != 2 or not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area is a least and a most share in 0..1, got {self.area}.")
        if self.aspect < 1 or not 0 <= self.flip <= 1 or not 0 <= self.jitter <= 1:
            raise ValueError(
                f"aspect must be 1 or more, flip and jitter in 0..1; got {self.aspect}, {self.flip} and {self.jitter}."
            )


def light(
    *, area: Sequence[float] = (0.7, 1.0), aspect: float = 1.1, flip: float = 0.5, jitter: float = 0.0
) -> AugmentStrength:
    """Large crops and mirror images; arguments as of `AugmentStrength`."""
    return AugmentStrength(area=tuple(area), aspect=aspect, flip=flip, jitter=jitter)  # type: ignore[arg-type]


def standard(
    *, area: Sequence[float] = (0.35, 1.0), aspect: float = 4 / 3, flip: float = 0.5, jitter: float = 0.2
) -> AugmentStrength:
    """Crops of all sizes, mirror images and other colours; arguments as of `AugmentStrength`."""
    return AugmentStrength(area=tuple(area), aspect=aspect, flip=flip, jitter=jitter)  # type: ignore[arg-type]


STRENGTHS: dict[str, AugmentStrength] = {"light": light(), "standard": standard()}


def preprocessing_from(value: ImagePreprocessing | Mapping[str, Any]) -> ImagePreprocessing:
    """A record, or the mapping that JSON makes of one, to a record that was checked.

    Raises: UnknownNameError for a field that does not exist; DataError for channels other than 1 or 3, or numbers that
            cannot be.
    """
    if not isinstance(value, ImagePreprocessing):
        for name in value:
            check_name("field of ImagePreprocessing", name, (part.name for part in fields(ImagePreprocessing)))
        plain: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
        value = ImagePreprocessing(**plain)
    if len(value.mean) != len(value.std) or len(value.mean) not in (1, 3):
        raise DataError(f"mean and std must have 1 or 3 numbers each, got {value.mean} and {value.std}.")
    if min(*value.size, value.resize) < 1 or min(value.std) <= 0:
        raise DataError(f"size, resize and std must be positive, got {value}.")
    return value


def chosen_preprocessing(
    preprocessing: ImagePreprocessing | Mapping[str, Any] | None,
    *,
    input_shape: Sequence[int] | None,
    size: int | None,
) -> ImagePreprocessing:
    """The preprocessing to use: the one given, else one for inputs of `input_shape`, else ImageNet's at 224 pixels.

    size: height and width of the crop in its place, pixels; the margin around it keeps its proportion.
    """
    if preprocessing is not None:
        record = preprocessing_from(preprocessing)
    elif input_shape:
        channels, height, width = input_shape
        margin = 1.0 if min(height, width) <= SMALL else 256 / 224
        record = ImagePreprocessing(
            size=(height, width),
            resize=round(margin * min(height, width)),
            mean=(0.5,) * channels,
            std=(0.5,) * channels,
        )
    else:
        record = ImagePreprocessing()
    if size is None:
        return preprocessing_from(record)
    if size < 1:
        raise DataError(f"size is {size}; at least 1 pixel is needed.")
    margin = 1.0 if size <= SMALL else record.resize / min(record.size)
    return preprocessing_from(replace(record, size=(size, size), resize=round(margin * size)))


def evaluation_crop(image: ImageFile, preprocessing: ImagePreprocessing) -> Tensor:
    """The standard view of an image file: shorter side to `resize`, then the centre. Returns uint8 [C, h, w].

    Where `size` would not fit into that, the image is resized just so much that it does.
    """
    height, width = preprocessing.size
    scale = max(preprocessing.resize / min(image.height, image.width), height / image.height, width / image.width)
    target = scaled_size(image.height, image.width, scale)
    whole = image.resized(target, channels=len(preprocessing.mean), interpolation=preprocessing.interpolation)
    return planes(centre_crop(whole, preprocessing.size))


def centre_crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle [..., h, w] of images [..., H, W] that are at least so large."""
    top, left = round((images.shape[-2] - size[0]) / 2), round((images.shape[-1] - size[1]) / 2)
    return images[..., top : top + size[0], left : left + size[1]]


def training_crop(
    image: ImageFile, preprocessing: ImagePreprocessing, strength: AugmentStrength, uniforms: Tensor
) -> Tensor:
    """A random view of an image file, uint8 [C, h, w]; `uniforms` [8] holds all its chance."""
    draws = uniforms[None]
    sides = torch.tensor([[float(image.height), float(image.width)]])
    top, left, height, width = crop_boxes(draws, sides, strength, _aspect(preprocessing))[0].tolist()
    pixels = read_crop(
        image,
        (top, left, height, width),
        preprocessing.size,
        channels=len(preprocessing.mean),
        interpolation=preprocessing.interpolation,
    )
    pixels = planes(pixels, mirrored=bool(draws[0, 4] < strength.flip))
    return _recoloured(pixels[None], draws, strength)[0]


def crop_boxes(uniforms: Tensor, sides: Tensor, strength: AugmentStrength, aspect: float) -> Tensor:
    """Draws [B, 8] and image sizes [B or 1, 2] to boxes (top, left, height, width), float32 [B, 4], in pixels.

    aspect: width over height of the crop's target, about which the boxes' aspects are drawn.
    """
    low, high = strength.area
    area = (low + (high - low) * uniforms[:, 0]) * sides[:, 0] * sides[:, 1]
    stretch = aspect * torch.exp((2 * uniforms[:, 1] - 1) * math.log(strength.aspect))
    height = torch.minimum((area / stretch).sqrt(), sides[:, 0])
    width = torch.minimum((area * stretch).sqrt(), sides[:, 1])
    top, left = uniforms[:, 2] * (sides[:, 0] - height), uniforms[:, 3] * (sides[:, 1] - width)
    return torch.stack([top, left, height, width], dim=1)


def _recoloured(images: Tensor, uniforms: Tensor, strength: AugmentStrength) -> Tensor:
    """Images [B, C, H, W] on the scale 0..255 with other brightness, contrast and saturation; same dtype.

    Each of the three is linear in the pixel's colours, so one C x C matrix and one offset an image do them all; the
    result is cut to 0..255 once, at the end.
    """
    if strength.jitter == 0:
        return images
    channels = images.shape[1]
    values = images.flatten(2).float()  # [B, C, H W]
    factors = 1 + strength.jitter * (2 * uniforms[:, 5:8] - 1)
    brightness, contrast, saturation = (factor[:, None, None] for factor in factors.unbind(1))  # [B, 1, 1]
    luma = values.new_tensor(LUMA if channels == 3 else (1.0,))
    grey = (values.mean(2) @ luma)[:, None, None]  # [B, 1, 1]
    colours = saturation * torch.eye(channels, device=images.device) + (1 - saturation) * luma  # [B, C, C]
    offset = (1 - contrast) * brightness * grey
    changed = torch.baddbmm(offset, brightness * contrast * colours, values)
    return changed.clamp_(0, 255).round_().to(images.dtype).reshape(images.shape)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _aspect(preprocessing: ImagePreprocessing) -> float:
    return preprocessing.size[1] / preprocessing.size[0]


class Normalise:
    """Images uint8 [B, C, H, W] to float32 [B, C, H, W], less the mean and over the standard deviation."""

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        std = torch.tensor(preprocessing.std)
        self.scale = (1 / (255 * std))[:, None, None]
        self.shift = (-torch.tensor(preprocessing.mean) / std)[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        if self.scale.device != images.device:
            self.scale, self.shift = self.scale.to(images.device), self.shift.to(images.device)
        return images.to(torch.float32).mul_(self.scale).add_(self.shift)

    def inverse(self, images: Tensor) -> Tensor:
        """Normalised images to floats in 0..1, for pictures."""
        scale, shift = self.scale.to(images.device), self.shift.to(images.device)
        return ((images - shift) / (scale * 255)).clamp(0, 1)


class FitArrays:
    """Arrays of images uint8 [B, 1 or 3, H, W] to the network's input, float32 [B, C, h, w].

    The images are taken as framed already: they are resized so that they cover `size`, without a margin that would be
    cut off, and only what sticks out of another aspect is cropped. Grey is repeated, colour is weighted to grey.
    """

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        self.preprocessing = preprocessing
        self.normalise = Normalise(preprocessing)

    def __call__(self, images: Tensor) -> Tensor:
        images = cover(images, self.preprocessing)
        channels = len(self.preprocessing.mean)
        if images.shape[1] > channels:
            images = _grey(images.float()).round_().to(images.dtype)
        return self.normalise(images if images.shape[1] == channels else images.expand(-1, channels, -1, -1))


def cover(images: Tensor, preprocessing: ImagePreprocessing) -> Tensor:
    """Images [B, C, H, W] resized and cropped at the centre to [B, C, h, w]."""
    height, width = preprocessing.size
    scale = max(height / images.shape[-2], width / images.shape[-1])
    target = scaled_size(images.shape[-2], images.shape[-1], scale)
    return centre_crop(resize(images, target, interpolation=preprocessing.interpolation), preprocessing.size)


class AugmentArrays:
    """Random crops, mirror images and colours of arrays uint8 [B, C, H, W], whole batches at a time."""

    num_uniforms = NUM_UNIFORMS

    def __init__(self, preprocessing: ImagePreprocessing, strength: AugmentStrength) -> None:
        self.preprocessing = preprocessing
        self.strength = strength

    def __call__(self, inputs: Tensor, uniforms: Tensor) -> Tensor:
        if min(inputs.shape[-2] / self.preprocessing.size[0], inputs.shape[-1] / self.preprocessing.size[1]) > 1:
            inputs = cover(inputs, self.preprocessing)  # antialiased; what follows only enlarges
        sides = torch.tensor([[float(inputs.shape[-2]), float(inputs.shape[-1])]], device=inputs.device)
        boxes = crop_boxes(uniforms, sides, self.strength, _aspect(self.preprocessing))
        crops = _sampled(inputs, boxes, uniforms[:, 4] < self.strength.flip, self.preprocessing.size)
        return _recoloured(crops, uniforms, self.strength)


def _sampled(images: Tensor, boxes: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [B, 4] of images uint8 [B, C, H, W], left and right swapped where `mirrored` [B]: uint8 [B, C, *size]."""
    top, left, height, width = boxes.unbind(1)
    rows, columns = images.shape[-2:]
    theta = boxes.new_zeros(len(boxes), 2, 3)  # output coordinates -1..1 to input coordinates -1..1
    theta[:, 0, 0], theta[:, 0, 2] = width / columns * (1 - 2 * mirrored.float()), (2 * left + width) / columns - 1
    theta[:, 1, 1], theta[:, 1, 2] = height / rows, (2 * top + height) / rows - 1
    grid = torch.nn.functional.affine_grid(theta, [len(boxes), images.shape[1], *size], align_corners=False)
    sampled = torch.nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return sampled.round_().to(images.dtype)
