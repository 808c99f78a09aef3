"""Stochastic depth and dropout: what is dropped, and the expected value."""

import pytest
import torch

from zoo.layers import make_layer
from zoo.layers.drop_path import DropPath, drop_path_rates


def test_rows_are_dropped_whole_and_the_others_scaled():
    """Fails if single values are dropped, or kept rows are not divided by the share that is kept."""
    torch.manual_seed(0)
    found = DropPath(rate=0.75)(torch.ones(4000, 3, 2))
    rows = found.flatten(1)
    assert set(rows.unique().tolist()) == {0.0, 4.0}
    assert (rows == rows[:, :1]).all()
    assert (rows[:, 0] == 0).float().mean().item() == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)


def test_the_expected_value_is_the_branch_itself():
    torch.manual_seed(0)
    mean = DropPath(rate=0.3)(torch.full((100_000, 1), 5.0)).mean().item()
    assert mean == pytest.approx(5.0, abs=4 * 5 * (0.3 / 0.7 / 100_000) ** 0.5)


def test_evaluation_and_a_rate_of_0_change_nothing():
    x = torch.randn(5, 2)
    assert DropPath(rate=0.9).eval()(x) is x
    state = torch.get_rng_state()
    assert DropPath(rate=0.0)(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_dropped_rows_give_no_gradient():
    torch.manual_seed(1)
    x = torch.ones(50, 2, requires_grad=True)
    found = DropPath(rate=0.5)(x)
    found.sum().backward()
    assert torch.equal(x.grad, found)


def test_draws_as_timm_does():
    layers = pytest.importorskip("timm.layers")
    x = torch.randn(16, 3, 4, 4)
    torch.manual_seed(3)
    expected = layers.DropPath(0.4)(x)
    torch.manual_seed(3)
    torch.testing.assert_close(DropPath(rate=0.4)(x), expected)


def test_an_empty_batch_and_bfloat16():
    assert DropPath(rate=0.5)(torch.empty(0, 3)).shape == (0, 3)
    assert DropPath(rate=0.5)(torch.ones(8, 3).bfloat16()).dtype == torch.bfloat16


def test_rates_rise_linearly_to_the_last_block():
    """The paper's survival probabilities 1 - l / L (1 - p_L) of L = 4 blocks and p_L = 0.5."""
    assert drop_path_rates(depth=4, last=0.5) == pytest.approx([0.125, 0.25, 0.375, 0.5])


def test_dropout_drops_single_values():
    torch.manual_seed(0)
    found = make_layer("dropout", rate=0.25)(torch.ones(20_000))
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)
    assert torch.equal(make_layer("dropout").eval()(torch.ones(4)), torch.ones(4))


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate):
    """Fails if 1 is let through, which divides by 0."""
    for name in ("drop_path", "dropout"):
        with pytest.raises(ValueError, match="probability"):
            make_layer(name, rate=rate)
    with pytest.raises(ValueError, match="probability"):
        drop_path_rates(depth=2, last=rate)
    with pytest.raises(ValueError, match="depth"):
        drop_path_rates(depth=0, last=0.1)
