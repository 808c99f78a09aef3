"""What all tasks that classify share."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.data import ArraySource
from zoo.errors import DataError, UnknownNameError
from zoo.metrics import UndefinedMetricWarning
from zoo.training import evaluate
from zoo.training.classification import Classification, ClassLoss, class_number, logits_of, ranked

CLASSES = ("cat", "dog", "owl")


class Columns(Classification):
    """Rows [B, F] to classes, by a module that is called as it is."""

    name = "test/columns"

    def logits(self, model, inputs):
        return logits_of(model(inputs))

    def predict(self, model, inputs):
        return ranked(self.logits(model, inputs).softmax(1), self.classes, top=2)

    read_inputs = explain = model_arguments = None

    @classmethod
    def from_bundle(cls, bundle, **options):
        return cls(classes=bundle.classes, **options)


def test_loss_accuracy_and_weight_by_hand():
    """Fails if the mean is over rows where weights say otherwise, or smoothing is lost."""
    logits, targets = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0]]), torch.tensor([0, 1])
    weights = [1.0, 3.0, 5.0]
    task = Columns(classes=CLASSES, class_weights=weights, label_smoothing=0.1)
    found = task.losses(nn.Identity(), (logits, targets))
    expected = F.cross_entropy(logits, targets, weight=torch.tensor(weights), label_smoothing=0.1)
    torch.testing.assert_close(found["loss"], expected)
    assert found["accuracy"] == 0.5
    assert task.mean_weight((logits, targets)) == 4.0
    assert Columns(classes=CLASSES).mean_weight((logits, targets)) == 2


def test_schema_makes_it_again():
    """Fails if an option is lost in a run's directory."""
    task = Columns(classes=CLASSES, class_weights=[1, 2, 3], label_smoothing=0.2)
    again = Columns(**task.schema())
    assert again.schema() == task.schema() == {
        "classes": list(CLASSES), "label_smoothing": 0.2, "class_weights": [1, 2, 3]
    }  # fmt: skip


def test_metrics_see_logits_of_all_rows():
    """Fails if judging counts batches rather than rows; top5 says nothing of three classes, and something of six."""
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 4.0, 3.0]])
    batches = ArraySource(logits, torch.tensor([0, 1, 1])).batches(batch_size=2)
    values, metrics = evaluate(nn.Identity(), Columns(classes=CLASSES), batches)
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert "top5" not in metrics
    assert "top5" in Columns(classes=list("abcdef")).metrics()
    assert Columns(classes=CLASSES).figures(metrics)["confusion"].axes


def test_the_likeliest_come_first():
    found = ranked(torch.tensor([[0.2, 0.7, 0.1]]), CLASSES, top=2)[0]
    assert (found["label"], found["top"][1]["label"]) == ("dog", "cat")
    assert found["probability"] == pytest.approx(0.7)
    assert len(ranked(torch.tensor([[0.2, 0.7, 0.1]]), CLASSES, top=9)[0]["top"]) == 3


def test_names_of_classes_become_numbers():
    assert class_number("owl", CLASSES) == 2
    assert class_number(1, CLASSES) == 1
    assert class_number(None, CLASSES) is None
    with pytest.raises(ValueError, match="expected one of cat, dog, owl"):
        class_number("lion", CLASSES)


@pytest.mark.parametrize("output", [torch.zeros(3), "no", {"logits": torch.zeros(1, 2)}])
def test_what_is_no_logits_raises(output):
    with pytest.raises(TypeError, match=r"logits \[B, C\]"):
        logits_of(output)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [1.0, float("nan"), 1.0], "abc"])
def test_weights_that_do_not_fit_raise(weights):
    with pytest.raises(ValueError, match="class_weights"):
        ClassLoss(classes=CLASSES, class_weights=weights)


def test_one_class_is_none():
    with pytest.raises(DataError, match="two classes"):
        Columns(classes=["cat"])


def test_metrics_that_are_asked_for_are_reported_and_drawn():
    """Fails if they are lost in a run's directory, or drawn of other classes."""
    task = Columns(classes=CLASSES, extra_metrics=["roc_auc", "calibration_error"])
    task = Columns(**task.schema())
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 4.0, 3.0], [0.0, 4.0, 3.0]])
    batches = ArraySource(logits, torch.tensor([0, 1, 1, 2])).batches(batch_size=3)
    values, metrics = evaluate(nn.Identity(), task, batches)
    assert values["roc_auc"] == pytest.approx((1 + 2.5 / 4 + 1.5 / 3) / 3)
    assert 0 < values["calibration_error"] < 1
    assert set(task.figures(metrics)) == {"confusion", "roc", "reliability"}
    assert "extra_metrics" not in Columns(classes=CLASSES).schema()
    with pytest.raises(UnknownNameError, match="roc_auc"):
        Columns(classes=CLASSES, extra_metrics=["auc"])


def test_undefined_classes_are_called_by_name():
    with pytest.warns(UndefinedMetricWarning, match=r"\(owl\)"):
        evaluate(nn.Identity(), Columns(classes=CLASSES), [(torch.eye(3)[:2], torch.tensor([0, 1]))])
