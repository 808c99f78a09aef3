"""Bars of the heat of columns."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from zoo.explanation.pictures import rows_drawn

if TYPE_CHECKING:
    from zoo.explanation.result import Explanation

BAR_INCHES, PANEL_INCHES = 0.26, 5.0
TITLE_LETTERS = 56  # in a line above a panel


def draw(
    explanation: "Explanation",
    *,
    names: Sequence[str],
    values: Sequence[Sequence[str]] = (),
    limit: int = 20,
    unit: str = "",
) -> Figure:
    """One panel a row, the columns with the most heat on top, their bars in `unit`.

    Raises: ValueError if the heat is not over these columns.
    """
    heat = explanation.heat.detach().float().cpu().numpy()
    if heat.ndim != 2 or heat.shape[1] != len(names):
        raise ValueError(f"{len(names)} columns do not fit heat of the shape {list(heat.shape)}.")
    heat = heat[: rows_drawn(len(heat))]
    columns = min(2, len(heat))
    rows = math.ceil(len(heat) / columns)
    count = min(limit, len(names))
    figure = Figure(figsize=(columns * PANEL_INCHES, rows * (1 + count * BAR_INCHES)), dpi=120, layout="constrained")
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if index >= len(heat):
            axes.set_axis_off()
            continue
        order = np.argsort(-np.abs(heat[index]), kind="stable")[:count][::-1]
        texts = [f"{names[k]} = {values[index][k]}" if values else str(names[k]) for k in order]
        shares = heat[index][order]
        axes.barh(range(count), shares, color=["C3" if share > 0 else "C0" for share in shares])
        axes.set_yticks(range(count), [text if len(text) <= 40 else text[:39] + "…" for text in texts], fontsize=8)
        axes.axvline(0, color="0.5", linewidth=0.8)
        title = f"{explanation.title(index)}: {explanation.method.replace('_', ' ')}"
        axes.set_title(textwrap.fill(title, TITLE_LETTERS), fontsize=8)
        axes.set_xlabel(unit, fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
    return figure
