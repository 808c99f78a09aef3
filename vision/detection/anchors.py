"""Anchors: boxes of a few sizes and shapes around every cell of every feature map.

Source: Ren et al. 2015, arXiv:1506.01497, section 3.1.1; one size for each level of a pyramid after Lin et al. 2017,
    arXiv:1612.03144, section 4.1.
Differs from the paper: as in torchvision, anchors are centred on the first pixel of a cell and their corners are
    rounded to whole pixels; anchors that reach out of the image are kept in training.
Shapes: L levels, A anchors of a cell, h x w cells of a level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Anchors:
    """Gives the anchors of an image as boxes [N, 4] (x1, y1, x2, y2) in pixels of the batch, level by level.

    sizes:         of each level: the roots of the anchors' areas, pixels.
    aspect_ratios: height over width, the same for every level.
    """

    def __init__(self, *, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float]) -> None:
        if not sizes or not all(sizes) or not aspect_ratios:
            raise ValueError(f"Sizes and aspect ratios are needed for every level, got {sizes} and {aspect_ratios}.")
        if min(min(level) for level in sizes) <= 0 or min(aspect_ratios) <= 0:
            raise ValueError(f"Sizes and aspect ratios must be above 0, got {sizes} and {aspect_ratios}.")
        if len({len(level) for level in sizes}) > 1:
            raise ValueError(f"Sizes must be as many on one level as on another, as one head serves all; got {sizes}.")
        self.sizes = tuple(tuple(level) for level in sizes)
        self.aspect_ratios = tuple(aspect_ratios)
        self._cells = [cell_anchors(level, self.aspect_ratios) for level in self.sizes]

    @property
    def num_per_cell(self) -> int:
        """A: anchors around each cell."""
        return len(self.sizes[0]) * len(self.aspect_ratios)

    def __call__(self, maps: Sequence[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """The anchors of each level [h * w * A, 4], cell by cell in reading order.

        maps:       [B, D, h, w] of each level; only their size, dtype and device count.
        image_size: height and width of the batch that the maps were made from, pixels.
        """
        if len(maps) != len(self.sizes):
            raise ValueError(f"There are {len(self.sizes)} levels of anchors for {len(maps)} maps; give one size each.")
        anchors = []
        for cell, feature in zip(self._cells, maps, strict=True):
            height, width = feature.shape[-2:]
            base = cell.to(feature.device, torch.float32)
            y = torch.arange(height, device=feature.device) * (image_size[0] // height)
            x = torch.arange(width, device=feature.device) * (image_size[1] // width)
            rows, columns = torch.meshgrid(y, x, indexing="ij")
            shifts = torch.stack((columns, rows, columns, rows), dim=-1).view(-1, 1, 4)  # [h * w, 1, 4]
            anchors.append((shifts + base).view(-1, 4))
        return anchors


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Anchors around the point (0, 0), [A, 4]: for each aspect ratio (height over width) one of each size."""
    scales = torch.tensor(sizes, dtype=torch.float32)
    heights = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()[:, None]
    h = (heights * scales).view(-1)
    w = (1 / heights * scales).view(-1)
    return (torch.stack([-w, -h, w, h], dim=1) / 2).round()
