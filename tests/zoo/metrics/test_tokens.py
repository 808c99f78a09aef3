"""Token loss and perplexity against torch's and torchmetrics' own, by hand, and at their extremes."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo.metrics import UndefinedMetricWarning, make_metric, perplexity


def data():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 9, 7, generator=generator)
    target = torch.randint(7, (4, 9), generator=generator)
    target[0, 5:] = target[2, 1:] = -100
    return logits, target


@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_is_over_all_tokens(inputs):
    """Fails if texts or batches count alike whatever their number of tokens, or padding counts."""
    logits, target = data()
    outputs = logits if inputs == "logits" else logits.softmax(-1)
    expected = F.cross_entropy(logits.flatten(0, 1), target.flatten()).item()
    loss, exponential = make_metric("token_loss", inputs=inputs), make_metric("perplexity", inputs=inputs)
    for metric in (loss, exponential):
        for rows in (slice(0, 1), slice(1, 1), slice(1, 4)):
            metric.update(outputs[rows], target[rows])
    assert loss.compute() == pytest.approx(expected, rel=1e-6)
    assert exponential.compute() == pytest.approx(math.exp(expected), rel=1e-6)


def test_is_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.text")
    logits, target = data()
    expected = functional.perplexity(logits, target, ignore_index=-100).item()
    assert perplexity(logits, target) == pytest.approx(expected, rel=1e-5)


def test_by_hand():
    """A half and an eighth: the geometric mean is a quarter, so the model chooses between four tokens."""
    probs = torch.tensor([[[0.5, 0.5, 0.0], [0.125, 0.375, 0.5]]])
    assert perplexity(probs, torch.tensor([[0, 0]]), inputs="probabilities") == pytest.approx(4)
    assert perplexity(torch.zeros(2, 3, 50), torch.zeros(2, 3, dtype=torch.int64)) == pytest.approx(50)
    assert perplexity(probs, torch.tensor([[0, 1]]), inputs="probabilities", ignore_index=1) == pytest.approx(2)


def test_extremes():
    """Fails if logits are not taken through a log-softmax in float32, or an exponential overflows with an error."""
    logits, target = data()
    assert perplexity(logits + 1e3, target) == pytest.approx(perplexity(logits, target), rel=1e-3)
    assert perplexity(logits.bfloat16(), target) == perplexity(logits.bfloat16().float(), target)
    assert perplexity(torch.tensor([[1e4, 0.0]]), torch.tensor([1])) == math.inf
    assert perplexity(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), inputs="probabilities") == math.inf


@pytest.mark.parametrize("target", [torch.zeros(0, dtype=torch.int64), torch.full((3,), -100)])
def test_no_token_is_undefined(target):
    with pytest.warns(UndefinedMetricWarning, match="no token"):
        assert math.isnan(perplexity(torch.zeros(len(target), 5), target))


def test_what_does_not_fit_raises():
    """Fails if the vocabulary is looked for where the places of a text are."""
    logits, target = data()
    with pytest.raises(ValueError, match="movedim"):
        perplexity(logits.movedim(-1, 1), target)
    with pytest.raises(ValueError, match="sum to 1"):
        perplexity(logits.sigmoid(), target, inputs="probabilities")
    with pytest.raises(ValueError, match="'logits', 'probabilities'"):
        make_metric("perplexity", inputs="labels")


def test_update_reads_nothing_back():
    """Fails if an update makes a GPU's host wait: meta tensors have no values."""
    metric = make_metric("perplexity")
    metric.update(torch.empty(2, 3, 5, device="meta"), torch.empty(2, 3, dtype=torch.long, device="meta"))
