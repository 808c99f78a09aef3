"""Discriminative rates by hand, against fast.ai's formula, and against the rates that fine-tuning gives."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.optim import discriminative_rates
from zoo.training.strategies import fine_tuning_stages
from zoo.training.surgery import rate_groups


def test_by_hand():
    assert discriminative_rates(0.1, num_groups=3) == [0.1, 0.1, 0.1]
    assert discriminative_rates(slice(0.001, 0.1), num_groups=3) == pytest.approx([0.001, 0.01, 0.1])
    assert discriminative_rates(slice(0.1), num_groups=3) == pytest.approx([0.01, 0.01, 0.1])
    assert discriminative_rates([0.1, 0.3], num_groups=2) == [0.1, 0.3]
    assert discriminative_rates(slice(0.001, 0.1), num_groups=1) == [0.1]


@pytest.mark.parametrize("num_groups", [2, 5, 12])
def test_even_factors(num_groups):
    """fast.ai's `even_mults`, which is a geometric sequence. Fails if the head is not the last."""
    rates = discriminative_rates(slice(1e-5, 3e-3), num_groups=num_groups)
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 3e-3, num_groups))


def test_fine_tuning_has_the_same_rates():
    """Fails if `body_lr_ratio` of fine-tuning, through `lr_decay` of its stages, means another thing."""
    layers = [nn.Parameter(torch.zeros(1)) for _ in range(4)]
    (stage,) = fine_tuning_stages(
        "full", num_groups=4, epochs=1, head_epochs=1, lr=0.1, body_lr_ratio=0.01, schedule="constant"
    )
    groups = rate_groups([[layer] for layer in layers], lr=stage.lr, lr_decay=stage.lr_decay, weight_decay=0.0)
    rates = discriminative_rates(slice(0.001, 0.1), num_groups=4)
    assert [group["lr"] for group in groups] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (0.0, "above 0"),
        (float("nan"), "above 0"),
        ([0.1, 0.2], "2 rates were given for 3"),
        ([0.1, -0.2, 0.3], "above 0"),
        (slice(0.1, 0.01), "low <= high"),
        (slice(0.0, 0.1), "low <= high"),
        (slice(0.1, None), "low <= high"),
        (slice(0.1, 0.2, 3), "low <= high"),
    ],
)
def test_values_are_checked(lr, message):
    with pytest.raises(ValueError, match=message):
        discriminative_rates(lr, num_groups=3)


def test_fine_tuning_takes_a_range(tmp_path):
    """Fails if the ends of a slice are swapped, or the slice reaches config.json, which cannot hold it."""
    import zoo
    from zoo.data import Bundle

    rows = Bundle.from_arrays(np.eye(6, dtype="float32"), np.arange(6) % 2, task="vision/classification")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    run = zoo.fine_tune(
        model, rows, task="vision/classification", weights=None, strategy="full", lr=slice(0.001, 0.1), epochs=1,
        out=tmp_path / "run", accelerator="cpu", progress=False,
    )  # fmt: skip
    (stage,) = run.recipe.stages
    assert (stage.lr, stage.lr_decay) == (0.1, pytest.approx(0.1))
    with pytest.raises(ValueError, match="low <= high"):
        zoo.fine_tune(model, rows, task="vision/classification", weights=None, lr=slice(0.1))
