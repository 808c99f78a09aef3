"""Pictures of a run's history."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITION = ("event", "stage", "epoch", "step", "time", "lr")


def curves_figure(history: Sequence[Mapping[str, Any]]) -> "Figure":
    """Losses on the left, the other metrics on the right, over the epochs of all stages.

    history: records of epochs; "train_x" and "x" share a colour, training dashed. Stages are set apart by a line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = list(dict.fromkeys(name for record in history for name in record if name not in POSITION))
    bases = list(dict.fromkeys(name.removeprefix("train_") for name in names))
    for axes, chosen, title in (
        (left, [base for base in bases if "loss" in base], "loss"),
        (right, [base for base in bases if "loss" not in base], "metrics"),
    ):
        for color, base in enumerate(chosen):
            for name, style in ((f"train_{base}", "--"), (base, "-")):
                points = [
                    (index + 1, record[name]) for index, record in enumerate(history) if record.get(name) is not None
                ]
                if points:
                    label = f"{base}, training" if name.startswith("train_") else base
                    marker = "o" if len(points) < 30 else None
                    axes.plot(*zip(*points, strict=True), style, color=f"C{color}", label=label, marker=marker, ms=3)
        for index in range(1, len(history)):
            if history[index].get("stage") != history[index - 1].get("stage"):
                axes.axvline(index + 0.5, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize=8)
    return figure
