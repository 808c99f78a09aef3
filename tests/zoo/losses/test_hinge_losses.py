"""Margins against scikit-learn, torch, cases by hand, and extreme scores."""

import pytest
import torch
from torch.nn import functional as F

from zoo.losses import hinge, hinge_embedding, make_loss, multi_class_hinge


def case(rows=40, classes=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, classes, generator=generator), torch.randint(classes, (rows,), generator=generator)


def test_by_hand():
    """Scores 2, 0.5 and -1: short of 1 by 0, 0.5, 2 for yes and by 3, 1.5, 0 for no."""
    scores = torch.tensor([2.0, 0.5, -1.0])
    assert hinge(scores, torch.tensor([1, 1, 1]), reduction="none").tolist() == [0, 0.5, 2]
    assert hinge(scores, torch.tensor([False] * 3), reduction="none").tolist() == [3, 1.5, 0]
    assert hinge(scores, torch.tensor([1, 1, 1]), power=2).item() == pytest.approx((0.25 + 4) / 3)
    assert hinge(scores, torch.tensor([1, 1, 1]), margin=3.0, reduction="sum").item() == pytest.approx(1 + 2.5 + 4)


def test_several_classes_by_hand():
    """Scores 1, 0.5, 2, true class 0: short by 0.5 and 2, of which one form takes the worst and the other both."""
    scores, target = torch.tensor([[1.0, 0.5, 2.0]]), torch.tensor([0])
    assert multi_class_hinge(scores, target).item() == pytest.approx(2)
    assert multi_class_hinge(scores, target, form="weston_watkins").item() == pytest.approx(2.5)
    assert multi_class_hinge(scores, target, form="weston_watkins", power=2).item() == pytest.approx(0.25 + 4)


def test_references():
    """scikit-learn's mean hinge losses, and torch's, which divides by the number of classes."""
    from sklearn.metrics import hinge_loss

    scores, target = case()
    assert multi_class_hinge(scores, target).item() == pytest.approx(
        hinge_loss(target.numpy(), scores.numpy(), labels=range(5)), rel=1e-6
    )
    yes = target > 2
    assert hinge(scores[:, 0], yes).item() == pytest.approx(hinge_loss(yes.numpy(), scores[:, 0].numpy()), rel=1e-6)
    for power in (1, 2):
        found = multi_class_hinge(scores, target, form="weston_watkins", power=power, margin=0.7, reduction="none")
        expected = 5 * F.multi_margin_loss(scores, target, p=power, margin=0.7, reduction="none")
        torch.testing.assert_close(found, expected)


def test_two_classes_are_yes_or_no_at_half_the_scale():
    """Fails if the true class competes with itself: of two classes, the margin is of the difference of scores."""
    scores, target = case(classes=2)
    difference = scores[:, 1] - scores[:, 0]
    for form in ("crammer_singer", "weston_watkins"):
        torch.testing.assert_close(multi_class_hinge(scores, target, form=form), hinge(difference, target))


def test_pixels_and_what_is_ignored():
    """Fails if classes are read from the last dimension, or ignored targets stand in the mean."""
    scores, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    target[0, 0] = 255
    kept = target.flatten() != 255
    flat = scores.movedim(1, -1).reshape(-1, 3)[kept]
    torch.testing.assert_close(
        multi_class_hinge(scores, target, ignore_index=255), multi_class_hinge(flat, target.flatten()[kept])
    )


def test_embedding_is_that_of_torch():
    """torch has 1 and -1; fails if like and unlike are exchanged."""
    distances, alike = torch.rand(30) * 3, torch.rand(30) > 0.5
    found = hinge_embedding(distances, alike, margin=1.5)
    expected = F.hinge_embedding_loss(distances, torch.where(alike, 1.0, -1.0), margin=1.5)
    torch.testing.assert_close(found, expected)
    assert hinge_embedding(torch.tensor([0.25, 0.25]), torch.tensor([1, 0]), reduction="none").tolist() == [0.25, 0.75]


@pytest.mark.parametrize("form", ["crammer_singer", "weston_watkins"])
def test_extremes_and_ties(form):
    """Fails if bf16 is summed as such, or equal scores give a gradient that is not finite."""
    scores = torch.tensor([[1e4, -1e4, 1e3], [7.0, 7.0, 7.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = multi_class_hinge(scores, torch.tensor([1, 0]), form=form)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert scores.grad.isfinite().all()
    assert scores.grad.float().sum(1).abs().max() < 1e-2  # what the true class gains the others lose
    one = multi_class_hinge(torch.randn(3, 1), torch.zeros(3, dtype=torch.long), form=form)
    assert one.item() == 0
    assert multi_class_hinge(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), form=form).isnan()
    assert multi_class_hinge(torch.zeros(2, 3), torch.full((2,), -100), form=form).isnan()
    assert hinge(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).isnan()
    assert hinge(torch.tensor([1e4]).half(), torch.tensor([0])).item() == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "scores", "target", "options", "error", "words"),
    [
        ("hinge", torch.zeros(2), torch.tensor([-1, 1]), {}, ValueError, "target > 0"),
        ("hinge", torch.zeros(2, 1), torch.tensor([0, 1]), {}, ValueError, "shape"),
        ("hinge", torch.zeros(2), torch.tensor([0, 1]), {"power": 3}, ValueError, "power"),
        ("hinge", torch.zeros(2), torch.tensor([0, 1]), {"margin": 0.0}, ValueError, "margin"),
        ("hinge_embedding", torch.zeros(2), torch.tensor([1.0, -1.0]), {}, TypeError, "bool or integers"),
        ("multi_class_hinge", torch.zeros(2, 3), torch.tensor([0, 3]), {}, ValueError, r"outside 0\.\.2"),
        ("multi_class_hinge", torch.zeros(2, 3), torch.tensor([0, 1]), {"form": "both"}, ValueError, "weston"),
    ],
)
def test_what_does_not_fit_raises(name, scores, target, options, error, words):
    with pytest.raises(error, match=words):
        make_loss(name, **options)(scores, target)
