"""Vector environments: no transition lost or invented, ends told apart, states exact."""

from random import Random
from typing import Any

import gymnasium
import numpy as np
import pytest

from rl.environments.making import describe_environment
from rl.environments.vector import LoopEnvironments, NativeEnvironments, is_restorable, make_environments
from zoo.errors import DataError

CARTPOLE = describe_environment("CartPole-v1")
SHORT = describe_environment("CartPole-v1", max_episode_steps=7)
KINDS = ("loop", "native")


@pytest.mark.parametrize("kind", KINDS)
def test_transitions_are_counted_once(kind: str) -> None:
    """Fails if a step of starting anew counts as a transition: CartPole pays 1 for each step that acts."""
    environments = make_environments(CARTPOLE, num_envs=3, vectorisation=kind)
    environments.reset(0)
    random = np.random.default_rng(0)
    real, paid, ended, resets = 0, 0.0, 0, 0
    for _ in range(300):
        step = environments.step(random.integers(2, size=3))
        real += int(step.real.sum())
        paid += float(step.rewards.sum())
        ended += int((step.terminated | step.truncated).sum())
        resets += int((~step.real).sum())
    assert real == paid
    assert ended > 20
    assert real + resets == 900
    assert (resets == 0) if kind == "loop" else (ended - 3 <= resets <= ended)


@pytest.mark.parametrize("kind", KINDS)
def test_last_observation_is_of_the_episode_that_ended(kind: str) -> None:
    """Fails if the first observation of the next episode stands in for it: the pole must have fallen there."""
    environments = make_environments(CARTPOLE, num_envs=2, vectorisation=kind)
    environments.reset(1)
    fallen = 0
    for _ in range(60):
        before = environments.observations.copy()
        step = environments.step(np.ones(2, np.int64))
        for index in np.flatnonzero(step.terminated):
            fallen += 1
            assert abs(step.observations[index][2]) > 0.2094
        moved = step.real & ~(step.terminated | step.truncated)
        assert (step.observations != before)[moved].any(axis=1).all()
        assert (environments.observations[moved] == step.observations[moved]).all()
    assert fallen > 4


@pytest.mark.parametrize("kind", KINDS)
def test_time_limit_is_truncation(kind: str) -> None:
    """Fails if the limit of 7 steps shows as termination; balancing left and right, no pole falls that soon."""
    environments = make_environments(SHORT, num_envs=2, vectorisation=kind)
    environments.reset(0)
    lengths, now = [], np.zeros(2, int)
    for number in range(40):
        step = environments.step(np.full(2, number % 2))
        now += step.real
        assert not step.terminated.any()
        for index in np.flatnonzero(step.truncated):
            lengths.append(int(now[index]))
            now[index] = 0
    assert lengths
    assert set(lengths) == {7}


@pytest.mark.parametrize("kind", KINDS)
def test_state_goes_on_exactly(kind: str) -> None:
    """Fails if a generator, a clock or the position is missing in the state: both must agree over many episodes."""
    random = np.random.default_rng(0)
    one, other = (make_environments(CARTPOLE, num_envs=2, vectorisation=kind) for _ in range(2))
    one.reset(5)
    for _ in range(37):
        one.step(random.integers(2, size=2))
    state = one.state_dict()
    assert state is not None
    for _ in range(3):  # the state must not follow the environment
        one.step(random.integers(2, size=2))
    one.load_state_dict(state)
    other.load_state_dict(state)
    for _ in range(200):
        actions = random.integers(2, size=2)
        first, second = one.step(actions), other.step(actions)
        for a, b in zip(first, second, strict=True):
            assert (a == b).all()
        assert (one.observations == other.observations).all()


def test_state_of_an_environment_without_chance(corridor: str) -> None:
    """Fails if a generator that was seeded and never used cannot be put back: nothing has made it in the new one."""
    one, other = (LoopEnvironments(describe_environment(corridor), num_envs=2) for _ in range(2))
    one.reset(0)
    one.step(np.ones(2, np.int64))
    state = one.state_dict()
    assert state is not None
    other.load_state_dict(state)
    assert other.step(np.ones(2, np.int64)).observations.tolist() == [[2.0, 2.0]] * 2


def test_seeds_fix_the_episodes() -> None:
    first, second, third = (LoopEnvironments(CARTPOLE, num_envs=2) for _ in range(3))
    first.reset(3)
    second.reset(3)
    third.reset(4)
    assert (first.observations == second.observations).all()
    assert (first.observations != third.observations).any()
    assert (first.observations[0] != first.observations[1]).any()


def test_an_environment_that_hides_its_state_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if it is taken on trust: without its generator CartPole starts its next episode elsewhere."""
    assert is_restorable(CARTPOLE)
    monkeypatch.setattr("rl.environments.state.GENERATOR", "no such attribute")
    assert not is_restorable(CARTPOLE)


def test_chance_that_only_new_episodes_show_is_found_out(corridor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if no new episode is part of the proof: here a hidden generator chooses where each one begins."""
    spec = describe_environment(corridor, max_episode_steps=1000)
    assert is_restorable(spec)
    hidden = Random(0)
    kind: Any = gymnasium.spec(corridor).entry_point
    inner = kind.reset

    def reset(self: Any, **arguments: Any) -> tuple[np.ndarray, dict]:
        inner(self, **arguments)
        self.place = hidden.randrange(-(10**6), -(10**5))  # too far from the way out for an episode to end by itself
        return self._look(), {}

    monkeypatch.setattr(kind, "reset", reset)
    assert not is_restorable(spec)


def test_native_program_is_refused_where_there_is_none() -> None:
    with pytest.raises(DataError, match="vectorisation='loop'"):
        NativeEnvironments(describe_environment("FrozenLake-v1"), num_envs=2)


def test_atari_state_and_lives() -> None:
    """Fails if the emulator's memory is left out, or a lost life does not end the learner's episode."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    spec = describe_environment("ALE/Breakout-v5", frames=(2, 40, 44))
    assert spec.observation_shape == (2, 40, 44)
    assert spec.action_names == ("noop", "fire", "right", "left")
    assert is_restorable(spec)
    environments = LoopEnvironments(spec, num_envs=1)
    environments.reset(0)
    lives = [5]
    for number in range(150):
        step = environments.step(np.array([1 if number % 5 == 0 else 3]))
        if step.terminated[0]:
            lives.append(environments.environments[0].unwrapped.ale.lives())  # type: ignore[attr-defined]
    assert lives[:3] == [5, 4, 3]


def test_atari_time_limit_counts_the_steps_of_the_agent() -> None:
    """Fails if the frames that are skipped count too: an episode of 10 steps would end after 3, at an old picture."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    environments = LoopEnvironments(describe_environment("ALE/Pong-v5", max_episode_steps=10), num_envs=1)
    environments.reset(0)
    ends = [bool(environments.step(np.zeros(1, np.int64)).truncated[0]) for _ in range(20)]
    assert np.flatnonzero(ends).tolist() == [9, 19]
