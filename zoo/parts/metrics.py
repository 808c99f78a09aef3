"""The metrics: classes that accumulate over batches and processes."""

from zoo.parts.table import Part, PartTable

METRICS = PartTable(
    "metric",
    Part("accuracy", "zoo.metrics.accuracy:Accuracy", "own", "share of right labels"),
    Part("confusion_matrix", "zoo.metrics.confusion:ConfusionMatrix", "own", "counts of true and predicted classes"),
    Part("dice", "zoo.metrics.overlap:Dice", "Dice 1945, doi:10.2307/1932409", "overlap over the mean size of regions"),
    Part(
        "f1",
        "zoo.metrics.precision_recall:F1",
        "van Rijsbergen 1979, Information Retrieval, chapter 7",
        "harmonic mean of precision and recall",
    ),
    Part(
        "iou",
        "zoo.metrics.overlap:IoU",
        "Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x",
        "overlap over the union of regions",
    ),
    Part(
        "log_loss",
        "zoo.metrics.log_loss:LogLoss",
        "Good 1952, Journal of the Royal Statistical Society B 14(1)",
        "nats of the true class",
    ),
    Part(
        "mae",
        "zoo.metrics.regression:MAE",
        "Draper and Smith 1998, Applied Regression Analysis, chapter 1",
        "mean absolute error",
    ),
    Part(
        "pixel_accuracy",
        "zoo.metrics.overlap:PixelAccuracy",
        "Everingham et al. 2010, doi:10.1007/s11263-009-0275-4",
        "share of right pixels",
    ),
    Part(
        "pixel_log_loss",
        "zoo.metrics.overlap:PixelLogLoss",
        "Good 1952, Journal of the Royal Statistical Society B 14(1)",
        "nats of the true class of a pixel",
    ),
    Part(
        "precision",
        "zoo.metrics.precision_recall:Precision",
        "van Rijsbergen 1979, Information Retrieval, chapter 7",
        "of those predicted, the share that are",
    ),
    Part(
        "r2",
        "zoo.metrics.regression:R2",
        "Draper and Smith 1998, Applied Regression Analysis, chapter 1",
        "share of the variance that is explained",
    ),
    Part(
        "recall",
        "zoo.metrics.precision_recall:Recall",
        "van Rijsbergen 1979, Information Retrieval, chapter 7",
        "of those that are, the share predicted",
    ),
    Part(
        "rmse",
        "zoo.metrics.regression:RMSE",
        "Draper and Smith 1998, Applied Regression Analysis, chapter 1",
        "root of the mean squared error",
    ),
    Part(
        "top5",
        "zoo.metrics.accuracy:Top5Accuracy",
        "Russakovsky et al. 2015, arXiv:1409.0575",
        "share of targets among the five highest scores",
    ),
    Part(
        "top_k",
        "zoo.metrics.accuracy:TopKAccuracy",
        "Russakovsky et al. 2015, arXiv:1409.0575",
        "share of targets among the k highest scores",
    ),
)
