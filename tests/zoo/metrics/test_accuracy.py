"""Accuracy and top-k accuracy against scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from zoo.metrics import (
    Accuracy,
    Top5Accuracy,
    UndefinedMetricWarning,
    accuracy,
    accuracy_thresh,
    make_metric,
    top_k_accuracy,
)


@pytest.mark.parametrize("inputs", ["logits", "probabilities", "labels"])
def test_accuracy_against_scikit_learn(inputs):
    torch.manual_seed(0)
    logits, target = torch.randn(40, 5), torch.randint(5, (40,))
    outputs = {"logits": logits, "probabilities": logits.softmax(1), "labels": logits.argmax(1)}[inputs]
    assert accuracy(outputs, target, inputs=inputs) == accuracy_score(target, logits.argmax(1))


def test_binary_threshold_follows_the_inputs():
    """Fails if logits are cut at a half or probabilities at 0."""
    target = torch.tensor([1, 1, 0, 0])
    scores = torch.tensor([0.4, 0.6, 0.3, 0.1])
    assert accuracy(scores, target, inputs="logits") == 0.5
    assert accuracy(scores, target, inputs="probabilities") == 0.75
    assert accuracy(scores.unsqueeze(1).repeat(1, 2), target.unsqueeze(1).repeat(1, 2).bool()) == 0.5


def test_accuracy_over_images():
    """Fails if samples are counted rather than pixels."""
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    assert accuracy(logits, target) == pytest.approx((logits.argmax(1) == target).double().mean().item())


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_against_scikit_learn(k):
    torch.manual_seed(0)
    logits, target = torch.randn(60, 7), torch.randint(7, (60,))
    expected = top_k_accuracy_score(target, logits, k=k, labels=range(7))
    assert top_k_accuracy(logits, target, k=k) == pytest.approx(expected)
    assert top_k_accuracy(logits.softmax(1), target, k=k, inputs="probabilities") == pytest.approx(expected)


def test_top_k_over_images():
    """Fails if k is taken over the last dimension rather than over classes."""
    torch.manual_seed(0)
    logits, target = torch.randn(2, 6, 3, 4), torch.randint(6, (2, 3, 4))
    flat = top_k_accuracy(logits.movedim(1, -1).reshape(-1, 6), target.flatten(), k=2)
    assert top_k_accuracy(logits, target, k=2) == pytest.approx(flat)


def test_top5_is_five():
    """Fails if the default k is another: the target is the fifth best here, then the sixth."""
    scores = torch.arange(10.0).unsqueeze(0)
    metric = make_metric("top5")
    metric.update(scores, torch.tensor([5]))
    assert metric.compute() == 1
    metric.update(scores, torch.tensor([4]))
    assert metric.compute() == 0.5


def test_too_few_classes_for_top_k():
    """Fails if k is cut to C, which would read as 100 %."""
    with pytest.raises(ValueError, match="at least 5 classes; the outputs have 3"):
        Top5Accuracy().update(torch.randn(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="at least 1"):
        make_metric("top_k", k=0)


def test_extreme_outputs():
    """Fails if scores pass through an exp that overflows."""
    logits, target = torch.randn(8, 4), torch.randint(4, (8,))
    assert accuracy(logits * 1e4 + 1e3, target) == accuracy(logits, target)


def test_outputs_are_never_guessed():
    """Fails if raw outputs told to be probabilities, scores told to be labels, or one column of many are taken."""
    target = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="inputs='logits'"):
        accuracy(torch.tensor([-3.0, 4.0]), target, inputs="probabilities")
    with pytest.raises(TypeError, match="inputs='logits'"):
        accuracy(torch.tensor([0.0, 1.0]), target, inputs="labels")
    with pytest.raises(ValueError, match="'logits', 'probabilities', 'labels'"):
        Accuracy(inputs="scores")
    with pytest.raises(ValueError, match=r"squeeze\(1\)"):
        accuracy(torch.randn(2, 1), target)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_answers_at_a_threshold_are_scikit_learns(threshold):
    """Fails if logits are held against a probability, or the rate is of rows that are right in every label."""
    torch.manual_seed(0)
    logits, target = torch.randn(40, 6), torch.randint(2, (40, 6))
    probs = logits.sigmoid()
    expected = pytest.approx(accuracy_score(target.flatten(), (probs > threshold).flatten()))
    assert accuracy_thresh(logits, target, threshold=threshold) == expected
    assert accuracy_thresh(probs, target.bool(), threshold=threshold, inputs="probabilities") == expected
    metric = make_metric("accuracy_thresh", threshold=threshold)
    for rows in (slice(0, 3), slice(3, 3), slice(3, 40)):
        metric.update(logits[rows], target[rows])
    assert metric.compute() == expected


def test_a_critics_patches_share_an_answer():
    """Six of eight patches are right: fails if answers run along another dimension, which here has the same size."""
    scores = torch.tensor([[[1.0, 1.0], [1.0, -1.0]], [[-1.0, -1.0], [1.0, -1.0]]])
    assert accuracy_thresh(scores, torch.tensor([1, 0])) == 6 / 8
    assert accuracy_thresh(scores, torch.tensor([0, 1])) == 2 / 8


def test_thresholds_and_answers_are_checked():
    with pytest.raises(ValueError, match="probability in"):
        make_metric("accuracy_thresh", threshold=0.0)
    with pytest.raises(ValueError, match=r"0\.\.1; got 0 to 2"):
        accuracy_thresh(torch.zeros(3), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="one for each sample"):
        accuracy_thresh(torch.zeros(3, 2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="inputs='logits'"):
        accuracy_thresh(torch.tensor([3.0]), torch.tensor([1]), inputs="probabilities")
    with pytest.warns(UndefinedMetricWarning):
        assert math.isnan(accuracy_thresh(torch.zeros(0), torch.zeros(0, dtype=torch.int64)))


def test_a_threshold_reads_nothing_back():
    """Fails if an update makes a GPU's host wait: meta tensors have no values."""
    metric = make_metric("accuracy_thresh")
    metric.update(torch.empty(8, 3, device="meta"), torch.empty(8, dtype=torch.long, device="meta"))
