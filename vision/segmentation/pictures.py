"""Pictures of segmentation: masks over images, and figures of each class.

Shapes: C channels, H x W pixels, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from vision.data.masks_files import IGNORE
from vision.data.transforms import Normalise
from zoo.records import ImagePreprocessing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPACITY = 0.45  # of a mask over its image
PANEL_INCHES = 3.2
MOST_IN_LEGEND = 20
GOLDEN = (5**0.5 - 1) / 2  # steps of it on a circle stay as far apart as can be


def shown_image(pixels: Tensor, preprocessing: ImagePreprocessing | None) -> np.ndarray:
    """A normalised image [C, H, W] to floats [H, W, 3] in 0..1; stretched to it if nothing says what normalised it."""
    pixels = pixels.detach().float().cpu()
    if preprocessing is not None and len(preprocessing.mean) == len(pixels):
        pixels = Normalise(preprocessing).inverse(pixels[None])[0]
    else:
        low, high = pixels.aminmax()
        pixels = (pixels - low) / (high - low).clamp_min(1e-6)
    image = pixels[:3] if len(pixels) >= 3 else pixels[:1].expand(3, -1, -1)
    return image.permute(1, 2, 0).numpy()


def class_colours(num_classes: int) -> np.ndarray:
    """A colour for each class, floats [K, 3] in 0..1: black for the first, then bright hues far from each other."""
    from matplotlib.colors import hsv_to_rgb

    numbers = np.arange(num_classes)
    hues = (numbers - 1) * GOLDEN % 1
    colours: np.ndarray = hsv_to_rgb(np.stack([hues, np.full(num_classes, 0.85), np.full(num_classes, 0.95)], axis=1))
    colours[0] = 0
    return colours


def overlay(image: np.ndarray, mask: np.ndarray, num_classes: int) -> np.ndarray:
    """An image [H, W, 3] with the colours of its classes over it, the first class clear; ignored pixels are grey."""
    colours = class_colours(num_classes)
    shown = np.where(mask == IGNORE, 0, mask)
    blended = (1 - OPACITY) * image + OPACITY * colours[shown]
    blended = np.where((shown == 0)[..., None], image, blended)
    return np.where((mask == IGNORE)[..., None] & (num_classes <= IGNORE), 0.5, blended)


def overlay_figure(
    rows: Sequence[tuple[np.ndarray, ...]], classes: Sequence[str], *, titles: Sequence[str]
) -> "Figure":
    """Each row an image [H, W, 3] and masks [H, W] laid over it, with a legend of the classes.

    titles: of the columns, the image's first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    size = (PANEL_INCHES * len(titles) + 1.5, PANEL_INCHES * len(rows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(titles), squeeze=False)
    for number, (image, *masks) in enumerate(rows):
        for panel, title, mask in zip(panels[number], titles, (None, *masks), strict=True):
            panel.imshow(image if mask is None else overlay(image, mask, len(classes)), vmin=0, vmax=1)
            panel.set_title(title if number == 0 else "", fontsize=9)
            panel.set_axis_off()
    colours = class_colours(len(classes))
    shown = sorted({int(label) for _, *masks in rows for mask in masks for label in np.unique(mask)} - {IGNORE})
    handles = [
        Patch(facecolor=colours[label] if label else "none", edgecolor="grey", label=classes[label])
        for label in shown[:MOST_IN_LEGEND]
        if label < len(classes)
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    return figure


def class_figure(values: Mapping[str, Tensor], classes: Sequence[str]) -> "Figure":
    """Bars of each class, a panel for each measure in `values`, all [K] in 0..1; a class that never occurs has none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(values) + 1, 1.2 + 0.3 * len(classes)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(values), squeeze=False, sharey=True)[0]
    for panel, (title, numbers) in zip(panels, values.items(), strict=True):
        heights = numbers.nan_to_num(0.0).tolist()
        panel.barh(range(len(classes)), heights, color="tab:blue")
        for row, number in enumerate(numbers.tolist()):
            text = "does not occur" if number != number else f"{number:.3f}"
            panel.text(0.02, row, text, va="center", fontsize=8, color="black" if heights[row] < 0.3 else "white")
        panel.set_yticks(range(len(classes)), labels=list(classes))
        panel.set_xlim(0, 1)
        panel.set_title(title, fontsize=9)
    panels[0].invert_yaxis()
    return figure
