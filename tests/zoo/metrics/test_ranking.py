"""ROC and precision-recall curves and areas against scikit-learn, ties and what is undefined among them."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from zoo.metrics import (
    UndefinedMetricWarning,
    average_precision,
    make_metric,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from zoo.metrics.ranking import AveragePrecision, RocAuc, log_odds

CLASSES = 4
AREAS = [(roc_auc, sklearn.roc_auc_score), (average_precision, sklearn.average_precision_score)]


def binary(rows=200, *, levels=12):
    """Scores with many ties, and answers."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(rows, generator=generator) < 0.3
    scores = torch.randn(rows, generator=generator) + target
    return (scores * levels / 6).round().double(), target


def multiclass(rows=120):
    generator = torch.Generator().manual_seed(1)
    target = torch.multinomial(torch.tensor([0.5, 0.3, 0.15, 0.05]), rows, replacement=True, generator=generator)
    logits = torch.randn(rows, CLASSES, generator=generator, dtype=torch.float64)
    return logits + torch.nn.functional.one_hot(target, CLASSES), target


@pytest.mark.parametrize(("own", "reference"), AREAS)
def test_binary_areas_with_ties_are_scikit_learns(own, reference):
    """Fails if equal scores are ordered by chance, or class 0 is taken for yes."""
    scores, target = binary()
    assert len(scores.unique()) < 20
    expected = pytest.approx(reference(target, scores), rel=1e-12)
    assert own(scores, target) == expected
    assert own(scores.sigmoid(), target.long(), inputs="probabilities") == expected
    assert own(torch.stack([-scores, scores], 1), target.long()) == expected
    assert own(torch.stack([torch.full_like(scores, 3.0), scores], 1), target.long()) == expected
    assert own(scores.view(20, 10), target.view(20, 10)) == expected


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "none"])
@pytest.mark.parametrize(("own", "reference"), AREAS)
@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_one_versus_rest_is_scikit_learns(own, reference, average, inputs):
    """Fails if logits of different rows are compared without a softmax, or weights are not the classes' shares."""
    logits, target = multiclass()
    probs = logits.softmax(1)
    expected = reference(
        torch.nn.functional.one_hot(target).numpy(), probs, average=None if average == "none" else average
    )
    found = own(logits if inputs == "logits" else probs, target, average=average, inputs=inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if own is roc_auc and average in ("macro", "weighted"):
        expected = sklearn.roc_auc_score(target, probs, multi_class="ovr", average=average)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "none"])
@pytest.mark.parametrize(("own", "reference"), AREAS)
def test_multi_label_is_scikit_learns(own, reference, average):
    """Fails if classes that exclude nothing pass through a softmax."""
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(60, CLASSES, generator=generator) < torch.tensor([0.2, 0.4, 0.6, 0.8])
    logits = (torch.randn(60, CLASSES, generator=generator) + target).round(decimals=1)
    expected = reference(target, logits, average=None if average == "none" else average)
    np.testing.assert_allclose(own(logits, target, average=average), expected, rtol=1e-12)


def test_curves_are_scikit_learns():
    """Fails if a point is missing, thresholds are shifted by one, or a curve starts elsewhere."""
    scores, target = binary()
    x, y, thresholds = roc_curve(scores, target)
    for found, expected in zip(
        (x, y, thresholds), sklearn.roc_curve(target, scores, drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    recall, precision, thresholds = precision_recall_curve(scores, target)
    expected = sklearn.precision_recall_curve(target, scores)
    np.testing.assert_allclose(precision.flip(0), expected[0], rtol=1e-12)
    np.testing.assert_allclose(recall.flip(0), expected[1], rtol=1e-12)
    np.testing.assert_allclose(thresholds[1:].flip(0), expected[2], rtol=1e-12)


def test_curve_of_one_class_of_many():
    """Fails if another class's column is taken."""
    logits, target = multiclass()
    probs = logits.softmax(1)
    for own, reference in ((roc_curve, sklearn.roc_curve), (precision_recall_curve, sklearn.precision_recall_curve)):
        x, y, _ = own(probs, target, positive=2, inputs="probabilities")
        options = {"drop_intermediate": False} if own is roc_curve else {}
        one, other, _ = reference(target == 2, probs[:, 2], **options)
        expected = (one, other) if own is roc_curve else (other[::-1], one[::-1])
        np.testing.assert_allclose(x, expected[0], rtol=1e-12)
        np.testing.assert_allclose(y, expected[1], rtol=1e-12)


def test_by_hand():
    """Scores 3, 2, 2, 1 of yes, no, yes, no: of four pairs three are right and one is even; precisions 1, then 2/3."""
    scores, target = torch.tensor([3.0, 2.0, 2.0, 1.0]), torch.tensor([1, 0, 1, 0])
    assert roc_auc(scores, target) == pytest.approx(3.5 / 4)
    assert average_precision(scores, target) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert roc_curve(scores, target)[:2].tolist() == [[0, 0, 0.5, 1], [0, 0.5, 1, 1]]


def test_order_is_all_that_counts():
    """Fails if values are binned or scaled: any rising function of the scores, and any order of rows, is the same."""
    scores, target = binary()
    for own in (roc_auc, average_precision):
        value = own(scores, target)
        assert own(scores * 1e-3 + 1e3, target) == pytest.approx(value, rel=1e-12)
        assert own(scores.exp(), target) == pytest.approx(value, rel=1e-12)
        assert own(scores.flip(0), target.flip(0)) == pytest.approx(value, rel=1e-12)
    assert roc_auc(-scores, target) == pytest.approx(1 - roc_auc(scores, target))


def test_saturated_probabilities_are_still_ranked():
    """Fails if logits pass through a softmax that rounds to 1: all rows would be tied, and the area a half."""
    gaps = torch.tensor([100.0, 200.0, 300.0, 400.0])
    logits = torch.stack([torch.zeros(4), gaps, torch.zeros(4)], 1)
    target = torch.tensor([0, 0, 1, 1])
    assert (logits.softmax(1)[:, 1] == 1).all()
    with pytest.warns(UndefinedMetricWarning):
        assert roc_auc(logits, target, average="none")[1] == 1


def test_log_odds_are_exact():
    logits, _ = multiclass()
    probs = logits.softmax(1)
    torch.testing.assert_close(log_odds(logits), (probs / (1 - probs)).log(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_odds(logits[:, :2]), log_odds(logits[:, :2] + 1e3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("own", [roc_auc, average_precision])
def test_half_precision_scores(own):
    """Fails if bf16 scores are kept as anything but what they are."""
    scores, target = binary()
    assert own(scores.bfloat16(), target) == own(scores, target)


@pytest.mark.parametrize("metric", [RocAuc, AveragePrecision])
@pytest.mark.parametrize("average", ["binary", "micro", "macro", "weighted", "none"])
def test_nothing_seen_is_undefined(metric, average):
    metric = metric(average=average)
    metric.update(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert metric.curves() == []
    with pytest.warns(UndefinedMetricWarning, match="no sample"):
        assert math.isnan(metric.compute())


@pytest.mark.parametrize("name", ["roc_curve", "precision_recall_curve"])
def test_curves_of_nothing_and_of_one_class(name):
    with pytest.warns(UndefinedMetricWarning, match="no sample was seen"):
        assert make_metric(name).compute().shape == (3, 0)
    metric = make_metric(name)
    metric.update(torch.rand(5), torch.zeros(5, dtype=torch.int64))
    with pytest.warns(UndefinedMetricWarning, match="no sample is of the class"):
        assert metric.compute().isnan().any()


def test_one_class_only_is_undefined():
    """Fails if an area is 0, a half or 1 where there is nothing to compare."""
    scores = torch.rand(5)
    for target in (torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)):
        with pytest.warns(UndefinedMetricWarning, match="every one is"):
            assert math.isnan(roc_auc(scores, target))
    with pytest.warns(UndefinedMetricWarning, match="no sample is of the class"):
        assert math.isnan(average_precision(scores, torch.zeros(5, dtype=torch.int64)))
    assert average_precision(scores, torch.ones(5, dtype=torch.int64)) == 1


def test_scores_that_are_not_numbers_are_undefined():
    """Fails if a diverged model gets an area."""
    scores = torch.tensor([0.1, math.nan, 0.3, 0.4])
    for own in (roc_auc, average_precision):
        with pytest.warns(UndefinedMetricWarning, match="NaN"):
            assert math.isnan(own(scores, torch.tensor([0, 1, 0, 1])))


def test_undefined_classes_are_left_out_and_named():
    """Fails if a class that never occurs counts as 0, or it is not said which one."""
    logits, target = multiclass()
    kept = target != 1
    logits, target = logits[kept], target[kept]
    each = [sklearn.roc_auc_score(target == label, logits.softmax(1)[:, label]) for label in (0, 2, 3)]
    metric = make_metric("roc_auc", average="macro", classes=["ant", "bee", "cat", "dog"])
    metric.update(logits, target)
    with pytest.warns(UndefinedMetricWarning, match=r"1 of 4 classes \(bee\)"):
        assert metric.compute() == pytest.approx(np.mean(each), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class without weight changes no weighted mean
        roc_auc(logits, target, average="weighted")


def test_what_does_not_fit_raises():
    """Fails if three classes pass for two, raw outputs for probabilities, or a stray label for another class."""
    logits, target = multiclass()
    with pytest.raises(ValueError, match="Choose 'macro'"):
        roc_auc(logits, target)
    with pytest.raises(ValueError, match=r"needs scores \[B, C\]"):
        roc_auc(logits[:, 0], target, average="macro")
    with pytest.raises(ValueError, match="inputs='logits'"):
        roc_auc(logits, target, average="macro", inputs="probabilities")
    with pytest.raises(ValueError, match=r"0\.\.3; got 0 to 4"):
        roc_auc(logits, target + (target == 3), average="macro")
    with pytest.raises(ValueError, match=r"0\.\.1; got"):
        roc_auc(logits[:, 0], target)
    with pytest.raises(ValueError, match="fit"):
        roc_auc(logits, target[:-1], average="macro")
    with pytest.raises(TypeError, match="integer"):
        roc_auc(logits[:, 0], target.double())
    with pytest.raises(ValueError, match="no class 4"):
        roc_curve(logits, target, positive=4)
    with pytest.raises(ValueError, match="class number"):
        make_metric("roc_curve", positive=-1)
    metric = make_metric("roc_auc", average="macro", classes=["one"])
    metric.update(logits, target)
    with pytest.raises(ValueError, match="4 classes need as many names"):
        metric.compute()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "roc_curve", "precision_recall_curve"])
def test_batches_state_and_buffers(name):
    """Fails if batches are judged apart, a state is shared, or the caller's memory is kept, which it may write over."""
    scores, target = binary()
    whole = make_metric(name)
    whole.update(scores, target)
    metric, resumed = make_metric(name), make_metric(name)
    buffer = scores[:50].clone()
    with torch.inference_mode():
        metric.update(buffer, target[:50])
    buffer.zero_()
    resumed.load_state_dict(metric.state_dict())
    for part in (slice(50, 50), slice(50, 51), slice(51, 200)):
        resumed.update(scores[part].requires_grad_(), target[part])
    assert not any(kept.requires_grad for kept, _ in resumed.items)
    torch.testing.assert_close(torch.as_tensor(resumed.compute()), torch.as_tensor(whole.compute()))
    resumed.reset()
    with pytest.warns(UndefinedMetricWarning):
        resumed.compute()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "roc_curve"])
def test_update_reads_nothing_back(name):
    """Fails if an update makes a GPU's host wait: meta tensors have no values."""
    metric = make_metric(name)
    metric.update(torch.empty(8, 2, device="meta"), torch.empty(8, dtype=torch.long, device="meta"))
    assert all(kept.is_meta for kept in metric.items[0])
