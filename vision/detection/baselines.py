"""What a detector must beat: the same boxes in every image, where boxes of a class usually are.

Shapes: N boxes (x1, y1, x2, y2), as shares of the image's width and height.
"""

import math

import torch
from torch import Tensor

from vision.detection.metrics import detection_metrics
from zoo.data import Bundle, Source

NUM_CLUSTERS = 20  # usual boxes of a class
Usual = tuple[Tensor, Tensor, Tensor]


def usual_boxes(bundle: Bundle, split: str) -> dict[str, float]:
    """The metrics on a part of the data of the usual boxes of the training part, which never look at an image."""
    classes = bundle.classes or ()
    boxes, labels, scores = _clusters(bundle.train.unaugmented(), len(classes))
    metrics = detection_metrics(classes)
    source = bundle.parts[split].unaugmented()
    for row in range(len(source)):
        image, target = source[row]
        height, width = image.shape[-2:]
        found = {"boxes": boxes * boxes.new_tensor([width, height, width, height]), "labels": labels, "scores": scores}
        for metric in metrics.values():
            metric.update([found], [target])
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def _clusters(source: Source, num_classes: int) -> Usual:
    """Centres of k-means over the boxes of each class, with the share of the class's boxes that lie around each."""
    from sklearn.cluster import KMeans

    by_class: list[list[Tensor]] = [[] for _ in range(num_classes)]
    for row in range(len(source)):
        image, target = source[row]
        height, width = image.shape[-2:]
        for box, label in zip(target["boxes"], target["labels"].tolist(), strict=True):
            by_class[label].append(box / box.new_tensor([width, height, width, height]))
    boxes, labels, scores = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0)]
    for label, rows in enumerate(by_class):
        if rows:
            count = min(NUM_CLUSTERS, max(1, math.isqrt(len(rows))))
            clusters = KMeans(count, n_init=3, random_state=0).fit(torch.stack(rows).double().numpy())
            boxes.append(torch.from_numpy(clusters.cluster_centers_).float())
            labels.append(torch.full((count,), label))
            scores.append(torch.from_numpy(clusters.labels_).bincount(minlength=count) / len(rows))
    return torch.cat(boxes), torch.cat(labels), torch.cat(scores)
