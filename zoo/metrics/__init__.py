"""Metrics by name, each as a function of one batch and as a class that accumulates over batches and processes."""

from typing import Any

from zoo.metrics.accuracy import Accuracy, Top5Accuracy, TopKAccuracy, accuracy, top_k_accuracy
from zoo.metrics.base import Accumulator, ListMetric, Metric, Processes, UndefinedMetricWarning
from zoo.metrics.confusion import ConfusionMatrix, confusion_matrix
from zoo.metrics.log_loss import LogLoss, log_loss
from zoo.metrics.mean import Mean
from zoo.metrics.overlap import Dice, IoU, PixelAccuracy, PixelLogLoss, dice, iou, pixel_accuracy
from zoo.metrics.precision_recall import F1, Precision, Recall, f1, precision, recall
from zoo.metrics.regression import MAE, R2, RMSE, mae, r2, rmse
from zoo.parts.metrics import METRICS

__all__ = [
    "F1",
    "MAE",
    "METRICS",
    "R2",
    "RMSE",
    "Accumulator",
    "Accuracy",
    "ConfusionMatrix",
    "Dice",
    "IoU",
    "ListMetric",
    "LogLoss",
    "Mean",
    "Metric",
    "PixelAccuracy",
    "PixelLogLoss",
    "Precision",
    "Processes",
    "Recall",
    "Top5Accuracy",
    "TopKAccuracy",
    "UndefinedMetricWarning",
    "accuracy",
    "confusion_matrix",
    "dice",
    "f1",
    "iou",
    "log_loss",
    "mae",
    "make_metric",
    "pixel_accuracy",
    "precision",
    "r2",
    "recall",
    "rmse",
    "top_k_accuracy",
]


def make_metric(name: str, **options: Any) -> Metric:
    """A fresh metric called `name`.

    options: arguments of the metric's class, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names.
    """
    metric: Metric = METRICS.make(name, **options)
    return metric
