"""Pictures of metrics."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zoo.metrics.calibration import Reliability
    from zoo.metrics.ranking import Curve

# Above this many classes a count no longer fits its square at a readable size.
MOST_CLASSES_WITH_COUNTS = 40
# More curves than this cannot be told apart by colour.
MOST_NAMED_CURVES = 10


def confusion_figure(matrix: Tensor, classes: Sequence[str]) -> "Figure":
    """A picture of a confusion matrix: each square shows its count, and by colour its share of the row.

    matrix:  [C, C] counts; rows are true classes, columns predicted ones.
    classes: C names, in the order of the rows.
    Returns: a matplotlib figure with no window behind it; `figure.savefig(path)` writes it.
    Raises:  ValueError if the matrix is not square or the names are not one for each class.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"A confusion matrix is [C, C]; got {list(matrix.shape)}.")
    if len(classes) != len(matrix):
        raise ValueError(f"{len(matrix)} classes need as many names; got {len(classes)}.")
    counts = matrix.cpu()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)  # a class without samples stays blank
    size = min(max(3.0, 0.42 * len(counts)), 24.0)  # inches of the square

    figure = Figure(figsize=(size + 2.2, size + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    ticks = range(len(counts))
    axes.set_xticks(ticks, labels=list(classes), rotation=90)
    axes.set_yticks(ticks, labels=list(classes))
    axes.tick_params(labelsize=8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(counts) <= MOST_CLASSES_WITH_COUNTS:
        for row in ticks:
            for column in ticks:
                _write_count(axes, row, column, int(counts[row, column]), dark=bool(shares[row, column] > 0.5))
    return figure


def roc_figure(curves: Sequence["Curve"], names: Sequence[str] | None = None) -> "Figure":
    """A picture of ROC curves, with the diagonal of chance.

    curves:  as `zoo.metrics.RocAuc.curves` gives them; undefined ones are left out.
    names:   one for each curve, shown beside its area; many are left out of the legend.
    Returns: a matplotlib figure with no window behind it.
    Raises:  ValueError if the names are not one for each curve.
    """
    figure, axes = _square("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    _draw_curves(axes, curves, names, legend="lower right")
    return figure


def precision_recall_figure(curves: Sequence["Curve"], names: Sequence[str] | None = None) -> "Figure":
    """A picture of precision-recall curves, in steps: no straight line joins their points.

    curves: as `zoo.metrics.AveragePrecision.curves` gives them. The rest is as of `roc_figure`.
    """
    figure, axes = _square("recall", "precision")
    _draw_curves(
        axes, curves, names, legend="best", drawstyle="steps-pre"
    )  # the area of a step is at the precision of its end
    return figure


def reliability_figure(bins: "Reliability") -> "Figure":
    """A reliability diagram: how often predictions of each confidence are right, above how many there are of them.

    bins:    as `zoo.metrics.CalibrationError.bins` gives them.
    Returns: a matplotlib figure with no window behind it.
    """
    figure, axes = _square("", "accuracy", extra=1.2)
    lower, widths = bins.edges[:-1].numpy(), bins.edges.diff().numpy()
    seen = (bins.counts > 0).numpy()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    accuracy = bins.accuracy.nan_to_num(0.0).numpy()
    axes.bar(
        lower, accuracy, widths, align="edge", color="C0", alpha=0.6, edgecolor="C0", label="share of right answers"
    )
    axes.plot(bins.confidence.numpy()[seen], accuracy[seen], "o", color="C3", markersize=4, label="at mean confidence")
    axes.legend(fontsize=8, loc="upper left")
    below = axes.inset_axes((0.0, -0.34, 1.0, 0.22), sharex=axes)
    below.bar(lower, (bins.counts / bins.counts.sum().clamp(min=1)).numpy(), widths, align="edge", color="0.6")
    below.set_xlabel("confidence")
    below.set_ylabel("share", fontsize=8)
    return figure


def _square(x: str, y: str, *, extra: float = 0.0) -> tuple["Figure", "Axes"]:
    """Axes from 0 to 1 both ways, and their figure; `extra` inches below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.6 + extra), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _draw_curves(
    axes: "Axes",
    curves: Sequence["Curve"],
    names: Sequence[str] | None,
    *,
    legend: Literal["best", "lower right"],
    drawstyle: str = "default",
) -> None:
    if names is not None and len(names) != len(curves):
        raise ValueError(f"{len(curves)} curves need as many names; got {len(names)}.")
    few = len(curves) <= MOST_NAMED_CURVES
    for number, curve in enumerate(curves):
        if math.isnan(curve.area):
            continue
        title = f"{names[number]}  {curve.area:.3f}" if names is not None else f"area {curve.area:.3f}"
        style = {"color": f"C{number}", "label": title} if few else {"color": "C0", "alpha": 0.3}
        axes.plot(curve.x.numpy(), curve.y.numpy(), drawstyle=drawstyle, clip_on=False, **style)
    if few and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc=legend)


def _write_count(axes: "Axes", row: int, column: int, count: int, *, dark: bool) -> None:
    """Writes one count; zeros stay blank, so that errors stand out."""
    if count:
        text = str(count)
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8 if len(text) <= 4 else 32 / len(text),
            color="white" if dark else "black",
        )
