"""Random changes of images together with their boxes.

Source: the jitter of scale is that of Ghiasi et al. 2020, arXiv:2012.07177, section 3; the crops around boxes and the
    colours are SSD's: Liu et al. 2015, arXiv:1512.02325, section 2.2.
Differs from the papers: hues are left alone and channels are never permuted, as colours tell classes apart in many
    data; the jitter ends at the image's own size, as detectors resize by themselves.
All chance comes from torch's global generator.
Shapes: N boxes (x1, y1, x2, y2), h x w pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Target = dict[str, Tensor]

LEAST_VISIBLE = 0.3  # share of a box's area; of a smaller rest nobody could say what it is
LEAST_SIDE = 1.0  # pixels
GREY = 114  # of the margin around an image that was made smaller: near the mean of photographs
CROP_SCALE = 0.5  # least share of each side that a crop around a box keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStrength:
    """How far a training image may be changed.

    flip:   probability of mirroring left and right.
    scale:  least and most by which the image is made larger, its size staying the same.
    crop:   probability of a crop around a box, in place of the change of scale.
    jitter: most relative change of brightness, contrast and saturation, 0..1.
    """

    flip: float
    scale: tuple[float, float]
    crop: float
    jitter: float


BOX_STRENGTHS: dict[str, BoxStrength] = {
    "light": BoxStrength(flip=0.5, scale=(0.8, 1.25), crop=0.0, jitter=0.0),
    "standard": BoxStrength(flip=0.5, scale=(0.6, 1.6), crop=0.3, jitter=0.2),
}


def augment_boxes(image: Tensor, target: Target, strength: BoxStrength) -> tuple[Tensor, Target]:
    """An image uint8 [3, h, w] and its target, changed; boxes that are no longer in the image are left out.

    target: "boxes" [N, 4], and any tensors [N, ...] that go with them.
    """
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    height, width = image.shape[-2:]
    boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=(height, width))  # type: ignore[call-arg]
    picture: Any = tv_tensors.Image(image)
    kept = torch.ones(len(boxes), dtype=torch.bool)
    if strength.jitter:
        amount = strength.jitter
        picture = v2.ColorJitter(brightness=amount, contrast=amount, saturation=amount)(picture)
    picture, boxes = v2.RandomHorizontalFlip(strength.flip)(picture, boxes)
    if len(boxes) and torch.rand(()) < strength.crop:
        before = _areas(boxes)
        picture, boxes = v2.RandomIoUCrop(min_scale=CROP_SCALE)(picture, boxes)
        kept = _visible(boxes, before)
    else:
        factor = float(torch.empty(()).uniform_(*strength.scale))
        picture, boxes, kept = _rescaled(picture, boxes, factor)
    changed = {name: value[kept] if value.ndim and len(value) == len(kept) else value for name, value in target.items()}
    return picture.as_subclass(Tensor).contiguous(), {**changed, "boxes": boxes.as_subclass(Tensor)[kept]}


def _rescaled(picture: Any, boxes: Any, factor: float) -> tuple[Any, Any, Tensor]:
    """The image `factor` times as large, cut or padded at random to its old size; which boxes are still seen [N]."""
    from torchvision.transforms.v2 import functional as F

    height, width = picture.shape[-2:]
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    picture, boxes = F.resize(picture, size, antialias=True), F.resize(boxes, size)
    before = _areas(boxes)
    spare = [size[0] - height, size[1] - width]
    top, left = (int(torch.rand(()) * (abs(room) + 1)) for room in spare)
    if factor >= 1:
        picture, boxes = (F.crop(part, top, left, height, width) for part in (picture, boxes))
    else:
        padding = [left, top, width - size[1] - left, height - size[0] - top]
        picture, boxes = F.pad(picture, padding, fill=GREY), F.pad(boxes, padding)
    boxes = F.clamp_bounding_boxes(boxes)
    return picture, boxes, _visible(boxes, before)


def _visible(boxes: Tensor, before: Tensor) -> Tensor:
    """Which boxes keep enough of the area that they had `before` [N]."""
    plain = boxes.as_subclass(Tensor)
    wide = (plain[:, 2:] - plain[:, :2] >= LEAST_SIDE).all(dim=1)
    return wide & (_areas(boxes) >= LEAST_VISIBLE * before)


def _areas(boxes: Tensor) -> Tensor:
    plain = boxes.as_subclass(Tensor)
    return (plain[:, 2] - plain[:, 0]).clamp(min=0) * (plain[:, 3] - plain[:, 1]).clamp(min=0)
