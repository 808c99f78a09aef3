"""CTC against the sum over all paths, torch, and lengths that do not fit."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zoo.losses import SEQUENCE_LOSSES, ctc


def read(path, blank):
    """A path as it reads: repeated labels once, blanks not at all."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def by_paths(logits, target, blank):
    """Minus the log of the summed probability of all paths [T] that read as the target, in float64."""
    probs = logits.double().softmax(1).numpy()
    steps, labels = probs.shape
    paths = [p for p in itertools.product(range(labels), repeat=steps) if read(p, blank) == list(target)]
    total = sum(np.prod([probs[t, label] for t, label in enumerate(path)]) for path in paths)
    return -math.log(total) if total else math.inf


def test_by_hand():
    """Two steps of two equal labels, target [1]: of 4 paths 3 read so (1 1, 1 blank, blank 1)."""
    lengths = torch.tensor([2]), torch.tensor([1])
    assert ctc(torch.zeros(1, 2, 2), torch.tensor([[1]]), *lengths).item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("blank", [0, 2])
def test_all_paths(blank):
    """Fails if batch and steps are exchanged, padding is read, or lengths are not."""
    logits = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    first, second = [label for label in range(3) if label != blank]
    target = torch.tensor([[first, second], [second, second], [second, 9], [9, 9]])
    num_steps, num_labels = torch.tensor([4, 4, 3, 2]), torch.tensor([2, 2, 1, 0])
    expected = [
        by_paths(logits[row, : num_steps[row]], target[row, : num_labels[row]].tolist(), blank) for row in range(4)
    ]
    found = ctc(logits, target, num_steps, num_labels, blank=blank, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    mean = ctc(logits, target, num_steps, num_labels, blank=blank)
    assert mean.item() == pytest.approx(np.mean(np.array(expected) / [2, 2, 1, 1]), rel=1e-5)
    total = SEQUENCE_LOSSES.make("ctc", logits, target, num_steps, num_labels, blank=blank, reduction="sum")
    assert total.item() == pytest.approx(sum(expected), rel=1e-5)


def test_it_is_that_of_torch_from_logits():
    logits = torch.randn(3, 20, 6, requires_grad=True)
    target, lengths = torch.randint(1, 6, (3, 5)), (torch.tensor([20, 15, 12]), torch.tensor([5, 3, 4]))
    found = ctc(logits, target, *lengths)
    expected = F.ctc_loss(logits.log_softmax(2).transpose(0, 1), target, *lengths)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, expected)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits(dtype):
    """Fails if probabilities are formed first: most paths have one of 0."""
    logits = (1e3 * torch.randn(2, 6, 4)).to(dtype).requires_grad_()
    loss = ctc(logits, torch.tensor([[1, 2], [3, 3]]), torch.tensor([6, 6]), torch.tensor([2, 2]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert logits.grad.dtype == dtype


def test_too_few_steps_are_infinite_or_nothing():
    """Two equal labels need a blank between them, so three steps."""
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    arguments = logits, torch.tensor([[1, 1]]), torch.tensor([2]), torch.tensor([2])
    assert ctc(*arguments).item() == math.inf
    loss = ctc(*arguments, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_no_sequence_and_no_labels():
    """A mean of nothing is NaN, as elsewhere; targets of no label at all are the blanks' path."""
    none = torch.zeros(0, dtype=torch.long)
    assert ctc(torch.zeros(0, 5, 3), torch.zeros(0, 2, dtype=torch.long), none, none).isnan()
    assert ctc(torch.zeros(0, 5, 3), torch.zeros(0, 2, dtype=torch.long), none, none, reduction="sum").item() == 0
    blanks = ctc(torch.zeros(1, 4, 2), torch.zeros(1, 0, dtype=torch.long), torch.tensor([4]), torch.tensor([0]))
    assert blanks.item() == pytest.approx(4 * math.log(2))


@pytest.mark.parametrize(
    ("target", "num_steps", "num_labels", "options", "error", "words"),
    [
        ([[1, 2]], [6], [2], {}, ValueError, r"num_steps must lie in 1\.\.5"),
        ([[1, 2]], [5], [3], {}, ValueError, r"num_labels must lie in 0\.\.2"),
        ([[1, 0]], [5], [2], {}, ValueError, "without the blank"),
        ([[1, 3]], [5], [2], {}, ValueError, r"0\.\.2"),
        ([[1, 2]], [5, 5], [2], {}, ValueError, "num_steps must be"),
        ([[1, 2]], [5.0], [2], {}, TypeError, "integers"),
        ([1, 2], [5], [2], {}, ValueError, "transpose"),
        ([[1, 2]], [5], [2], {"blank": 3}, ValueError, "blank must be"),
    ],
)
def test_what_does_not_fit_raises(target, num_steps, num_labels, options, error, words):
    with pytest.raises(error, match=words):
        ctc(torch.zeros(1, 5, 3), *(torch.tensor(part) for part in (target, num_steps, num_labels)), **options)
