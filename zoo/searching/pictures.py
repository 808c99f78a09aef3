"""Pictures of a search: its values over the trials, and how much each option mattered."""

import logging
from typing import TYPE_CHECKING, Any

from zoo.searching.study import Search, Trial, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

HISTORY, IMPORTANCES = "history.png", "importances.png"
FEWEST = 4  # completed trials from which importances are estimated


def draw(search: Search) -> None:
    """Draws the pictures that there is something for into the directory of a search."""
    trials = search.trials
    complete = [trial for trial in trials if trial.state == "complete"]
    if complete:
        history_figure(search, trials).savefig(search.directory / HISTORY, dpi=120)
    shares = importances(search) if len(complete) >= FEWEST else {}
    if shares:
        importance_figure(shares, search.metric).savefig(search.directory / IMPORTANCES, dpi=120)


def history_figure(search: Search, trials: list[Trial]) -> "Figure":
    """The value of each trial, and the best so far; trials that were ended early are crosses."""
    figure, axes = _empty(width=6)
    chosen = min if search.mode == "min" else max
    for state, marker, color in (("complete", "o", "C0"), ("pruned", "x", "0.6")):
        points = [(trial.number, trial.value) for trial in trials if trial.state == state and trial.value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, label=state)
    points = [(trial.number, trial.value) for trial in trials if trial.state == "complete" and trial.value is not None]
    best = [chosen(value for _, value in points[: index + 1]) for index in range(len(points))]
    axes.step([number for number, _ in points], best, where="post", color="C1", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(search.metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def importances(search: Search) -> dict[str, float]:
    """The share 0..1 of the metric's variation that each option explains, the largest first; empty if none varies.

    Source: Watanabe et al. 2023, arXiv:2304.10255 (PED-ANOVA), as Optuna has it.
    """
    import optuna

    with opened(search) as study:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError) as error:  # such as a metric that is the same in all trials
            logger.info("no importances of the options: %s", error)
            return {}


def importance_figure(shares: dict[str, float], metric: str) -> "Figure":
    """A bar for each option, as long as its importance."""
    figure, axes = _empty(width=6)
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color="C0")
    axes.set_xlabel(f"share of the variation of {metric}")
    axes.grid(alpha=0.3, axis="x")
    return figure


def _empty(*, width: float) -> "tuple[Figure, Any]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()
