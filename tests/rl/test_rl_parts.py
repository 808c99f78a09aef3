"""Schedules, target networks and settings of the CPU."""

import pytest
import torch
from torch import nn

from rl.arithmetic import denormals_are_flushed, flushed_denormals, one_thread
from rl.schedules import LinearSchedule
from rl.targets import hard_update, soft_update, target_copy


def test_schedule_by_hand() -> None:
    """Fails if it overshoots its end: from 1 to 0.1 in 90 steps, 0.4 is reached at step 60."""
    schedule = LinearSchedule(1.0, 0.1, 90)
    assert [schedule(step) for step in (0, 60, 90, 10**6)] == pytest.approx([1.0, 0.4, 0.1, 0.1])
    assert LinearSchedule(1.0, 0.1, 0)(0) == 0.1
    with pytest.raises(ValueError, match="-1"):
        LinearSchedule(1.0, 0.1, -1)


def networks() -> tuple[nn.Module, nn.Module]:
    online = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    target = target_copy(online)
    with torch.no_grad():
        online[0].weight.fill_(3.0)
        target[0].weight.fill_(1.0)
        online[1].running_mean.fill_(5.0)
    return online, target


def test_soft_update_by_hand() -> None:
    """Fails if tau is the share that stays: 1 + 0.25 * (3 - 1) = 1.5. Statistics are copied."""
    online, target = networks()
    soft_update(target, online, tau=0.25)
    assert target[0].weight.item() == 1.5
    assert target[1].running_mean.item() == 5.0
    assert online[0].weight.item() == 3.0
    with pytest.raises(ValueError, match="tau"):
        soft_update(target, online, tau=0.0)


def test_hard_update_copies_and_shares_nothing() -> None:
    """Fails if the target follows the online network afterwards."""
    online, target = networks()
    hard_update(target, online)
    with torch.no_grad():
        online[0].weight.add_(1.0)
    assert target[0].weight.item() == 3.0
    assert not any(parameter.requires_grad for parameter in target.parameters())
    assert not target.training


def test_denormals_are_flushed_inside_only() -> None:
    """Fails if the setting of the process leaks out, or is not made."""
    assert not denormals_are_flushed()
    with flushed_denormals():
        assert denormals_are_flushed()
        with flushed_denormals():
            pass
        assert denormals_are_flushed()
    assert not denormals_are_flushed()


def test_threads_are_given_back() -> None:
    """Fails if a large network is slowed down, or the number of threads is not put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread(nn.Linear(2, 2)):
            assert torch.get_num_threads() == 1
        with one_thread(nn.Linear(1024, 1024)):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
