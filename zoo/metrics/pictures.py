"""Pictures of metrics."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Above this many classes a count no longer fits its square at a readable size.
MOST_CLASSES_WITH_COUNTS = 40


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
