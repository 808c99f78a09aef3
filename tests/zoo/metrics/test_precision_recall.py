"""Precision, recall and F1 against scikit-learn, undefined values among them."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score

from zoo.metrics import F1, Precision, UndefinedMetricWarning, f1, make_metric, precision, recall

PAIRS = [(precision, precision_score), (recall, recall_score), (f1, f1_score)]
# Class 3 is never predicted, class 4 never occurs, class 5 does neither.
TARGET = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3, 0])
LABELS = torch.tensor([0, 1, 1, 1, 2, 0, 4, 2, 0])


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "none"])
@pytest.mark.parametrize(("own", "reference"), PAIRS)
def test_random_labels_against_scikit_learn(own, reference, average):
    torch.manual_seed(0)
    logits, target = torch.randn(80, 4), torch.randint(4, (80,))
    value = own(logits, target, num_classes=4, average=average)
    expected = reference(target, logits.argmax(1), average=None if average == "none" else average)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "none"])
@pytest.mark.parametrize(("own", "reference"), PAIRS)
def test_undefined_classes_against_scikit_learn(own, reference, average):
    """Fails if an undefined class counts as 0 in an average."""
    value = own(LABELS, TARGET, num_classes=6, average=average, inputs="labels")
    expected = reference(
        TARGET, LABELS, labels=range(6), average=None if average == "none" else average, zero_division=np.nan
    )
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(("own", "reference"), PAIRS)
def test_binary_against_scikit_learn(own, reference):
    """Fails if class 0 is taken for the positive one; logits of one column, of two, and probabilities agree."""
    torch.manual_seed(1)
    logits, target = torch.randn(50), torch.randint(2, (50,))
    expected = pytest.approx(reference(target, (logits > 0).long()))
    assert own(logits, target, num_classes=2, average="binary") == expected
    assert own(torch.stack([-logits, logits], 1), target, num_classes=2, average="binary") == expected
    assert own(logits.sigmoid(), target.bool(), num_classes=2, average="binary", inputs="probabilities") == expected


def test_by_hand():
    """Fails if precision and recall are swapped: 2 of 3 predicted, 2 of 4 true."""
    target, labels = torch.tensor([1, 1, 1, 1, 0]), torch.tensor([1, 1, 0, 0, 1])
    options = {"num_classes": 2, "average": "binary", "inputs": "labels"}
    assert precision(labels, target, **options) == pytest.approx(2 / 3)
    assert recall(labels, target, **options) == pytest.approx(1 / 2)
    assert f1(labels, target, **options) == pytest.approx(4 / 7)


@pytest.mark.parametrize("average", ["binary", "micro", "macro", "weighted"])
def test_one_class_only(average):
    """Fails if recall or F1 of a class that is nowhere reads as 0: it is NaN where nothing else is averaged."""
    zeros = torch.zeros(4, dtype=torch.long)
    if average == "binary":
        for own in (precision, recall, f1):
            with pytest.warns(UndefinedMetricWarning, match="denominator"):
                assert math.isnan(own(zeros, zeros, num_classes=2, average=average, inputs="labels"))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            assert f1(zeros, zeros, num_classes=2, average=average, inputs="labels") == 1


def test_the_warning_names_the_classes():
    """Fails if classes are left out of an average in silence, or one that weighs nothing is warned of."""
    with pytest.warns(UndefinedMetricWarning, match=r"2 of 6 classes \(3, 5\)"):
        precision(LABELS, TARGET, num_classes=6, inputs="labels")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recall(LABELS, TARGET, num_classes=6, average="weighted", inputs="labels")


def test_the_warning_calls_classes_by_name():
    """Fails if a user must count through the classes, or names of other classes are taken."""
    metric = make_metric("precision", num_classes=6, inputs="labels", classes=["a", "b", "c", "d", "e", "f"])
    metric.update(LABELS, TARGET)
    with pytest.warns(UndefinedMetricWarning, match=r"2 of 6 classes \(d, f\)"):
        metric.compute()
    with pytest.raises(ValueError, match="3 classes need as many names"):
        make_metric("recall", num_classes=3, classes=["a", "b"])
    with pytest.raises(ValueError, match="3 classes need as many names"):
        Precision(num_classes=3, classes="abc")


@pytest.mark.parametrize(
    ("labels", "target"), [([0, 3], [0, 1]), ([0, 1], [0, 3]), ([0, 1], [0, -1]), ([3, 1], [3, 1])]
)
def test_labels_out_of_range(labels, target):
    """Fails if a label beyond the classes is dropped, or counted for another class."""
    metric = F1(num_classes=3, inputs="labels")
    metric.update(torch.tensor(labels), torch.tensor(target))
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        metric.compute()


def test_options_are_checked():
    """Fails if an average that does not exist, or two classes' worth of many, is taken."""
    with pytest.raises(ValueError, match="'macro'"):
        Precision(num_classes=3, average="mean")
    with pytest.raises(ValueError, match="two classes"):
        make_metric("recall", num_classes=3, average="binary")
    with pytest.raises(ValueError, match="at least 1"):
        make_metric("f1", num_classes=0)
