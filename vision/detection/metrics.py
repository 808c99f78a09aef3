"""Average precision of detections: COCO's mean over overlaps, and Pascal VOC's at an overlap of a half.

Source: Lin et al. 2014, arXiv:1405.0312, section 6 and the evaluation on cocodataset.org, computed by faster-coco-eval;
    Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2, with the area under all points of the curve as
    the challenge has had it since 2010.
Differs from the paper: VOC's boxes are taken as continuous; its kit adds a pixel to each width and height.
Shapes: N detections and T true boxes of an image, D detections of a class.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.metrics import ListMetric, UndefinedMetricWarning

Array = np.ndarray[Any, np.dtype[Any]]
VOC_OVERLAP = 0.5


class Row(NamedTuple):
    """What is kept of one image: detections, then true boxes (x1, y1, x2, y2)."""

    boxes: Array
    labels: Array
    scores: Array
    truths: Array
    true_labels: Array
    difficult: Array
    crowd: Array


class Curve(NamedTuple):
    """Precision [D] at each recall [D] of one class, as ever less certain detections are counted.

    num_truths: boxes of the class that count.
    """

    recall: Array
    precision: Array
    num_truths: int


class AveragePrecision(ListMetric):
    """COCO's mAP, over ten overlaps from 0.5 to 0.95 and the classes that occur; 0..1.

    classes: names in the order of the labels.
    """

    higher_is_better = True

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self._known: tuple[int, dict[str, float]] | None = None

    def update(self, outputs: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]]) -> None:
        """Adds images.

        outputs: of each "boxes" [N, 4], "labels" [N] and "scores" [N].
        target:  of each "boxes" [T, 4], "labels" [T] and, if there are such, "difficult" and "iscrowd" [T].
        """
        for found, truth in zip(outputs, target, strict=True):
            none = torch.zeros(len(truth["labels"]), dtype=torch.bool)
            arrays = (
                *(found["boxes"].float(), found["labels"], found["scores"].float()),
                *(truth["boxes"].float(), truth["labels"], truth.get("difficult", none), truth.get("iscrowd", none)),
            )
            self.items.append(Row(*(array.detach().cpu().numpy() for array in arrays)))

    def compute(self) -> float:
        return self.values()["map"]

    def values(self) -> dict[str, float]:
        """All figures by name: "map", "map50", "map75", "voc_ap50", and "ap50_<class>" (VOC's) of each class."""
        if self._known is None or self._known[0] != len(self.items):
            curves = voc_curves(self.items, len(self.classes))
            each = [average_precision(curve) for curve in curves]
            seen = [value for value in each if not math.isnan(value)]
            if not seen:
                warnings.warn(
                    f"{type(self).__name__} is undefined: there is no true box.", UndefinedMetricWarning, stacklevel=3
                )
            by_class = {f"ap50_{name}": value for name, value in zip(self.classes, each, strict=True)}
            voc = sum(seen) / len(seen) if seen else math.nan
            self._known = (len(self.items), {**coco_values(self.items), "voc_ap50": voc, **by_class})
        return self._known[1]


class Part(ListMetric):
    """One of the figures of an `AveragePrecision`, which does the counting."""

    higher_is_better = True

    def __init__(self, whole: AveragePrecision, name: str) -> None:
        super().__init__()
        self.whole = whole
        self.name = name

    def update(self, outputs: Any, target: Any) -> None:
        """Adds nothing: `whole` does."""

    def compute(self) -> float:
        return self.whole.values()[self.name]


def detection_metrics(classes: Sequence[str], *, most_classes: int = 20) -> dict[str, ListMetric]:
    """The metrics of detection by name, empty; those of single classes where there are `most_classes` at most."""
    whole = AveragePrecision(classes)
    names = ["map50", "map75", "voc_ap50"]
    if len(classes) <= most_classes:
        names += [f"ap50_{name}" for name in classes]
    return {"map": whole, **{name: Part(whole, name) for name in names}}


def coco_values(rows: Sequence[Row]) -> dict[str, float]:
    """COCO's "map", "map50" and "map75", 0..1; NaN where there is no true box."""
    from faster_coco_eval import COCO, COCOeval_faster

    truths, found = _coco_truths(rows), _coco_detections(rows)
    if not truths:
        return {"map": math.nan, "map50": math.nan, "map75": math.nan}
    if not found:
        return {"map": 0.0, "map50": 0.0, "map75": 0.0}
    numbers = sorted({int(row["category_id"]) for row in (*truths, *found)})
    content = {
        "images": [{"id": number} for number in range(len(rows))],
        "annotations": truths,
        "categories": [{"id": number, "name": str(number)} for number in numbers],
    }
    truth = COCO(content)
    evaluation = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox", print_function=_quiet)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [overlaps, recalls, classes]; all sizes
    return {
        name: float(part[part > -1].mean()) if (part > -1).any() else math.nan  # -1 marks classes without true boxes
        for name, part in (("map", precision), ("map50", precision[0]), ("map75", precision[5]))
    }


def voc_curves(rows: Sequence[Row], num_classes: int, *, overlap: float = VOC_OVERLAP) -> list[Curve]:
    """The curve of each class. A box is found by the most certain detection that overlaps it most, and enough;
    further ones are wrong. Difficult boxes and crowds neither count nor make a detection wrong.
    """
    scores: list[list[float]] = [[] for _ in range(num_classes)]
    right: list[list[bool]] = [[] for _ in range(num_classes)]
    counts = [0] * num_classes
    for row in rows:
        ignored = row.difficult | row.crowd
        for label in np.union1d(row.labels, row.true_labels).astype(int):
            mine, true = row.labels == label, row.true_labels == label
            counts[label] += int((true & ~ignored).sum())
            order = np.argsort(-row.scores[mine], kind="stable")
            verdicts = _verdicts(row.boxes[mine][order], row.truths[true], ignored[true], overlap)
            kept = verdicts >= 0
            scores[label] += row.scores[mine][order][kept].tolist()
            right[label] += (verdicts[kept] == 1).tolist()
    return [_curve(*parts) for parts in zip(scores, right, counts, strict=True)]


def average_precision(curve: Curve) -> float:
    """The area under a curve whose precision is made to fall from right to left, 0..1; NaN without true boxes."""
    if curve.num_truths == 0:
        return math.nan
    recall = np.concatenate(([0.0], curve.recall))
    precision = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())


def _verdicts(boxes: Array, truths: Array, ignored: Array, overlap: float) -> Array:
    """For each of the detections, the most certain first: 1 right, 0 wrong, -1 not counted."""
    verdicts = np.zeros(len(boxes), dtype=np.int64)
    if len(truths) == 0 or len(boxes) == 0:
        return verdicts
    overlaps = _overlaps(boxes, truths)
    taken = np.zeros(len(truths), dtype=bool)
    for number, best in enumerate(overlaps.argmax(axis=1)):
        if overlaps[number, best] < overlap:
            continue
        if ignored[best]:
            verdicts[number] = -1
        elif not taken[best]:
            verdicts[number], taken[best] = 1, True
    return verdicts


def _overlaps(boxes: Array, truths: Array) -> Array:
    """Intersection over union [N, T]."""
    from torchvision.ops import box_iou

    found: Array = box_iou(torch.from_numpy(boxes), torch.from_numpy(truths)).numpy()
    return found


def _curve(scores: list[float], right: list[bool], count: int) -> Curve:
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.cumsum(np.asarray(right, dtype=np.int64)[order])
    return Curve(hits / max(count, 1), hits / np.arange(1, len(hits) + 1), count)


def _coco_truths(rows: Sequence[Row]) -> list[dict[str, Any]]:
    boxes = (
        (image, box, label, crowd)
        for image, row in enumerate(rows)
        for box, label, crowd in zip(row.truths, row.true_labels, row.crowd, strict=True)
    )
    return [  # numbered from 1: to the evaluation 0 means that nothing was matched
        {**_coco_box(image, box, label), "id": number, "iscrowd": int(crowd)}
        for number, (image, box, label, crowd) in enumerate(boxes, 1)
    ]


def _coco_detections(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {**_coco_box(image, box, label), "score": float(score)}
        for image, row in enumerate(rows)
        for box, label, score in zip(row.boxes, row.labels, row.scores, strict=True)
    ]


def _coco_box(image: int, box: Array, label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    return {
        "image_id": image, "category_id": int(label), "bbox": [x1, y1, width, height], "area": width * height
    }  # fmt: skip


def _quiet(*words: Any) -> None:
    """Takes what the evaluation would print."""
