"""The schedule that follows validation, against torch's on sequences of values."""

import json
import math
import random

import pytest
import torch
from torch import nn

from zoo.optim import apply_schedule, make_optimizer, make_schedule


def build(**options):
    return make_schedule("plateau", total_steps=100, **options)


def own_rates(values, *, mode="min", **options):
    optimizer = make_optimizer("sgd", [nn.Parameter(torch.zeros(1))], lr=0.8)
    schedule = build(**options)
    rates = []
    for step, value in enumerate(values):
        apply_schedule(optimizer, schedule, step)
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.observe({"loss": value, "other": -value}, monitor="loss", mode=mode)
    return rates


def torch_rates(values, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0.0, **options)
    rates = []
    for value in values:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    return rates


def noisy(seed, *, scale=1.0):
    """Values that fall, stay and rise, with a NaN and an infinity among them."""
    draw = random.Random(seed)
    values = [scale * (1 / (1 + index / 5) + 0.1 * draw.random()) for index in range(60)]
    return [*values[:20], math.nan, *values[20:40], math.inf, *values[40:]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("scale", [1.0, -1e3])
@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ({"patience": 2}, {"patience": 2}),
        ({"factor": 0.5, "patience": 0, "cooldown": 3}, {"factor": 0.5, "patience": 0, "cooldown": 3}),
        ({"patience": 1, "threshold": 0.05}, {"patience": 1, "threshold": 0.05}),
        (
            {"patience": 1, "threshold": 0.02, "threshold_mode": "absolute", "min_factor": 0.02, "factor": 0.3},
            {"patience": 1, "threshold": 0.02, "threshold_mode": "abs", "min_lr": 0.016, "factor": 0.3},
        ),
    ],
)
def test_rates_are_torchs(own, theirs, mode, scale, seed):
    """Fails if a NaN improves, patience is one off, a rest is counted, or the threshold has the wrong sign."""
    values = noisy(seed, scale=scale)
    reference = torch_rates(values, mode=mode, **theirs)
    assert own_rates(values, mode=mode, **own) == pytest.approx(reference)
    assert len(set(reference)) > 1


def test_by_hand():
    """Patience 1: the second value in a row that is no better halves the rate, and the count begins anew."""
    rates = own_rates([1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], patience=1, factor=0.5)
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2])


def test_another_metric_can_be_followed():
    """Fails if `metric` or `mode` is ignored: -value falls, so the rate would."""
    schedule = build(patience=0, metric="other", mode="min")
    for value in (1.0, 2.0, 3.0):
        schedule.observe({"loss": 1.0, "other": -value}, monitor="loss", mode="max")
    assert schedule.lr_factor(0) == 1.0
    with pytest.raises(ValueError, match="follows 'other', but validation gives loss"):
        schedule.observe({"loss": 1.0}, monitor="loss", mode="min")


def test_a_resumed_schedule_goes_on():
    """Fails if the best value, the count or the level is lost on the way through plain JSON."""
    values = noisy(7)
    for split in (3, 9, 30):
        whole, first, second = (build(patience=2, cooldown=1, warmup_steps=2) for _ in range(3))
        for value in values:
            whole.observe({"loss": value}, monitor="loss", mode="min")
        for value in values[:split]:
            first.observe({"loss": value}, monitor="loss", mode="min")
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for value in values[split:]:
            second.observe({"loss": value}, monitor="loss", mode="min")
        assert second == whole
        assert whole.lr_factor(50) < 1


def test_only_this_schedule_listens():
    """Fails if every schedule asks for validation data, or this one does not."""
    assert build().follows_validation
    cosine = make_schedule("cosine", total_steps=10)
    assert not cosine.follows_validation
    cosine.observe({"loss": 1.0}, monitor="loss", mode="min")
    assert cosine.state_dict() == {}
    cosine.load_state_dict({})
