"""Schedules that rise again, against their formulas and torch's."""

import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from zoo.optim import apply_schedule, make_optimizer, make_schedule
from zoo.optim.cycles import CosineRestarts, Cyclic

TOTAL = 60


def own_rates(schedule, *, optimizer="momentum", steps=TOTAL):
    built = make_optimizer(optimizer, [nn.Parameter(torch.zeros(1))], lr=0.2)
    rates = []
    for step in range(steps):
        apply_schedule(built, schedule, step)
        rates.append(built.param_groups[0]["lr"])
    return rates


def torch_rates(make_scheduler, *, optimizer=torch.optim.SGD, steps=TOTAL):
    built = optimizer([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = make_scheduler(built)
    rates = []
    for _ in range(steps):
        rates.append(built.param_groups[0]["lr"])
        built.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("first", "factor"), [(1, 1), (7, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_restarts_are_torchs(optimizer, first, factor):
    """Fails if a cycle is a step too long, the factor is applied once only, or AdamW gets another rate than SGD."""
    kind = {"momentum": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    schedule = make_schedule("cosine_restarts", total_steps=TOTAL, first_cycle=first, cycle_factor=factor)
    reference = torch_rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, factor), optimizer=kind)
    assert own_rates(schedule, optimizer=optimizer) == pytest.approx(reference)


@pytest.mark.parametrize("num_cycles", [1, 3, 5, 7])
def test_cycles_are_those_of_snapshot_ensembles(num_cycles):
    """Huang's equation 2: a0 / 2 (cos(pi mod(t - 1, ceil(T / M)) / ceil(T / M)) + 1), t from 1."""
    schedule = CosineRestarts(total_steps=TOTAL, num_cycles=num_cycles)
    length = math.ceil(TOTAL / num_cycles)
    for t in range(1, TOTAL + 1):
        expected = (math.cos(math.pi * ((t - 1) % length) / length) + 1) / 2
        assert schedule.lr_factor(t - 1) == pytest.approx(expected)


def test_snapshots_are_taken_before_the_restarts():
    """Fails if an end is a step off: the rate before it is lowest, after it highest."""
    schedule = CosineRestarts(total_steps=TOTAL, num_cycles=3)
    assert schedule.cycle_ends() == [20, 40, 60]
    for end in (20, 40):
        assert schedule.lr_factor(end) == 1
        assert schedule.lr_factor(end - 1) < 0.01
    growing = CosineRestarts(total_steps=TOTAL, num_cycles=4, cycle_factor=2)
    assert growing.cycle_ends() == [4, 12, 28, 60]
    assert CosineRestarts(total_steps=10, first_cycle=4).cycle_ends() == [4, 8, 10]


def test_the_last_rate_does_not_restart():
    """Fails if what comes after the last step, such as a last record, shows the top of a cycle that never began."""
    schedule = CosineRestarts(total_steps=TOTAL, num_cycles=3)
    assert schedule.lr_factor(TOTAL) == schedule.lr_factor(TOTAL - 1) < 0.01


@pytest.mark.parametrize("shape", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(("rise", "fall"), [(5, None), (4, 9), (1, 1)])
def test_triangles_are_torchs(rise, fall, shape):
    """Fails if the peak is a step off, the height is not halved with each cycle, or `gamma` counts cycles."""
    schedule = make_schedule(
        "cyclic", total_steps=TOTAL, rise_steps=rise, fall_steps=fall, low_factor=0.3, shape=shape, gamma=0.95
    )
    reference = torch_rates(
        lambda o: lr_scheduler.CyclicLR(
            o, 0.06, 0.2, step_size_up=rise, step_size_down=fall, mode=shape, gamma=0.95, cycle_momentum=False
        )
    )
    assert own_rates(schedule) == pytest.approx(reference)


def test_a_triangle_by_hand():
    schedule = Cyclic(total_steps=8, rise_steps=2, low_factor=0.5)
    assert [schedule.lr_factor(step) for step in range(6)] == [0.5, 0.75, 1.0, 0.75, 0.5, 0.75]
