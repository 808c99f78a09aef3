"""Log loss against scikit-learn and at its extremes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss as reference

from zoo.metrics import log_loss, make_metric


@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_multiclass_against_scikit_learn(inputs):
    torch.manual_seed(0)
    logits, target = torch.randn(30, 4, dtype=torch.float64), torch.randint(4, (30,))
    outputs = logits if inputs == "logits" else logits.softmax(1)
    assert log_loss(outputs, target, inputs=inputs) == pytest.approx(reference(target, logits.softmax(1)), rel=1e-12)


@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_binary_against_scikit_learn(inputs):
    """Fails if yes and no are swapped."""
    torch.manual_seed(0)
    logits, target = torch.randn(30, dtype=torch.float64), torch.randint(2, (30,))
    outputs = logits if inputs == "logits" else logits.sigmoid()
    assert log_loss(outputs, target, inputs=inputs) == pytest.approx(reference(target, logits.sigmoid()), rel=1e-12)


def test_log_loss_of_pixels():
    """Fails if the class is gathered along the wrong dimension."""
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    expected = torch.nn.functional.cross_entropy(logits, target).item()
    assert log_loss(logits, target) == pytest.approx(expected, rel=1e-5)


def test_extreme_logits_are_exact():
    """Fails if logits pass through a softmax first: the loss would stop at -ln(eps)."""
    assert log_loss(torch.tensor([[1e4, 0.0]]), torch.tensor([1])) == pytest.approx(1e4)
    assert log_loss(torch.tensor([-1e4]), torch.tensor([1])) == pytest.approx(1e4)
    logits, target = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    assert log_loss(logits + 1e3, target) == pytest.approx(log_loss(logits, target))


def test_certain_and_wrong_is_clipped_as_scikit_learn():
    """Fails if a probability of 0 gives inf, or is clipped elsewhere."""
    probs, target = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1])
    expected = reference(target, probs.numpy(), labels=[0, 1])
    assert log_loss(probs, target, inputs="probabilities") == pytest.approx(expected, rel=1e-5)
    assert log_loss(probs[:, 1], target, inputs="probabilities") == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(-math.log(np.finfo(np.float32).eps) / 2, rel=1e-3)


def test_low_precision_probabilities_pass():
    """Fails if the check of sums is too strict for bf16."""
    probs = torch.randn(20, 50).softmax(1).bfloat16()
    assert math.isfinite(log_loss(probs, torch.randint(50, (20,)), inputs="probabilities"))


@pytest.mark.parametrize(
    ("outputs", "target", "inputs", "message"),
    [
        (torch.tensor([[2.0, -1.0]]), torch.tensor([0]), "probabilities", r"0\.\.1"),
        (torch.tensor([[0.9, 0.9]]), torch.tensor([0]), "probabilities", "sum to 1"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([2]), "logits", r"0\.\.1; got 2"),
        (torch.tensor([0.5]), torch.tensor([2]), "logits", r"0\.\.1; got 2"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([-100]), "logits", "got -100"),
    ],
)
def test_what_does_not_fit_raises(outputs, target, inputs, message):
    """Fails if logits pass for probabilities, or a label out of range is wrapped round."""
    with pytest.raises(ValueError, match=message):
        log_loss(outputs, target, inputs=inputs)


def test_labels_have_no_log_loss():
    with pytest.raises(ValueError, match="'logits', 'probabilities'"):
        make_metric("log_loss", inputs="labels")
