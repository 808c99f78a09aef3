"""The memory against a list of all that happened."""

import copy
from typing import Any

import numpy as np
import pytest

from rl.environments.vector import Step
from rl.replay.uniform import UniformReplay

GAMMA = 0.9


def memory(
    *, capacity: int, num_envs: int, n_step: int = 1, frames: int = 0, seed: int = 0, shape: tuple[int, ...] = (2,)
) -> UniformReplay:
    return UniformReplay(
        capacity=capacity, num_envs=num_envs, shape=(frames, *shape) if frames else shape, dtype="float32", gamma=GAMMA,
        generator=np.random.default_rng(seed), n_step=n_step, frames=frames,
    )  # fmt: skip


def stacked(history: list[np.ndarray], frames: int) -> np.ndarray:
    """The last frames of an episode's history, its first one repeated where there are too few."""
    if not frames:
        return history[-1]
    return np.stack([history[max(0, len(history) - 1 - back)] for back in range(frames - 1, -1, -1)])


def play(replay: UniformReplay, steps: int, *, seed: int = 1) -> list[list[dict[str, Any]]]:
    """Random episodes into the memory; returns the episodes of each environment, every observation a number."""
    random = np.random.default_rng(seed)
    count, frames = replay.num_envs, replay.frames
    number = iter(range(10**6))

    def seen() -> np.ndarray:
        return np.array([next(number), 0], np.float32)

    episodes = [[{"frames": [seen()], "actions": [], "rewards": [], "terminated": False}] for _ in range(count)]
    for _ in range(steps):
        now = [episode[-1] for episode in episodes]
        before = np.stack([stacked(each["frames"], frames) for each in now])
        actions = random.integers(5, size=count)
        rewards = random.random(count).astype(np.float32)
        terminated, cut = random.random(count) < 0.1, random.random(count) < 0.05
        truncated = cut & ~terminated
        for index, each in enumerate(now):
            each["frames"].append(seen())
            each["actions"].append(int(actions[index]))
            each["rewards"].append(float(rewards[index]))
            each["terminated"] = bool(terminated[index])
        after = np.stack([stacked(each["frames"], frames) for each in now])
        replay.add(before, actions, Step(after, rewards, terminated, truncated, np.ones(count, np.bool_)))
        for index in range(count):
            if terminated[index] or truncated[index]:
                fresh = {"frames": [seen()], "actions": [], "rewards": [], "terminated": False}
                episodes[index].append(fresh)
    return episodes


def expected(episodes: list[list[dict[str, Any]]], n_step: int, frames: int) -> dict[int, dict[str, Any]]:
    """What each transition should look like, by the number of its newest frame; those not yet complete are left out."""
    found = {}
    for environment in episodes:
        for place, episode in enumerate(environment):
            length = len(episode["actions"])
            over = place < len(environment) - 1
            for start in range(length):
                count = min(n_step, length - start)
                if count < n_step and not over:
                    continue
                last = start + count == length and episode["terminated"]
                found[int(episode["frames"][start][0])] = {
                    "observation": stacked(episode["frames"][: start + 1], frames),
                    "action": episode["actions"][start],
                    "reward": sum(GAMMA**k * episode["rewards"][start + k] for k in range(count)),
                    "next": stacked(episode["frames"][: start + count + 1], frames),
                    "discount": 0.0 if last else GAMMA**count,
                }
    return found


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("frames", [0, 4])
@pytest.mark.parametrize("capacity", [60, 5000])
def test_every_transition_is_as_it_was(num_envs: int, n_step: int, frames: int, capacity: int) -> None:
    """Fails for a wrong next slot, a frame or a reward of a neighbouring episode, or one that was written over."""
    replay = memory(capacity=capacity, num_envs=num_envs, n_step=n_step, frames=frames)
    truth = expected(play(replay, 400), n_step, frames)
    slots = np.flatnonzero(replay.ready)
    batch = replay._gather(slots, None)
    assert len(slots) == len(replay) > 0
    if capacity == 5000:
        assert len(slots) == len(truth)
    for row in range(len(slots)):
        newest = batch.observations[row][-1] if frames else batch.observations[row]
        want = truth[int(newest[0])]
        np.testing.assert_array_equal(batch.observations[row].numpy(), want["observation"])
        np.testing.assert_array_equal(batch.next_observations[row].numpy(), want["next"])
        assert int(batch.actions[row]) == want["action"]
        assert float(batch.rewards[row]) == pytest.approx(want["reward"], rel=1e-5)
        assert float(batch.discounts[row]) == pytest.approx(want["discount"], rel=1e-6)


def test_the_newest_are_kept() -> None:
    """Fails if a full memory forgets more than it must: a slot for each end of an episode, and the oldest."""
    replay = memory(capacity=100, num_envs=1)
    episodes = play(replay, 1000)[0]
    newest = sum(len(episode["actions"]) for episode in episodes) - 1
    numbers = sorted(int(replay.observations[slot][0]) for slot in np.flatnonzero(replay.ready))
    assert len(numbers) >= 100 - 1 - sum(1 for episode in episodes if episode["frames"][-1][0] >= numbers[0])
    assert numbers[-1] >= newest


def test_draws_are_uniform() -> None:
    """Fails if the ends of episodes, which are no transitions, make their neighbours more likely."""
    replay = memory(capacity=50, num_envs=1)
    play(replay, 200)
    counts = np.bincount(replay.sample(40_000).slots, minlength=50)
    assert (counts[~replay.ready] == 0).all()
    share = 40_000 / len(replay)
    assert (np.abs(counts[replay.ready] - share) < 6 * share**0.5).all()


def test_steps_that_took_no_action_are_not_stored() -> None:
    """Fails if the resets of a vector program in next-step mode become transitions."""
    replay = memory(capacity=50, num_envs=2)
    nothing = np.zeros((2, 2), np.float32)
    flags = np.zeros(2, np.bool_)
    for _ in range(3):
        replay.add(nothing, np.zeros(2, np.int64), Step(nothing, np.ones(2), flags, flags, np.array([True, False])))
    assert len(replay) == 3


def test_frames_are_stored_once() -> None:
    """Fails if stacks are stored: they would take four times the memory."""
    replay = memory(capacity=100, num_envs=1, frames=4)
    assert replay.observations.shape == (100, 2)


@pytest.mark.parametrize("frames", [0, 4])
def test_state_goes_on_exactly(frames: int) -> None:
    """Fails if a head, a waiting transition or a flag is missing in the state."""
    one = memory(capacity=70, num_envs=2, n_step=3, frames=frames)
    play(one, 55, seed=3)
    other = memory(capacity=70, num_envs=2, n_step=3, frames=frames)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    other._random.bit_generator.state = one._random.bit_generator.state
    for replay in (one, other):
        play(replay, 40, seed=4)
    first, second = one.sample(64), other.sample(64)
    for a, b in zip(first[:5], second[:5], strict=True):
        assert (a == b).all()
    assert len(one) == len(other)


def test_state_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="slots"):
        memory(capacity=70, num_envs=1).load_state_dict(memory(capacity=80, num_envs=1).state_dict())


def test_cut_episodes_end_without_termination() -> None:
    """Fails if what was cut off is lost, or runs on into the next episode, or counts as terminated."""
    replay = memory(capacity=50, num_envs=1, n_step=3)
    flags = np.zeros(1, np.bool_)

    def step(number: float) -> None:
        here, there = np.full((1, 2), number, np.float32), np.full((1, 2), number + 1, np.float32)
        done = Step(there, np.ones(1, np.float32), flags, flags, np.ones(1, np.bool_))
        replay.add(here, np.zeros(1, np.int64), done)

    step(0.0)
    step(1.0)
    assert len(replay) == 0
    replay.cut_episodes()
    step(10.0)
    assert len(replay) == 2
    batch = replay._gather(np.array([0, 1]), None)
    assert batch.rewards.tolist() == pytest.approx([1.9, 1.0])
    assert batch.next_observations[:, 0].tolist() == [2.0, 2.0]
    assert batch.discounts.tolist() == pytest.approx([0.81, 0.9])


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        memory(capacity=4, num_envs=1, n_step=3)
    with pytest.raises(ValueError, match="empty"):
        memory(capacity=40, num_envs=1).sample(2)
