"""Maps of attention with the words at their sides."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from zoo.explanation.pictures import rows_drawn
from zoo.explanation.pictures.tokens import shown

if TYPE_CHECKING:
    from zoo.explanation.result import Explanation

CELL_INCHES = 0.24


def draw(explanation: "Explanation", *, sources: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]) -> Figure:
    """One map a row: input words along the bottom, output words down the side; the bar says what a colour weighs.

    Raises: ValueError if the heat is not over these words.
    """
    heat = explanation.heat
    widest, tallest = max(map(len, sources), default=0), max(map(len, outputs), default=0)
    if heat.ndim != 3 or not len(heat) == len(sources) == len(outputs) or (tallest, widest) > tuple(heat.shape[1:]):
        raise ValueError(f"Attention needs heat [B, T_out, T_in] over its words, got {list(heat.shape)}.")
    heat = heat[: rows_drawn(len(heat))]
    columns = min(2, len(heat))
    rows = math.ceil(len(heat) / columns)
    size = (columns * (2 + widest * CELL_INCHES), rows * (2 + tallest * CELL_INCHES))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if index >= len(heat):
            axes.set_axis_off()
            continue
        words, made = sources[index], outputs[index]
        picture = heat[index, : len(made), : len(words)].detach().float().cpu().numpy()
        image = axes.imshow(picture, cmap="viridis", vmin=0, aspect="auto")
        figure.colorbar(image, ax=axes, label="weight").ax.tick_params(labelsize=8)
        axes.set_xticks(range(len(words)), [shown(word) for word in words], rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(made)), [shown(word) for word in made], fontsize=8)
        axes.set_xlabel("input")
        axes.set_ylabel("output")
        axes.set_title(explanation.method.replace("_", " "), fontsize=8)
    return figure
