"""Metrics that a classification reports where they are asked for."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from zoo.errors import UnknownNameError
from zoo.metrics import calibration_error
from zoo.metrics.chosen import CHOICES, check_chosen, chosen_figures, chosen_metrics


def filled(classes):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(len(classes), (80,), generator=generator)
    logits = torch.randn(80, len(classes), generator=generator)
    metrics = chosen_metrics(CHOICES, classes)
    for metric in metrics.values():
        metric.update(logits, target)
    return metrics, logits, target


def test_of_two_classes():
    """Fails if the mean over both classes is taken, or the first one for yes."""
    metrics, logits, target = filled(["no", "yes"])
    score = logits[:, 1] - logits[:, 0]
    assert metrics["roc_auc"].compute() == pytest.approx(roc_auc_score(target, score))
    assert metrics["average_precision"].compute() == pytest.approx(average_precision_score(target, score))
    figures = chosen_figures(metrics, ["no", "yes"])
    assert figures["roc"].axes[0].lines[-1].get_label().startswith("yes ")


def test_of_several_classes():
    metrics, logits, target = filled(["cat", "dog", "owl"])
    probs = logits.softmax(1)
    assert metrics["roc_auc"].compute() == pytest.approx(roc_auc_score(target, probs, multi_class="ovr"), rel=1e-5)
    assert metrics["calibration_error"].compute() == calibration_error(logits, target)
    figures = chosen_figures(metrics, ["cat", "dog", "owl"])
    assert set(figures) == {"roc", "precision_recall", "reliability"}
    assert [line.get_label()[:3] for line in figures["precision_recall"].axes[0].lines] == ["cat", "dog", "owl"]


def test_only_what_was_asked_for():
    assert list(chosen_metrics(["calibration_error"], ["a", "b"])) == ["calibration_error"]
    assert set(chosen_figures(chosen_metrics(["roc_auc"], ["a", "b"]), ["a", "b"])) == {"roc"}
    assert chosen_metrics([], ["a", "b"]) == chosen_figures({}, ["a", "b"]) == {}


def test_names_are_checked():
    with pytest.raises(UnknownNameError, match="Did you mean 'roc_auc'"):
        check_chosen(["roc_ac"])
    with pytest.raises(ValueError, match="twice"):
        check_chosen(["roc_auc", "roc_auc"])
    with pytest.raises(ValueError, match=r"such as \['roc_auc'\]"):
        check_chosen("roc_auc")
