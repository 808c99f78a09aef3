"""Metrics of classifiers that are reported where they are asked for: areas under curves, and calibration.

Shapes: those of logits [B, C] beside classes [B].
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import check_name
from zoo.metrics.averages import Average
from zoo.metrics.base import ListMetric, Metric
from zoo.metrics.calibration import CalibrationError
from zoo.metrics.ranking import AveragePrecision, RocAuc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOICES = ("roc_auc", "average_precision", "calibration_error")


def check_chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each of which must be one of `CHOICES`, once.

    Raises: UnknownNameError with the nearest; ValueError for a single text, and for a name that comes twice.
    """
    if isinstance(names, str):
        raise ValueError(f"extra_metrics is a list of names, such as [{names!r}]; got {names!r}.")
    for name in names:
        check_name("extra metric", name, CHOICES)
    if len(set(names)) != len(names):
        raise ValueError(f"extra_metrics names a metric twice: {', '.join(names)}.")
    return tuple(names)


def chosen_metrics(names: Sequence[str], classes: Sequence[str]) -> dict[str, Metric | ListMetric]:
    """New metrics by name, empty: areas are of class 1 where there are two classes, else the mean over classes."""
    average: Average = "binary" if len(classes) == 2 else "macro"
    every: dict[str, Metric | ListMetric] = {
        "roc_auc": RocAuc(average=average, classes=classes),
        "average_precision": AveragePrecision(average=average, classes=classes),
        "calibration_error": CalibrationError(),
    }
    return {name: every[name] for name in check_chosen(names)}


def chosen_figures(metrics: Mapping[str, Any], classes: Sequence[str]) -> dict[str, "Figure"]:
    """Pictures of those that are among filled metrics: "roc", "precision_recall", "reliability"."""
    from zoo.metrics.pictures import precision_recall_figure, reliability_figure, roc_figure

    found: dict[str, Figure] = {}
    for name, title, draw in (
        ("roc_auc", "roc", roc_figure),
        ("average_precision", "precision_recall", precision_recall_figure),
    ):
        if name in metrics:
            curves = metrics[name].curves()
            found[title] = draw(curves, classes if len(curves) == len(classes) else classes[1:] if curves else ())
    if "calibration_error" in metrics:
        found["reliability"] = reliability_figure(metrics["calibration_error"].bins())
    return found
