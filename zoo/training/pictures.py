"""Pictures of a run's history."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITION = ("event", "stage", "epoch", "step", "time", "lr")
# -- Largest sizes of metrics that share a panel: shares, percentages such as BLEU, and what goes beyond.
SCALES = (1.0, 100.0, float("inf"))
LOG_RATIO = 100  # of the largest to the smallest value, from which on an axis is logarithmic


def curves_figure(history: Sequence[Mapping[str, Any]]) -> "Figure":
    """Losses on the left, then the other metrics, over the epochs of all stages; a panel for each scale of metrics.

    history: records of epochs; "train_x" and "x" share a colour, training dashed. Stages are set apart by a line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(history)
    figure = Figure(figsize=(5 * max(len(panels), 1), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, chosen) in zip(figure.subplots(1, max(len(panels), 1), squeeze=False).flat, panels, strict=False):
        for color, base in enumerate(chosen):
            for name, style in ((f"train_{base}", "--"), (base, "-")):
                points = _points(history, name)
                if points:
                    label = f"{base}, training" if name.startswith("train_") else base
                    marker = "o" if len(points) < 30 else None
                    axes.plot(*zip(*points, strict=True), style, color=f"C{color}", label=label, marker=marker, ms=3)
        _dress(axes, title, chosen, history)
    return figure


def _panels(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Titles of the panels, with the metrics of each."""
    names = [name for record in history for name in record if name not in POSITION]
    groups: dict[int | None, list[str]] = {}
    for base in dict.fromkeys(name.removeprefix("train_") for name in names):
        largest = max((abs(y) for name in (base, f"train_{base}") for _, y in _points(history, name)), default=0.0)
        scale = None if "loss" in base else next(place for place, top in enumerate(SCALES) if not largest > top)
        groups.setdefault(scale, []).append(base)
    titles = ("metrics up to 1", "metrics up to 100", "metrics above 100")
    scales = sorted(scale for scale in groups if scale is not None)
    panels = [("loss", groups[None])] if None in groups else []
    return panels + [(titles[scale] if len(scales) > 1 else "metrics", groups[scale]) for scale in scales]


def _points(history: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(index + 1, record[name]) for index, record in enumerate(history) if record.get(name) is not None]


def _dress(axes: Any, title: str, chosen: Sequence[str], history: Sequence[Mapping[str, Any]]) -> None:
    """Title, scales, grid and legend, and a line where a new stage begins."""
    values = [y for base in chosen for name in (base, f"train_{base}") for _, y in _points(history, name)]
    if values and min(values) > 0 and max(values) > LOG_RATIO * min(values):
        axes.set_yscale("log")
    for index in range(1, len(history)):
        if history[index].get("stage") != history[index - 1].get("stage"):
            axes.axvline(index + 0.5, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend(fontsize=8)
