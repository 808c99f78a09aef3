"""Calibration error against torchmetrics, NumPy written from the paper, and by hand."""

import math

import numpy as np
import pytest
import torch

from zoo.metrics import CalibrationError, UndefinedMetricWarning, calibration_error, make_metric


def data(rows=500, classes=4):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(classes, (rows,), generator=generator)
    logits = 2 * torch.randn(rows, classes, generator=generator) + torch.nn.functional.one_hot(target, classes)
    return logits, target


def from_the_paper(probs, target, num_bins):
    """Equations 3 and 5 in NumPy: bin m holds confidences in ((m - 1) / M, m / M]."""
    confidence, right = probs.max(1), probs.argmax(1) == target
    gaps = []
    for number in range(num_bins):
        inside = (confidence > number / num_bins) & (confidence <= (number + 1) / num_bins)
        if inside.any():
            gaps.append((inside.mean(), abs(right[inside].mean() - confidence[inside].mean())))
    return sum(share * gap for share, gap in gaps), max(gap for _, gap in gaps)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_is_the_papers(inputs, num_bins):
    """Fails if bins weigh alike, or confidence is not that of the predicted class."""
    logits, target = data()
    probs = logits.softmax(1)
    outputs = logits if inputs == "logits" else probs
    expected, largest = from_the_paper(probs.double().numpy(), target.numpy(), num_bins)
    assert calibration_error(outputs, target, inputs=inputs, num_bins=num_bins) == pytest.approx(expected, rel=1e-5)
    found = calibration_error(outputs, target, inputs=inputs, num_bins=num_bins, norm="maximum")
    assert found == pytest.approx(largest, rel=1e-5)


@pytest.mark.parametrize(("norm", "other"), [("expected", "l1"), ("maximum", "max")])
def test_is_torchmetrics(norm, other):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    logits, target = data()
    expected = functional.multiclass_calibration_error(logits.softmax(1), target, 4, n_bins=15, norm=other)
    assert calibration_error(logits, target, norm=norm) == pytest.approx(expected.item(), rel=1e-5)


def test_by_hand():
    """Confidences 0.9, 0.8 and 0.6, of which the second is wrong: |1/2 - 0.85| * 2/3 + |1 - 0.6| * 1/3."""
    probs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    target = torch.tensor([0, 0, 0])
    metric = CalibrationError(num_bins=3, inputs="probabilities")
    metric.update(probs, target)
    assert metric.compute() == pytest.approx(0.35 * 2 / 3 + 0.4 / 3)
    bins = metric.bins()
    assert bins.counts.tolist() == [0, 1, 2]
    assert bins.accuracy[1:].tolist() == [1, 0.5]
    torch.testing.assert_close(bins.confidence[1:], torch.tensor([0.6, 0.85], dtype=torch.float64))
    assert bins.accuracy[0].isnan()


def test_a_bin_holds_its_upper_edge():
    probs = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    metric = CalibrationError(num_bins=4, inputs="probabilities")
    metric.update(probs, torch.tensor([0, 0]))
    assert metric.bins().counts.tolist() == [0, 1, 1, 0]


def test_yes_or_no_is_two_classes():
    """Fails if the confidence of "no" is that of yes."""
    torch.manual_seed(0)
    logits, target = torch.randn(200) * 2, torch.randint(2, (200,))
    expected = calibration_error(torch.stack([torch.zeros(200), logits], 1), target)
    assert calibration_error(logits, target) == pytest.approx(expected, rel=1e-6)
    assert calibration_error(logits.sigmoid(), target, inputs="probabilities") == pytest.approx(expected, rel=1e-5)
    assert calibration_error(logits.view(20, 10), target.view(20, 10).bool()) == pytest.approx(expected, rel=1e-6)


def test_calibrated_answers_have_no_error():
    """Answers that are right as often as they are sure; fails if a bin's middle stands for its confidence."""
    confidence = torch.full((10_000,), 0.73)
    target = (torch.arange(10_000) < 7300).long()
    assert calibration_error(confidence, target, inputs="probabilities") == pytest.approx(0, abs=1e-6)


def test_extreme_outputs():
    """Fails if an offset overflows, bf16 confidences are summed in bf16, or a confidence of 1 has no bin."""
    logits, target = data()
    assert calibration_error(logits + 1e3, target) == pytest.approx(calibration_error(logits, target), rel=1e-3)
    low = logits.bfloat16()
    assert calibration_error(low, target) == calibration_error(low.float(), target)
    assert calibration_error(torch.tensor([[1e4, 0.0]]), torch.tensor([0])) == 0
    assert calibration_error(torch.tensor([[1e4, 0.0]]), torch.tensor([1])) == 1


def test_what_is_undefined():
    with pytest.warns(UndefinedMetricWarning, match="no sample"):
        assert math.isnan(calibration_error(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))
    with pytest.warns(UndefinedMetricWarning, match="1 of 2 outputs are NaN"):
        assert math.isnan(calibration_error(torch.tensor([[math.nan, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])))


def test_options_and_targets_are_checked():
    with pytest.raises(ValueError, match="at least 1"):
        make_metric("calibration_error", num_bins=0)
    with pytest.raises(ValueError, match="'expected', 'maximum'"):
        make_metric("calibration_error", norm="l2")
    with pytest.raises(ValueError, match="'logits', 'probabilities'"):
        make_metric("calibration_error", inputs="labels")
    with pytest.raises(ValueError, match=r"0\.\.2; got 3"):
        calibration_error(torch.zeros(1, 3), torch.tensor([3]))
    with pytest.raises(ValueError, match="inputs='logits'"):
        calibration_error(torch.tensor([[3.0, -1.0]]), torch.tensor([0]), inputs="probabilities")


def test_many_samples_keep_their_digits():
    """Fails if confidences are summed in float32."""
    metric = make_metric("calibration_error", num_bins=1, inputs="probabilities")
    for _ in range(20):
        metric.update(torch.full((100_000,), 0.7), torch.ones(100_000, dtype=torch.int64))
    assert metric.compute() == pytest.approx(1 - np.float32(0.7), rel=1e-9)
