"""Losses of values by hand, at extremes, and the shapes that they refuse."""

import math

import numpy as np
import pytest
import torch

from zoo.losses import make_loss

NAMES = ("mse", "mae", "huber", "rmse", "log_cosh", "charbonnier")
PREDICTION, TARGET = torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0])


def test_by_hand():
    """Errors -0.5 and 3: fails if Huber lacks the half, or is linear from 0 on."""
    assert make_loss("mse")(PREDICTION, TARGET).item() == pytest.approx((0.25 + 9) / 2)
    assert make_loss("rmse")(PREDICTION, TARGET).item() == pytest.approx(math.sqrt((0.25 + 9) / 2))
    assert make_loss("mae")(PREDICTION, TARGET).item() == pytest.approx(3.5 / 2)
    assert make_loss("huber")(PREDICTION, TARGET).item() == pytest.approx((0.125 + 2.5) / 2)
    assert make_loss("huber", delta=2.0)(PREDICTION, TARGET).item() == pytest.approx((0.125 + 2 * (3 - 1)) / 2)
    expected = (math.log(math.cosh(0.5)) + math.log(math.cosh(3))) / 2
    assert make_loss("log_cosh")(PREDICTION, TARGET).item() == pytest.approx(expected)
    expected = (math.sqrt(0.25 + 0.01) + math.sqrt(9 + 0.01)) / 2
    assert make_loss("charbonnier", epsilon=0.1)(PREDICTION, TARGET).item() == pytest.approx(expected)
    assert make_loss("mse", reduction="none")(PREDICTION, TARGET).tolist() == [0.25, 9.0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "rmse"])
def test_reductions(name):
    """Fails if "sum" or "none" is left to the mean, or another word passes."""
    loss = {reduction: make_loss(name, reduction=reduction)(PREDICTION, TARGET) for reduction in ("none", "sum")}
    assert loss["none"].shape == (2,)
    torch.testing.assert_close(loss["none"].sum(), loss["sum"])
    torch.testing.assert_close(loss["none"].mean(), make_loss(name)(PREDICTION, TARGET))
    with pytest.raises(ValueError, match="average"):
        make_loss(name, reduction="average")(PREDICTION, TARGET)


def test_best_constants():
    """Fails if the losses are swapped: the mean minimises squares, the median absolute errors."""
    target = torch.tensor([0.0, 1.0, 2.0, 3.0, 94.0])
    for name, best in (("mse", 20), ("rmse", 20), ("mae", 2), ("charbonnier", 2)):
        costs = [make_loss(name)(torch.full((5,), float(c)), target) for c in range(30)]
        assert torch.stack(costs).argmin() == best


def test_log_cosh_keeps_its_digits():
    """Fails if log 2 is taken off near 0, where float32 has nothing left, or cosh overflows at 100."""
    errors = torch.tensor([1e-4, 1e-2, 0.5, 0.999, 1.0, 5.0, 50.0])
    found = make_loss("log_cosh", reduction="none")(errors, torch.zeros(7))
    np.testing.assert_allclose(found.numpy(), np.log(np.cosh(errors.double().numpy())), rtol=2e-6)
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = make_loss("log_cosh")(far, torch.zeros(2))
    loss.backward()
    assert loss.item() == pytest.approx(1e4 - math.log(2))
    assert far.grad.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_where_nothing_is_wrong_and_elsewhere(name):
    """Fails if a root or a corner gives NaN at 0, or a branch has another slope than the loss."""
    prediction = torch.zeros(3, requires_grad=True)
    make_loss(name)(prediction, torch.zeros(3)).backward()
    assert prediction.grad.tolist() == [0.0, 0.0, 0.0]
    errors = torch.tensor([-3.0, -0.3, 0.2, 0.9, 1.1, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: make_loss(name)(x, torch.zeros(6)), errors)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_not_broadcast(name):
    """Fails if [B, 1] against [B] is averaged over all pairs, which trains to the mean in silence."""
    with pytest.raises(ValueError, match="squeeze"):
        make_loss(name)(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(TypeError, match="floating"):
        make_loss(name)(torch.zeros(4, dtype=torch.long), torch.zeros(4))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_computed_in_float32(name):
    """Fails if an offset of 1e3 leaves bfloat16 errors in steps of 4 after the mean."""
    prediction = (torch.rand(64) + 1e3).bfloat16()
    loss = make_loss(name)(prediction, torch.full((64,), 1e3))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, make_loss(name)(prediction.float(), torch.full((64,), 1e3)))


@pytest.mark.parametrize("name", NAMES)
def test_no_value_is_nan(name):
    """Fails if a mean of nothing reads as a perfect loss."""
    assert make_loss(name)(torch.zeros(0), torch.zeros(0)).isnan()


@pytest.mark.parametrize(("name", "option"), [("huber", "delta"), ("charbonnier", "epsilon")])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_widths_must_be_above_0(name, option, value):
    with pytest.raises(ValueError, match=option):
        make_loss(name, **{option: value})(PREDICTION, TARGET)
