"""Spectrograms with heat over time and frequency."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.explanation.pictures import rows_drawn
from zoo.explanation.pictures.image import LAYER_PERCENTILE, colour

if TYPE_CHECKING:
    from zoo.explanation.result import Explanation

Array = np.ndarray[Any, np.dtype[Any]]
TICKS = 5


def draw(
    explanation: "Explanation", *, hop_seconds: float, frequencies_hz: Sequence[float], lengths: Sequence[int] = ()
) -> Figure:
    """Three panels a row: the spectrogram, the heat, and the heat over the spectrogram.

    Raises: ValueError if the heat is not over these frequencies.
    """
    heat = explanation.heat.detach().float().cpu().numpy()
    if heat.ndim != 3 or heat.shape[1] != len(frequencies_hz):
        raise ValueError(f"{len(frequencies_hz)} frequencies do not fit heat of the shape {list(heat.shape)}.")
    heat = heat[: rows_drawn(len(heat))]
    levels = explanation.inputs.detach().float().cpu().numpy()[: len(heat)].reshape(heat.shape)
    figure = Figure(figsize=(11, 2.6 * len(heat)), dpi=120, layout="constrained")
    panels = figure.subplots(len(heat), 3, squeeze=False)
    for row, (left, middle, right) in enumerate(panels):
        end = lengths[row] if lengths else heat.shape[2]
        level, warmth = levels[row, :, :end], heat[row, :, :end]
        grey = _stretched(level)
        colours, opacity = colour(warmth, signed=explanation.signed, percentile=LAYER_PERCENTILE)
        share = 0.75 * opacity[..., None] ** 0.5
        mixed = (1 - share) * colormaps["gray"](grey)[..., :3] + share * colours
        for axes, picture, title in (
            (left, grey, explanation.title(row)),
            (middle, colours, explanation.method.replace("_", " ")),
            (right, mixed, f"layer {explanation.layer}" if explanation.layer else "over the input"),
        ):
            axes.imshow(
                picture, origin="lower", aspect="auto", cmap="magma", extent=(0, end * hop_seconds, 0, len(level))
            )
            axes.set_title(title, fontsize=8)
            _label(axes, frequencies_hz)
    return figure


def _stretched(level: Array) -> Array:
    low, high = float(level.min()), float(level.max())
    return (level - low) / (high - low if high > low else 1.0)


def _label(axes: Axes, frequencies_hz: Sequence[float]) -> None:
    rows = np.linspace(0, len(frequencies_hz) - 1, TICKS).round().astype(int)
    axes.set_yticks(rows + 0.5, [f"{frequencies_hz[row]:.0f}" for row in rows], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("seconds", fontsize=7)
    axes.set_ylabel("Hz", fontsize=7)
