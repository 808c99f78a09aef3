"""Pictures of predicted values."""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DOTS = 2000


def predicted_figure(pairs: Tensor, *, target: str) -> "Figure":
    """Predicted over true values, with the line on which they are equal; many rows as a map of how many there are.

    pairs: [N, 2] predicted and true values, in the target's unit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    predicted, true = pairs.numpy().T
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(pairs) > MOST_DOTS:
        image = axes.hexbin(true, predicted, gridsize=60, bins="log", cmap="viridis", mincnt=1)  # one is seen
        figure.colorbar(image, ax=axes, label="rows")
    else:
        axes.plot(true, predicted, ".", markersize=4, alpha=0.5)
    if len(pairs):
        low, high = float(pairs.min()), float(pairs.max())
        axes.plot([low, high], [low, high], color="0.4", linewidth=0.8)
    axes.set_xlabel(f"true {target}")
    axes.set_ylabel(f"predicted {target}")
    return figure
