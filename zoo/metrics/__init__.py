"""Metrics by name, each as a function of one batch and as a class that accumulates over batches and processes."""

from typing import Any

from zoo.metrics.accuracy import (
    Accuracy,
    ThresholdAccuracy,
    Top5Accuracy,
    TopKAccuracy,
    accuracy,
    accuracy_thresh,
    top_k_accuracy,
)
from zoo.metrics.base import Accumulator, ListMetric, Metric, Processes, UndefinedMetricWarning
from zoo.metrics.calibration import CalibrationError, calibration_error
from zoo.metrics.confusion import ConfusionMatrix, confusion_matrix
from zoo.metrics.frechet import FrechetDistance
from zoo.metrics.images import MSSSIM, PSNR, SSIM, ms_ssim, psnr, ssim
from zoo.metrics.log_loss import LogLoss, log_loss
from zoo.metrics.mean import Mean
from zoo.metrics.overlap import Dice, IoU, PixelAccuracy, PixelLogLoss, dice, iou, pixel_accuracy
from zoo.metrics.precision_recall import F1, Precision, Recall, f1, precision, recall
from zoo.metrics.ranking import (
    AveragePrecision,
    PrecisionRecallCurve,
    RocAuc,
    RocCurve,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from zoo.metrics.regression import MAE, MSE, R2, RMSE, RMSPE, mae, mse, r2, rmse, rmspe
from zoo.metrics.text import BLEU, CER, WER, ChrF, bleu, cer, chrf, wer
from zoo.metrics.tokens import Perplexity, TokenLoss, perplexity
from zoo.parts.metrics import METRICS

__all__ = [
    "BLEU",
    "CER",
    "F1",
    "MAE",
    "METRICS",
    "MSE",
    "MSSSIM",
    "PSNR",
    "R2",
    "RMSE",
    "RMSPE",
    "SSIM",
    "WER",
    "Accumulator",
    "Accuracy",
    "AveragePrecision",
    "CalibrationError",
    "ChrF",
    "ConfusionMatrix",
    "Dice",
    "FrechetDistance",
    "IoU",
    "ListMetric",
    "LogLoss",
    "Mean",
    "Metric",
    "Perplexity",
    "PixelAccuracy",
    "PixelLogLoss",
    "Precision",
    "PrecisionRecallCurve",
    "Processes",
    "Recall",
    "RocAuc",
    "RocCurve",
    "ThresholdAccuracy",
    "TokenLoss",
    "Top5Accuracy",
    "TopKAccuracy",
    "UndefinedMetricWarning",
    "accuracy",
    "accuracy_thresh",
    "average_precision",
    "bleu",
    "calibration_error",
    "cer",
    "chrf",
    "confusion_matrix",
    "dice",
    "f1",
    "iou",
    "log_loss",
    "mae",
    "make_metric",
    "ms_ssim",
    "mse",
    "perplexity",
    "pixel_accuracy",
    "precision",
    "precision_recall_curve",
    "psnr",
    "r2",
    "recall",
    "rmse",
    "rmspe",
    "roc_auc",
    "roc_curve",
    "ssim",
    "top_k_accuracy",
    "wer",
]


def make_metric(name: str, **options: Any) -> Metric:
    """A fresh metric called `name`.

    options: arguments of the metric's class, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names.
    """
    metric: Metric = METRICS.make(name, **options)
    return metric
