"""Pictures of what agents reach and of what they think actions are worth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_INCHES = 3.2
MOST_COLUMNS = 4


def returns_figure(returns: np.ndarray, *, threshold: float | None) -> "Figure":
    """A histogram of the returns [N] of episodes, with their mean and the threshold of success."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.hist(returns, bins=min(20, max(5, len(returns) // 3)), color="C0", alpha=0.7)
    axes.axvline(float(returns.mean()), color="C1", label=f"mean {returns.mean():.1f}")
    if threshold is not None:
        axes.axvline(threshold, color="0.3", linestyle=":", label=f"threshold {threshold:g}")
    axes.set_xlabel("return of an episode")
    axes.set_ylabel(f"episodes, of {len(returns)}")
    axes.legend(fontsize=8)
    return figure


def values_figure(rows: Sequence[Mapping[str, float]], places: Sequence[str]) -> "Figure":
    """A panel for each observation, named by `places`, with a bar for the value of each action, the largest set off."""
    from matplotlib.figure import Figure

    columns = min(MOST_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(columns * PANEL_INCHES, lines * PANEL_INCHES * 0.7), dpi=120, layout="constrained")
    for index, axes in enumerate(figure.subplots(lines, columns, squeeze=False).flat):
        if index >= len(rows):
            axes.set_axis_off()
            continue
        names, values = list(rows[index]), np.array(list(rows[index].values()))
        colors = ["C1" if place == values.argmax() else "C0" for place in range(len(values))]
        axes.bar_label(axes.barh(names, values, color=colors), fmt="%.4g", fontsize=7, padding=2)
        axes.margins(x=0.25)
        axes.set_title(f"{places[index]}: {names[int(values.argmax())]}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("value (discounted return)", fontsize=8)
    return figure


def learning_curves_figure(
    curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]], *, threshold: float | None, ylabel: str
) -> "Figure":
    """Curves of several runs: each one thin, and the median at each place thick.

    curves: for each name, a list of runs, each a list of (environment steps, value); runs of a name share the steps.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for color, (name, runs) in enumerate(curves.items()):
        for run in runs:
            axes.plot(*zip(*run, strict=True), color=f"C{color}", alpha=0.3, linewidth=0.8)
        shortest = min(map(len, runs))
        middle = np.median([[value for _, value in run[:shortest]] for run in runs], axis=0)
        steps = [step for step, _ in runs[0][:shortest]]
        axes.plot(steps, middle, color=f"C{color}", linewidth=2, label=f"{name}, median of {len(runs)}")
    if threshold is not None:
        axes.axhline(threshold, color="0.3", linestyle=":", label=f"threshold {threshold:g}")
    axes.set_xlabel("environment steps")
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
