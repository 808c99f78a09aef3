"""Weights from counts, and the cross-entropies that take them."""

import numpy as np
import pytest
import torch

from zoo.errors import UnknownArgumentError
from zoo.losses import class_balanced_cross_entropy, cross_entropy, effective_number_weights, make_loss

LOGITS, TARGET = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])


def test_weights_by_hand():
    """beta 1/2: 1 sample is worth 1, 2 are worth 3/2, 3 worth 7/4; fails if weights rise with the counts."""
    expected = np.array([1, 2 / 3, 4 / 7])
    np.testing.assert_allclose(effective_number_weights([1, 2, 3], beta=0.5), 3 * expected / expected.sum())


def test_weights_at_both_ends():
    """Near beta 1 the weights are inverse to the counts, at 0 all are 1: fails if beta and 1 - beta are exchanged."""
    assert effective_number_weights([1, 10, 1000], beta=0.0) == [1, 1, 1]
    inverse = np.array([1, 0.1, 0.001])
    found = effective_number_weights([1, 10, 1000], beta=1 - 1e-12)
    np.testing.assert_allclose(found, 3 * inverse / inverse.sum(), rtol=1e-6)
    assert sum(effective_number_weights([5000, 20, 1], beta=0.9999)) == pytest.approx(3)


def test_many_samples_are_worth_no_more_than_1_over_1_less_beta():
    """The property of proposition 1: N = 1 / (1 - beta) different samples are all there are."""
    one, million, billion = effective_number_weights([1, 10**6, 10**9], beta=0.99)
    assert million == pytest.approx(billion)
    assert one / million == pytest.approx(100)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "none"}, {"ignore_index": 1}])
def test_both_are_cross_entropy_with_weights(options):
    """Fails if an option is dropped on the way."""
    weights = effective_number_weights([5, 2, 1], beta=0.9)
    expected = cross_entropy(LOGITS, TARGET, class_weights=weights, **options)
    balanced = make_loss("class_balanced_cross_entropy", class_counts=[5, 2, 1], beta=0.9, **options)
    torch.testing.assert_close(balanced(LOGITS, TARGET), expected)
    weighted = make_loss("weighted_cross_entropy", class_weights=weights, **options)
    torch.testing.assert_close(weighted(LOGITS, TARGET), expected)


def test_rare_classes_pull_harder():
    """Fails if weights and classes are matched in another order."""
    logits = torch.zeros(8, 3, requires_grad=True)
    class_balanced_cross_entropy(logits, TARGET, class_counts=[5, 2, 1], reduction="sum").backward()
    pull = -logits.grad[torch.arange(8), TARGET]
    assert pull[7] > pull[5] > pull[0] > 0


@pytest.mark.parametrize(
    ("counts", "beta", "words"),
    [([3, 0], 0.9, "1 sample or more"), ([], 0.9, "1 sample"), ([3, 4], 1.0, "beta"), ([3, 4], -0.1, "beta")],
)
def test_what_has_no_weight_is_refused(counts, beta, words):
    with pytest.raises(ValueError, match=words):
        effective_number_weights(counts, beta=beta)


def test_counts_of_another_number_of_classes():
    with pytest.raises(ValueError, match="3 numbers"):
        class_balanced_cross_entropy(LOGITS, TARGET, class_counts=[5, 2])
    with pytest.raises(UnknownArgumentError, match="class_counts"):
        make_loss("class_balanced_cross_entropy", class_count=[5, 2, 1])
