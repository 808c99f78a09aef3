"""Signals over time, coloured by their heat."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from zoo.explanation.pictures import rows_drawn
from zoo.explanation.pictures.image import SIGNED_COLOURS, UNSIGNED_COLOURS

if TYPE_CHECKING:
    from zoo.explanation.result import Explanation

MAX_POINTS = 4000  # more would not show


def draw(explanation: "Explanation", *, sample_rate_hz: float, lengths: Sequence[int] = ()) -> Figure:
    """One panel a row.

    Raises: ValueError if the heat is not over signals.
    """
    heat = explanation.heat.detach().float().cpu().numpy()
    if heat.ndim != 2:
        raise ValueError(f"Signals have heat [B, T]; this is {list(heat.shape)}.")
    heat = heat[: rows_drawn(len(heat))]
    signals = explanation.inputs.detach().float().cpu().numpy()[: len(heat)].reshape(heat.shape)
    figure = Figure(figsize=(9, 2.2 * len(heat)), dpi=120, layout="constrained")
    for row, axes in enumerate(figure.subplots(len(heat), 1, squeeze=False)[:, 0]):
        end = lengths[row] if lengths else heat.shape[1]
        step = max(1, end // MAX_POINTS)
        time = np.arange(0, end, step) / sample_rate_hz
        signal, warmth = signals[row, :end:step], heat[row, :end:step]
        limit = float(np.abs(warmth).max()) or 1.0
        axes.plot(time, signal, color="0.8", linewidth=0.6)
        axes.scatter(
            time, signal, c=warmth, s=2, vmin=-limit if explanation.signed else 0, vmax=limit,
            cmap=SIGNED_COLOURS if explanation.signed else UNSIGNED_COLOURS,
        )  # fmt: skip
        axes.set_title(f"{explanation.title(row)}: {explanation.method.replace('_', ' ')}", fontsize=8)
        axes.set_xlabel("seconds", fontsize=8)
        axes.set_ylabel("amplitude", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure
