"""Overlap metrics against scikit-learn, cases by hand, and what is undefined."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, log_loss

from zoo.metrics import (
    UndefinedMetricWarning,
    dice,
    iou,
    make_metric,
    pixel_accuracy,
)
from zoo.metrics.overlap import overlap_counts

CLASSES = 4
OPTIONS = {"dice": {"num_classes": CLASSES}, "iou": {"num_classes": CLASSES}}
NAMES = ["dice", "iou", "pixel_accuracy", "pixel_log_loss"]


def case(*, ignored=True):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(CLASSES, (3, 8, 9), generator=generator)
    logits = torch.randn(3, CLASSES, 8, 9, generator=generator)
    logits += torch.nn.functional.one_hot(target, CLASSES).movedim(-1, 1)
    if ignored:
        target[:, :2, 3:] = 255
    return logits, target


def expected(name, logits, target):
    """scikit-learn's value over the pixels that count."""
    kept = (target != 255).flatten()
    true = target.flatten()[kept].numpy()
    scores = logits.movedim(1, -1).reshape(-1, CLASSES)[kept].double()
    labels = scores.argmax(1).numpy()
    if name == "dice":
        return f1_score(true, labels, average="macro")
    if name == "iou":
        return jaccard_score(true, labels, average="macro")
    if name == "pixel_accuracy":
        return accuracy_score(true, labels)
    return log_loss(true, scores.softmax(1).numpy(), labels=range(CLASSES))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ignored", [False, True])
def test_batches_add_up_to_scikit_learns_value(name, ignored):
    """Fails if values of batches are averaged, or pixels to be ignored count."""
    logits, target = case(ignored=ignored)
    metric = make_metric(name, **OPTIONS.get(name, {}))
    for rows in (slice(0, 1), slice(1, 3), slice(3, 3)):
        metric.update(logits[rows], target[rows])
    assert float(metric.compute()) == pytest.approx(expected(name, logits, target), rel=1e-6)


def test_values_of_each_class():
    logits, target = case(ignored=False)
    labels = logits.argmax(1)
    reference = jaccard_score(target.flatten(), labels.flatten(), average=None)
    np.testing.assert_allclose(iou(logits, target, num_classes=CLASSES, average="none"), reference)
    reference = f1_score(target.flatten(), labels.flatten(), average=None)
    np.testing.assert_allclose(dice(labels, target, num_classes=CLASSES, average="none", inputs="labels"), reference)


def test_a_case_by_hand():
    """Two of three pixels of class 1 found, one too many: IoU 2/4, Dice 4/6; class 0: 1/3 and 2/4."""
    target = torch.tensor([[1, 1, 1, 0, 0]])
    labels = torch.tensor([[1, 1, 0, 1, 0]])
    assert iou(labels, target, num_classes=2, inputs="labels") == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert dice(labels, target, num_classes=2, inputs="labels") == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert pixel_accuracy(labels, target, inputs="labels") == pytest.approx(3 / 5)


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
    labels = torch.tensor([[0, 1, 1]])
    assert iou(labels, labels, num_classes=9, inputs="labels") == 1
    values = iou(labels, labels, num_classes=3, average="none", inputs="labels")
    assert values[:2].tolist() == [1, 1]
    assert math.isnan(values[2])


def test_predictions_on_ignored_pixels_count_nothing():
    """Fails if they count as false positives."""
    target = torch.tensor([[0, 1, 255, 255]])
    labels = torch.tensor([[0, 1, 1, 0]])
    assert iou(labels, target, num_classes=2, inputs="labels") == 1
    assert pixel_accuracy(labels, target, inputs="labels") == 1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_count_is_undefined(name):
    metric = make_metric(name, **OPTIONS.get(name, {}))
    metric.update(torch.randn(1, CLASSES, 2, 2), torch.full((1, 2, 2), 255))
    with pytest.warns(UndefinedMetricWarning):
        assert math.isnan(metric.compute())


@pytest.mark.parametrize("name", ["dice", "iou"])
@pytest.mark.parametrize("stray", [-1, CLASSES, 254])
def test_a_label_out_of_range_raises(name, stray):
    """Fails if it is counted as another class or ignored in silence."""
    metric = make_metric(name, **OPTIONS[name])
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    target[0, 0, 0] = stray
    metric.update(torch.randn(1, CLASSES, 2, 2), target)
    with pytest.raises(ValueError, match=r"outside 0\.\.3"):
        metric.compute()


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_on(name):
    logits, target = case()
    whole = make_metric(name, **OPTIONS.get(name, {}))
    whole.update(logits, target)
    first, second = (make_metric(name, **OPTIONS.get(name, {})) for _ in range(2))
    first.update(logits[:1], target[:1])
    second.load_state_dict(first.state_dict())
    second.update(logits[1:], target[1:])
    assert float(second.compute()) == pytest.approx(float(whole.compute()))


def test_processes_add_up():
    """Fails if a sum is left out of `sync`, so that one process counts for two."""

    class Twice:
        def sum(self, value):
            return value * 2

        def gather_objects(self, value):
            return [value, value]

    logits, target = case()
    for name in NAMES:
        alone, synced = (make_metric(name, **OPTIONS.get(name, {})) for _ in range(2))
        alone.update(logits, target)
        synced.update(logits, target)
        synced.sync(Twice())
        assert float(synced.compute()) == pytest.approx(float(alone.compute()))
        assert all(torch.equal(2 * value, synced.state_dict()[key]) for key, value in alone.state_dict().items())


def test_half_precision_and_many_pixels():
    """Fails if nats are summed in bf16."""
    logits = torch.zeros(1, 2, 256, 256, dtype=torch.bfloat16)
    metric = make_metric("pixel_log_loss")
    metric.update(logits, torch.zeros(1, 256, 256, dtype=torch.int64))
    assert metric.compute() == pytest.approx(math.log(2), rel=1e-6)


def test_unknown_average_raises():
    with pytest.raises(ValueError, match="macro"):
        make_metric("iou", num_classes=2, average="micro")


def test_counts_by_hand():
    """Right, predicted and true pixels of each class, then those out of range. Fails if the last two are swapped."""
    target = torch.tensor([0, 0, 1, 1, 1, 255, 7])
    labels = torch.tensor([0, 1, 1, 1, 1, 0, 1])
    assert overlap_counts(labels, target, num_classes=2).tolist() == [[1, 3, 0], [1, 5, 0], [2, 3, 1]]
