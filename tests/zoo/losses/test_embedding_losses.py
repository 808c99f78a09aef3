"""Losses of embeddings against cases by hand, torch, NumPy from the papers, and points that coincide."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zoo.losses import EMBEDDING_LOSSES, contrastive, info_nce, make_loss, nt_xent, triplet

ORIGIN = torch.zeros(3, 2)
POINTS = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])  # at distances 5, 1/2 and 0


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_contrastive_by_hand():
    """Fails if like and unlike are exchanged, as the paper's labels are, or a half or a square is missing."""
    like = contrastive(ORIGIN, POINTS, torch.ones(3, dtype=torch.bool), reduction="none")
    torch.testing.assert_close(like, torch.tensor([12.5, 0.125, 0.0]))
    unlike = contrastive(ORIGIN, POINTS, torch.zeros(3, dtype=torch.long), margin=2.0, reduction="none")
    torch.testing.assert_close(unlike, torch.tensor([0.0, 1.125, 2.0]))
    made = EMBEDDING_LOSSES.bind("contrastive", margin=2.0)
    assert made(ORIGIN, POINTS, torch.tensor([1, 0, 0])).item() == pytest.approx((12.5 + 1.125 + 2) / 3)


def test_triplet_by_hand():
    """Squared 0.25 - 25 and 25 - 0.25, or 0.5 - 5 and 5 - 0.5; fails if near and far are exchanged."""
    near, far = POINTS[[1, 0]], POINTS[[0, 1]]
    found = triplet(ORIGIN[:2], near, far, margin=0.25, reduction="none")
    torch.testing.assert_close(found, torch.tensor([0.0, 25.0]))
    found = EMBEDDING_LOSSES.make("triplet", ORIGIN[:2], near, far, margin=0.25, distance="euclidean", reduction="sum")
    assert found.item() == pytest.approx(4.75)


def test_triplet_is_that_of_torch():
    anchor, positive, negative = (rows(20, 6, seed=seed) for seed in range(3))
    expected = F.triplet_margin_loss(anchor, positive, negative, margin=0.7)
    torch.testing.assert_close(triplet(anchor, positive, negative, margin=0.7, distance="euclidean"), expected)
    squared = F.triplet_margin_with_distance_loss(
        anchor, positive, negative, margin=0.7, distance_function=lambda a, b: (a - b).square().sum(1)
    )
    torch.testing.assert_close(triplet(anchor, positive, negative, margin=0.7), squared)


def numpy_unit(values):
    values = np.asarray(values, np.float64)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_info_nce_is_its_definition():
    """NumPy in float64; fails if keys look for queries, or the own key is left out below the line."""
    queries, keys = rows(7, 5), rows(7, 5, seed=1)
    scores = numpy_unit(queries) @ numpy_unit(keys).T / 0.2
    expected = [np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in range(7)]
    found = info_nce(queries, keys, temperature=0.2, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    torch.testing.assert_close(info_nce(3 * queries, keys, temperature=0.2), found.mean())  # of directions only


def test_nt_xent_is_its_definition():
    """The paper's algorithm 1 over pairs; fails if a row is its own negative, or only half of the pairs count."""
    views = rows(8, 5)
    target = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    similar = numpy_unit(views) @ numpy_unit(views).T / 0.5
    losses = []
    for i in range(8):
        others = [k for k in range(8) if k != i]
        losses.append(np.log(np.exp(similar[i, others]).sum()) - similar[i, (i + 4) % 8])
    assert nt_xent(views, target).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_nt_xent_of_larger_groups():
    """By hand: unit vectors along x twice, y and -x; three of one group, one alone, which counts nothing."""
    points = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    e = math.e
    total = [math.log(e + 1 + 1 / e)] * 2 + [math.log(3)]
    expected = [total[0] - (1 + 0) / 2, total[1] - (1 + 0) / 2, total[2] - 0, 0]
    target = torch.tensor([4, 4, 4, 7])
    found = nt_xent(points, target, temperature=1.0, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert nt_xent(points, target, temperature=1.0).item() == pytest.approx(sum(expected) / 3)


def test_points_that_coincide_have_finite_gradients():
    """Fails if a distance is a bare root: at 0 its slope is infinite. Zeros have no direction, and give no NaN."""
    for value in (torch.zeros(4, 3), torch.ones(4, 3), torch.full((4, 3), 1e3)):
        points = value.clone().requires_grad_()
        same = value.clone().requires_grad_()
        losses = [
            contrastive(points, same, torch.tensor([1, 0, 1, 0])),
            triplet(points, same, same, distance="euclidean"),
            triplet(points, same, same),
            info_nce(points, same),
            nt_xent(points, torch.tensor([0, 0, 1, 1])),
        ]
        for loss in losses:
            assert loss.isfinite()
        torch.stack(losses).sum().backward()
        assert points.grad.isfinite().all()
        assert same.grad.isfinite().all()


def test_bfloat16_and_extremes():
    """Fails if distances or cosines of large embeddings are summed in 8 bits."""
    first, second = ((1e4 * rows(6, 8, seed=seed)).bfloat16() for seed in (0, 2))
    target = torch.tensor([0, 0, 1, 1, 2, 2])
    for loss in (
        lambda a, b: contrastive(a, b, target > 0),
        lambda a, b: triplet(a, b, a.flip(0)),
        info_nce,
        lambda a, b: nt_xent(a, target, temperature=0.01),
    ):
        found = loss(first, second)
        assert found.dtype == torch.float32
        assert found.isfinite()
        torch.testing.assert_close(found, loss(first.float(), second.float()))


def test_nothing_to_compare_is_nan():
    """Fails if a batch without pairs reads as perfect; one row alone has no fellow, and its gradient is finite."""
    none = torch.zeros(0, 3)
    assert contrastive(none, none, torch.zeros(0, dtype=torch.bool)).isnan()
    assert triplet(none, none, none).isnan()
    assert info_nce(none, none).isnan()
    assert nt_xent(none, torch.zeros(0, dtype=torch.long)).isnan()
    alone = torch.ones(1, 3, requires_grad=True)
    assert nt_xent(alone, torch.tensor([0])).isnan()
    nt_xent(alone, torch.tensor([0]), reduction="sum").backward()
    assert alone.grad.tolist() == [[0, 0, 0]]
    assert info_nce(alone, alone).item() == 0


def test_gradients_are_those_of_differences():
    first, second, third = (rows(4, 3, seed=seed).double().requires_grad_() for seed in range(3))
    check = torch.autograd.gradcheck
    assert check(lambda a, b: contrastive(a, b, torch.tensor([1, 0, 1, 0]), margin=3.0), (first, second))
    assert check(lambda a, b, c: triplet(a, b, c, margin=5.0, distance="euclidean"), (first, second, third))
    assert check(info_nce, (first, second))
    assert check(lambda a: nt_xent(a, torch.tensor([0, 1, 0, 1])), (first,))


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match="one shape"):
        triplet(ORIGIN, POINTS, POINTS[:2])
    with pytest.raises(ValueError, match="flatten"):
        info_nce(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))
    with pytest.raises(TypeError, match="floating"):
        contrastive(ORIGIN.long(), POINTS, torch.tensor([1, 1, 1]))
    with pytest.raises(ValueError, match="0 for no"):
        contrastive(ORIGIN, POINTS, torch.tensor([1, -1, 1]))
    with pytest.raises(ValueError, match="margin"):
        triplet(ORIGIN, POINTS, POINTS, margin=0.0)
    with pytest.raises(ValueError, match="euclidean"):
        triplet(ORIGIN, POINTS, POINTS, distance="cosine")
    with pytest.raises(ValueError, match="temperature"):
        make_loss("nt_xent", temperature=-1.0)(ORIGIN, torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="belong together"):
        nt_xent(ORIGIN, torch.tensor([0, 0]))
