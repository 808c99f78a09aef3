"""Random changes of an image and its mask alike: crops, flips, turns, scales, elastic deformation, brightness.

Source: elastic deformation, mirrored borders: Ronneberger et al. 2015, arXiv:1505.04597, sections 2 and 3.1.
Differs from the paper: rotation and scale are drawn too.

All geometry is one grid of sampling positions, so that a pixel is interpolated once, whatever is asked for; what lies
outside of the image is mirrored. All chance comes from torch's global generator, which sources seed for each row.
Shapes: C channels, H x W pixels of an image, h x w of a crop.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vision.data.transforms import preprocessing_from
from zoo.errors import check_name
from zoo.records import ImagePreprocessing

MaskAugment = Literal["none", "light", "standard", "heavy"]
ELASTIC_POINTS = 3  # of the coarse grid on which displacements are drawn, each way


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPreprocessing(ImagePreprocessing):
    """How an image file becomes the input of a segmentation network. Images keep their aspect, and are not cropped.

    size:         height and width of training crops, pixels.
    shorter_side: pixels that every image is resized to; None keeps its own size. In place of `resize`, which is unused.
    """

    shorter_side: int | None = None


def mask_preprocessing_from(value: ImagePreprocessing | Mapping[str, Any]) -> MaskPreprocessing:
    """A record, or the mapping that JSON makes of one, to a record that was checked."""
    if isinstance(value, ImagePreprocessing):
        given = {part.name: getattr(value, part.name) for part in fields(value)}
    else:
        for name in value:
            check_name("field of MaskPreprocessing", name, (part.name for part in fields(MaskPreprocessing)))
        given = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
    shorter_side = given.pop("shorter_side", None)
    checked = preprocessing_from(given)
    return MaskPreprocessing(
        **{part.name: getattr(checked, part.name) for part in fields(checked)}, shorter_side=shorter_side
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStrength:
    """How far a training image and its mask may be changed.

    flips:    probability of mirroring left and right, and of mirroring top and bottom.
    quarter:  whether images are turned by a random number of right angles.
    rotation: most that is turned beyond that, degrees, either way.
    scale:    least and most factor on the size.
    elastic:  deviation of the displacements of a coarse grid, pixels.
    jitter:   most relative change of brightness and contrast, in 0..1.
    """

    flips: tuple[float, float] = (0.0, 0.0)
    quarter: bool = False
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    elastic: float = 0.0
    jitter: float = 0.0

    @property
    def bends(self) -> bool:
        """Whether pixels must be interpolated."""
        return bool(self.rotation or self.elastic or self.scale != (1.0, 1.0))


MASK_STRENGTHS: dict[str, MaskStrength] = {
    "none": MaskStrength(),
    "light": MaskStrength(flips=(0.5, 0.0), jitter=0.1),
    "standard": MaskStrength(flips=(0.5, 0.0), rotation=10.0, scale=(0.75, 1.33), jitter=0.2),
    # For images without an up and down, such as those of microscopes and satellites.
    "heavy": MaskStrength(flips=(0.5, 0.5), quarter=True, rotation=20.0, scale=(0.8, 1.25), elastic=10.0, jitter=0.2),
}


def training_view(
    image: Tensor, mask: Tensor, size: tuple[int, int], strength: MaskStrength, weights: Tensor | None = None
) -> tuple[Tensor, ...]:
    """A random view of an image and its mask, changed alike.

    image:   uint8 [C, H, W].
    mask:    int64 [H, W]; it is sampled at the nearest pixel, so that it holds no new values.
    size:    height and width of the view, pixels; an image that is smaller is mirrored.
    weights: of the pixels, float32 [H, W].
    Returns: image uint8 [C, h, w], mask int64 [h, w], and weights float32 [h, w] if they were given.
    """
    grid = _positions((image.shape[-2], image.shape[-1]), size, strength)  # [h, w, 2] pixels
    rows, columns = grid.unbind(-1)
    nearest = (_folded(rows.round(), image.shape[-2]).long(), _folded(columns.round(), image.shape[-1]).long())
    view = _bilinear(image, grid) if strength.bends else image[:, *nearest]
    parts = [_brightened(view, strength.jitter), mask[nearest]]
    return (*parts, weights[nearest]) if weights is not None else tuple(parts)


def _positions(image_size: tuple[int, int], size: tuple[int, int], strength: MaskStrength) -> Tensor:
    """Where each pixel of a view lies in the image: rows and columns, float32 [h, w, 2], pixels; also outside of it."""
    height, width = size
    flip_columns, flip_rows = (torch.rand(2) < torch.tensor(strength.flips)).tolist()
    turns = int(torch.randint(4, ())) if strength.quarter else 0
    low, high = strength.scale
    # Zooms are drawn evenly on the scale of logarithms: as often larger as smaller.
    zoom = math.exp(float(torch.empty(()).uniform_(math.log(low), math.log(high)))) if low < high else low
    angle = math.radians(strength.rotation * (2 * float(torch.rand(())) - 1) if strength.rotation else 0.0)
    rows = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    rows, columns = rows * (-1 if flip_rows else 1), columns * (-1 if flip_columns else 1)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)  # about the middle
    for _ in range(turns):
        grid = torch.stack([-grid[..., 1], grid[..., 0]], dim=-1)
    if strength.bends:
        sine, cosine = math.sin(angle), math.cos(angle)
        grid = grid @ torch.tensor([[cosine, -sine], [sine, cosine]]) / zoom
    if strength.elastic:
        grid = grid + elastic_displacement(size, deviation=strength.elastic)
    reach = torch.tensor([float(height), float(width)]) / zoom  # pixels of the image under the view
    if turns % 2:
        reach = reach.flip(0)
    room = torch.tensor([float(side) for side in image_size]) - reach
    draw = torch.rand(2)
    # The view stands anywhere in the image, or the image anywhere in a view that is larger.
    corner = room * draw if strength.bends else room.sign() * ((room.abs() + 1) * draw).floor()
    return grid + corner + (reach - 1) / 2


def elastic_displacement(size: tuple[int, int], *, deviation: float) -> Tensor:
    """Smooth random displacements of rows and columns, float32 [h, w, 2], pixels: a coarse normal grid, bicubic."""
    coarse = deviation * torch.randn(1, 2, ELASTIC_POINTS, ELASTIC_POINTS)
    fine = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    return fine[0].permute(1, 2, 0)


def _folded(positions: Tensor, size: int) -> Tensor:
    """Positions on an axis of `size` pixels, mirrored back into it at its first and last pixel."""
    if size == 1:
        return torch.zeros_like(positions)
    period = 2.0 * (size - 1)
    inside = positions.remainder(period)
    return torch.minimum(inside, period - inside)


def _bilinear(image: Tensor, grid: Tensor) -> Tensor:
    """Image uint8 [C, H, W] at positions [h, w, 2] in pixels, mirrored outside: uint8 [C, h, w]."""
    sides = torch.tensor([image.shape[-1] - 1.0, image.shape[-2] - 1.0]).clamp_min(1)
    scaled = (grid.flip(-1) / sides * 2 - 1)[None]
    found = F.grid_sample(image[None].float(), scaled, mode="bilinear", padding_mode="reflection", align_corners=True)
    return found[0].round_().clamp_(0, 255).to(image.dtype)


def _brightened(image: Tensor, jitter: float) -> Tensor:
    """An image uint8 with its brightness and contrast changed by a random factor each."""
    if not jitter:
        return image.contiguous()
    brightness, contrast = (1 + jitter * (2 * torch.rand(2) - 1)).tolist()
    values = image.float()
    mean = values.mean()
    return ((values - mean) * contrast + mean).mul_(brightness).round_().clamp_(0, 255).to(image.dtype)
