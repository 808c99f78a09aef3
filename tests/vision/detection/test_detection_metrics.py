"""Average precision by hand, in corner cases, and COCO's against VOC's where they agree."""

import math

import numpy as np
import pytest
import torch

from vision.detection.metrics import (
    AveragePrecision,
    Curve,
    average_precision,
    coco_values,
    detection_metrics,
    voc_curves,
)
from zoo.metrics import UndefinedMetricWarning

BOX, FAR, FARTHER = [0.0, 0, 10, 10], [50.0, 50, 70, 70], [100.0, 100, 130, 120]


def found(boxes, scores, labels=None):
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels or [0] * len(scores)),
    }


def truth(boxes, labels=None, **flags):
    target = {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels or [0] * len(boxes), dtype=torch.int64),
    }
    return target | {name: torch.tensor(value) for name, value in flags.items()}


def values(outputs, targets, classes=("a",)):
    metrics = detection_metrics(classes)
    for output, target in zip(outputs, targets, strict=True):  # batches of one image
        for metric in metrics.values():
            metric.update([output], [target])
    return {name: metric.compute() for name, metric in metrics.items()}


def test_perfect_detections():
    result = values([found([BOX, FAR], [0.9, 0.8], [0, 1])], [truth([BOX, FAR], [0, 1])], ("a", "b"))
    assert result == pytest.approx(dict.fromkeys(("map", "map50", "map75", "voc_ap50", "ap50_a", "ap50_b"), 1.0))


def test_curve_by_hand():
    """Right, wrong, right of three true boxes: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3; area 1/3 + 2/9 = 5/9."""
    output = found([BOX, [200.0, 0, 210, 10], FAR], [0.9, 0.8, 0.7])
    target = truth([BOX, FAR, FARTHER])
    result = values([output], [target])
    assert result["ap50_a"] == pytest.approx(5 / 9)
    # COCO reads precision at 101 recalls: 1 at 0..0.33, 2/3 at 0.34..0.66, then 0.
    assert result["map50"] == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_a_box_is_found_once():
    """Fails if a second detection of the same thing counts as right."""
    result = values([found([BOX, BOX], [0.9, 0.8])], [truth([BOX, FAR])])
    assert result["ap50_a"] == pytest.approx(0.5)
    curve = voc_curves(rows([found([BOX, BOX], [0.9, 0.8])], [truth([BOX, FAR])]), 1)[0]
    assert curve.precision.tolist() == [1.0, 0.5]


def rows(outputs, targets):
    metric = AveragePrecision(("a",))
    metric.update(outputs, targets)
    return metric.items


def test_overlaps_decide():
    """An overlap of 0.6 counts at 0.5 and 0.55 (and 0.6), three of COCO's ten; fails if thresholds change places."""
    result = values([found([[0.0, 0, 10, 6.01]], [0.9])], [truth([BOX])])
    assert (result["map50"], result["map75"]) == (1.0, 0.0)
    assert result["map"] == pytest.approx(0.3)


def test_difficult_boxes_neither_count_nor_hurt():
    """Fails if a difficult box is missed, or its detection is wrong, in Pascal VOC's measure."""
    target = truth([BOX, FAR], difficult=[False, True])
    assert values([found([BOX, FAR], [0.8, 0.9])], [target])["ap50_a"] == 1.0
    assert values([found([BOX], [0.8])], [target])["ap50_a"] == 1.0


def test_crowds_are_not_missed():
    target = truth([BOX, FAR], iscrowd=[False, True])
    for output in (found([BOX, FAR], [0.8, 0.9]), found([BOX], [0.8])):
        result = values([output], [target])
        assert (result["map50"], result["ap50_a"]) == (1.0, 1.0)


def test_scores_of_all_images_are_sorted_together():
    """Fails if the curve is made image by image: the wrong box of the second image is the most certain."""
    result = values([found([BOX], [0.5]), found([FAR], [0.9])], [truth([BOX]), truth([BOX])])
    assert result["ap50_a"] == pytest.approx(0.25)


def test_nothing_found_and_nothing_there():
    assert values([found([], [])], [truth([BOX])])["map"] == 0.0
    assert values([found([], [])], [truth([BOX])])["voc_ap50"] == 0.0
    with pytest.warns(UndefinedMetricWarning):
        result = values([found([BOX], [0.9])], [truth([])])
    assert all(math.isnan(result[name]) for name in ("map", "voc_ap50", "ap50_a"))


def test_classes_without_true_boxes_are_left_out_of_the_mean():
    result = values([found([BOX, FAR], [0.9, 0.8], [0, 1])], [truth([BOX])], ("a", "b"))
    assert result["voc_ap50"] == 1.0
    assert math.isnan(result["ap50_b"])
    assert result["map"] == 1.0


def test_processes_add_up():
    """Fails if the figures that only read the counting metric are not told of the others' rows."""

    class Two:
        def gather_objects(self, value):
            return [value, value]

        def sum(self, value):
            return 2 * value

    metrics = detection_metrics(("a",))
    for metric in metrics.values():
        metric.update([found([BOX], [0.9])], [truth([BOX, FAR])])
    assert metrics["map50"].compute() == pytest.approx(51 / 101)
    for metric in metrics.values():
        metric.sync(Two())
    assert len(metrics["map"].items) == 2
    assert metrics["ap50_a"].compute() == pytest.approx(0.5)


def test_many_classes_have_no_figure_each():
    assert set(detection_metrics([str(number) for number in range(21)])) == {"map", "map50", "map75", "voc_ap50"}


def test_area_of_a_curve():
    assert average_precision(Curve(np.array([0.5, 1.0]), np.array([0.5, 1.0]), 2)) == 1.0  # never below what follows
    assert math.isnan(average_precision(Curve(np.zeros(0), np.zeros(0), 0)))


def test_random_detections_agree_with_coco_within_its_steps():
    """VOC's area and COCO's mean over 101 recalls differ by the steps between them."""
    torch.manual_seed(0)
    outputs, targets = [], []
    for _ in range(30):
        corners = torch.rand(6, 2) * 500
        boxes = torch.cat((corners, corners + 30), 1)
        targets.append({"boxes": boxes, "labels": torch.zeros(6, dtype=torch.int64)})
        noisy = torch.cat(
            (boxes + torch.randn(6, 4) * 4, torch.rand(3, 2).repeat(1, 2) * 500 + torch.tensor([0, 0, 30, 30]))
        )
        outputs.append({"boxes": noisy, "labels": torch.zeros(9, dtype=torch.int64), "scores": torch.rand(9)})
    metric = AveragePrecision(("a",))
    metric.update(outputs, targets)
    result = metric.values()
    assert 0.2 < result["voc_ap50"] < 0.9
    assert result["map50"] == pytest.approx(result["voc_ap50"], abs=0.02)
    assert coco_values(metric.items)["map"] == result["map"]
