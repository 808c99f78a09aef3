"""Box losses against torchvision, cases by hand, and boxes of no size."""

import math

import pytest
import torch

from zoo.losses import BOX_LOSSES, ciou_loss, diou_loss, giou_loss, iou_loss, smooth_l1

OVERLAPS = ["ciou", "diou", "giou", "iou"]


def boxes(count=40, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    low = 50 * torch.rand(count, 2, generator=generator)
    return torch.cat([low, low + 1 + 40 * torch.rand(count, 2, generator=generator)], 1)


def test_every_loss_is_tested():
    assert set(BOX_LOSSES) == {*OVERLAPS, "smooth_l1"}


def test_by_hand():
    """Squares of side 2, one moved by 1 to the right: 2 of 6 shared, no gap in the hull 3 x 2, centres 1 apart."""
    one, other = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]])
    assert iou_loss(one, other).item() == pytest.approx(2 / 3)
    assert giou_loss(one, other).item() == pytest.approx(2 / 3)
    assert diou_loss(one, other).item() == pytest.approx(2 / 3 + 1 / 13)
    assert ciou_loss(one, other).item() == pytest.approx(2 / 3 + 1 / 13)
    away = torch.tensor([[4.0, 0.0, 6.0, 2.0]])  # a hull of 12, of which 4 are empty
    assert iou_loss(one, away).item() == pytest.approx(1)
    assert giou_loss(one, away).item() == pytest.approx(1 + 4 / 12)
    assert diou_loss(one, away).item() == pytest.approx(1 + 16 / 40)
    errors = torch.tensor([[0.5, -3.0, 0.0, 1.0]])
    assert smooth_l1(errors, torch.zeros(1, 4)).item() == pytest.approx((0.125 + 2.5 + 0 + 0.5) / 4)
    assert smooth_l1(errors, torch.zeros(1, 4), beta=0.5).item() == pytest.approx((0.25 + 2.75 + 0 + 0.75) / 4)


def test_proportions_count_in_ciou():
    """By hand: a wide box 4 x 1 and a tall one 1 x 4 with one centre; IoU 1/7, v from atan 4 and atan 1/4."""
    wide, tall = torch.tensor([[0.0, 1.5, 4.0, 2.5]]), torch.tensor([[1.5, 0.0, 2.5, 4.0]])
    v = 4 / math.pi**2 * (math.atan(4) - math.atan(0.25)) ** 2
    assert ciou_loss(wide, tall).item() == pytest.approx(6 / 7 + v * v / (6 / 7 + v), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("giou", "generalized_box_iou_loss"),
        ("diou", "distance_box_iou_loss"),
        ("ciou", "complete_box_iou_loss"),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_it_is_that_of_torchvision(name, reference, reduction):
    """With the gradient: fails if one flows through the weight alpha of CIoU."""
    from torchvision import ops

    prediction, target = boxes().requires_grad_(), boxes(seed=1)
    found = BOX_LOSSES.make(name, prediction, target, reduction=reduction)
    expected = getattr(ops, reference)(prediction, target, reduction=reduction)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), prediction)[0] for loss in (found, expected)))


def test_iou_and_smooth_l1_references():
    from torch.nn import functional as F
    from torchvision.ops import box_iou

    prediction, target = boxes(), boxes(seed=1)
    found = iou_loss(prediction, target, reduction="none")
    torch.testing.assert_close(found, 1 - box_iou(prediction, target).diagonal())
    torch.testing.assert_close(
        smooth_l1(prediction, target, beta=5.0, reduction="sum"),
        F.smooth_l1_loss(prediction, target, beta=5.0, reduction="sum"),
    )


@pytest.mark.parametrize("name", OVERLAPS)
def test_equal_boxes_and_a_change_of_scale(name):
    """0 where boxes are equal, and the same in pixels as in thousands of them."""
    prediction, target = boxes(), boxes(seed=1)
    loss = BOX_LOSSES.bind(name)
    assert loss(target, target).item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(loss(1000 * prediction, 1000 * target), loss(prediction, target))


@pytest.mark.parametrize("name", BOX_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_boxes_of_no_size_equal_far_and_exchanged(name, dtype):
    """Fails if 0 is divided by 0, or boxes with exchanged corners count as areas of two signs."""
    prediction = torch.tensor(
        [[1, 1, 1, 1], [0, 0, 0, 5], [5, 5, 1, 1], [0, 0, 1e4, 1e4], [2, 2, 3, 3], [3, 3, 3, 3]], dtype=dtype
    ).requires_grad_()
    target = torch.tensor([[1, 1, 1, 1], [2, 2, 4, 4], [1, 1, 5, 5], [9e3, 9e3, 1e4, 1e4], [2, 2, 3, 3], [0, 0, 9, 9]])
    loss = BOX_LOSSES.make(name, prediction, target.to(dtype), reduction="none")
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert prediction.grad.isfinite().all()
    if name != "smooth_l1":
        assert loss[2] >= 1  # exchanged corners hold nothing


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_no_box_is_zero_with_a_gradient(name):
    """Fails if an image without things gives NaN."""
    prediction = torch.zeros(0, 4, requires_grad=True)
    loss = BOX_LOSSES.make(name, prediction, torch.zeros(0, 4))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad.shape == (0, 4)


@pytest.mark.parametrize("name", OVERLAPS)
def test_gradients_are_those_of_differences(name):
    """CIoU by its parts: its weight is held fast, so differences are no reference for it."""
    prediction, target = boxes(6).double().requires_grad_(), boxes(6, seed=1).double()
    if name != "ciou":
        assert torch.autograd.gradcheck(lambda x: BOX_LOSSES.make(name, x, target), prediction)


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_what_does_not_fit_raises(name):
    loss = BOX_LOSSES.bind(name)
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        loss(torch.zeros(3, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        loss(torch.zeros(4), torch.zeros(4))
    with pytest.raises(TypeError, match="floating"):
        loss(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4))
    if name == "smooth_l1":
        with pytest.raises(ValueError, match="beta"):
            loss(torch.zeros(1, 4), torch.zeros(1, 4), beta=0.0)
    else:
        with pytest.raises(ValueError, match="box_convert"):
            loss(torch.zeros(1, 4), torch.tensor([[5.0, 5.0, 2.0, 2.0]]))
