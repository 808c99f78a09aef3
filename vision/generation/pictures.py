"""Grids of images in -1..1.

Shapes: B images, C channels, H, W pixels.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES = 0.9  # of an image without a title
TITLED_INCHES = 1.5
GAP = 2  # pixels between images without titles


def image_grid(images: Tensor, *, titles: Sequence[str] | None = None) -> "Figure":
    """Images [B, C, H, W] in -1..1, C 1 or 3, to a matplotlib figure of a nearly square grid, one title an image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pixels = ((images.detach().float().cpu() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)  # [B, H, W, C]
    columns = math.ceil(math.sqrt(len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    inches = INCHES if titles is None else TITLED_INCHES
    figure = Figure(figsize=(columns * inches, rows * inches * (1.0 if titles is None else 1.15)), layout="constrained")
    FigureCanvasAgg(figure)
    if titles is None:  # one picture of all: an axis for each takes a hundred times as long
        panels, names = [mosaic(pixels, rows=rows, columns=columns)], [""]
        rows = columns = 1
    else:
        panels, names = list(pixels), list(titles)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, panel, name in zip(axes.flat, panels, names, strict=False):
        axis.imshow(panel.numpy(), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        axis.set_title(name, fontsize=7)
    return figure


def mosaic(pixels: Tensor, *, rows: int, columns: int) -> Tensor:
    """Images [B, H, W, C] in 0..1 to one of `rows` x `columns` of them, white between them and where there are none."""
    height, width, channels = pixels.shape[1:]
    whole = torch.ones(rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        whole[top : top + height, left : left + width] = image
    return whole
