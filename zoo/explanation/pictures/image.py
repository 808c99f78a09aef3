"""The picture of an explanation: input, heat and overlay of every row, drawn with matplotlib's object interface.

No pyplot, so no global state, no window and no figure that stays open.
Shapes: B rows, C channels, H x W pixels.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from zoo.explanation.result import Explanation
from zoo.records import ImagePreprocessing

Array = np.ndarray[Any, np.dtype[Any]]

# Both change evenly in lightness; the second is white at zero.
UNSIGNED_COLOURS, SIGNED_COLOURS = "inferno", "RdBu_r"
# Of the heat's size, what is drawn as full: the few largest pixels of gradient methods would leave all others pale.
LAYER_PERCENTILE, INPUT_PERCENTILE = 99.0, 97.0
PANEL_INCHES = 2.4
_ROWS_PER_BLOCK = 4


def draw(
    explanation: Explanation,
    *,
    preprocessing: ImagePreprocessing | None = None,
    boxes: Sequence[Sequence[Sequence[float]]] = (),
) -> Figure:
    """Three panels a row of the batch: the input with class and probability, the heat, and the heat over the input.

    boxes:  of each row, (left, top, right, bottom) in pixels, outlined in the left and right panels.
    Raises: ValueError if the heat is not over images.
    """
    if explanation.heat.ndim != 3 or explanation.inputs.ndim != 4:
        raise ValueError(f"Pictures are of images [B, C, H, W]; these inputs are {list(explanation.inputs.shape)}.")
    images = to_images(explanation.inputs, preprocessing)
    heats = explanation.heat.detach().float().cpu().numpy()
    percentile = LAYER_PERCENTILE if explanation.layer else INPUT_PERCENTILE
    count = len(heats)
    blocks = 1 if count <= _ROWS_PER_BLOCK else 2 if count <= 3 * _ROWS_PER_BLOCK else 3
    rows = math.ceil(count / blocks)
    aspect = images.shape[1] / images.shape[2]
    panel_height = min(max(PANEL_INCHES * aspect, 0.8), 3 * PANEL_INCHES) + 0.35  # inches, the last for the title
    figure = Figure(figsize=(3 * blocks * PANEL_INCHES, rows * panel_height), dpi=150, layout="constrained")
    axes = figure.subplots(rows, 3 * blocks, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for index in range(count):
        row, block = index // blocks, index % blocks
        left, middle, right = axes[row, 3 * block : 3 * block + 3]
        left.imshow(images[index], cmap="gray", vmin=0, vmax=1)
        left.set_title(_shorten(explanation.title(index)), fontsize=8)
        colours, opacity = colour(heats[index], signed=explanation.signed, percentile=percentile)
        middle.imshow(colours)
        note = " (red for, blue against)" if explanation.signed else ""
        note = note if heats[index].any() else " (zero everywhere)"
        middle.set_title(explanation.method.replace("_", " ") + note, fontsize=8)
        right.imshow(overlay(images[index], colours, opacity))
        right.set_title(_shorten(f"layer {explanation.layer}" if explanation.layer else "over the input"), fontsize=8)
        for panel in (left, right) if boxes else ():
            for x0, y0, x1, y1 in boxes[index]:
                panel.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="lime", linewidth=1.2))
    return figure


def to_images(inputs: Tensor, preprocessing: ImagePreprocessing | None) -> Array:
    """Normalised inputs [B, C, H, W] to colours 0..1: [B, H, W, 3] for three channels, else the mean as grey [B, H, W].

    Without preprocessing each image is stretched to its own range.
    Raises: ValueError if the preprocessing is for another number of channels.
    """
    pixels = inputs.detach().float().cpu().numpy()
    if preprocessing is not None:
        mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
        if not len(mean) == len(std) == pixels.shape[1]:
            raise ValueError(f"preprocessing is for {len(mean)} channels, the inputs have {pixels.shape[1]}.")
        pixels = pixels * std[:, None, None] + mean[:, None, None]
    else:
        low = pixels.min(axis=(1, 2, 3), keepdims=True)
        high = pixels.max(axis=(1, 2, 3), keepdims=True)
        pixels = (pixels - low) / np.where(high > low, high - low, 1)
    pixels = pixels.clip(0, 1)
    return pixels.transpose(0, 2, 3, 1) if pixels.shape[1] == 3 else pixels.mean(axis=1)


def colour(heat: Array, *, signed: bool, percentile: float) -> tuple[Array, Array]:
    """Heat [H, W] to colours [H, W, 3] and opacity [H, W], both 0..1; signed heat is centred on zero.

    percentile: of the heat's size that is drawn as full heat, 0..100.
    """
    if signed:
        limit = _limit(np.abs(heat), percentile)
        scaled = (heat / limit).clip(-1, 1)
        return colormaps[SIGNED_COLOURS]((scaled + 1) / 2)[..., :3], np.abs(scaled)
    above = heat - heat.min()
    scaled = (above / _limit(above, percentile)).clip(0, 1)
    return colormaps[UNSIGNED_COLOURS](scaled)[..., :3], scaled


def overlay(image: Array, colours: Array, opacity: Array) -> Array:
    """The image in grey with the colours laid over it, thicker where there is more heat: [H, W, 3], 0..1."""
    grey = image @ np.array([0.299, 0.587, 0.114]) if image.ndim == 3 else image  # luma of ITU-R BT.601
    share = 0.75 * opacity[..., None] ** 0.5
    return ((1 - share) * grey[..., None] + share * colours).clip(0, 1)


def _limit(size: Array, percentile: float) -> float:
    """What counts as full heat; never zero."""
    return float(np.percentile(size, percentile)) or float(size.max()) or 1.0


def _shorten(text: str, length: int = 34) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
