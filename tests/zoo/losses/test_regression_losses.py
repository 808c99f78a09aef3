"""Losses of values by hand, at extremes, and the shapes that they refuse."""

import pytest
import torch

from zoo.losses import make_loss

NAMES = ("mse", "mae", "huber")
PREDICTION, TARGET = torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0])


def test_by_hand():
    """Errors -0.5 and 3: fails if Huber lacks the half, or is linear from 0 on."""
    assert make_loss("mse")(PREDICTION, TARGET).item() == pytest.approx((0.25 + 9) / 2)
    assert make_loss("mae")(PREDICTION, TARGET).item() == pytest.approx(3.5 / 2)
    assert make_loss("huber")(PREDICTION, TARGET).item() == pytest.approx((0.125 + 2.5) / 2)
    assert make_loss("huber", delta=2.0)(PREDICTION, TARGET).item() == pytest.approx((0.125 + 2 * (3 - 1)) / 2)
    assert make_loss("mse", reduction="none")(PREDICTION, TARGET).tolist() == [0.25, 9.0]


def test_best_constants():
    """Fails if the losses are swapped: the mean minimises squares, the median absolute errors."""
    target = torch.tensor([0.0, 1.0, 2.0, 3.0, 94.0])
    for name, best in (("mse", 20), ("mae", 2)):
        costs = [make_loss(name)(torch.full((5,), float(c)), target) for c in range(30)]
        assert torch.stack(costs).argmin() == best


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


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
def test_delta_must_be_above_0(delta):
    with pytest.raises(ValueError, match="delta"):
        make_loss("huber", delta=delta)(PREDICTION, TARGET)
