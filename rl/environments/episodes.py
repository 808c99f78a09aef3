"""Whole episodes played by a policy, each fixed by its seed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.data.randomness import mix

if TYPE_CHECKING:
    from gymnasium import Env

Policy = Callable[[np.ndarray], np.ndarray]


class Episodes(NamedTuple):
    """What N episodes came to.

    returns: [N] sums of rewards, not discounted.
    lengths: [N] steps.
    """

    returns: np.ndarray
    lengths: np.ndarray


def play_episodes(
    policy: Policy,
    environments: Sequence["Env"],
    seeds: Sequence[int],
    *,
    num_actions: int,
    step_limit: int,
    epsilon: float = 0.0,
) -> Episodes:
    """One episode in each environment, all acted on together.

    policy:     observations [B, *] of the episodes that are not over to actions [B].
    seeds:      of each episode: its start, its chances and its random actions.
    step_limit: an episode that goes on for so long is stopped.
    epsilon:    chance of a random action in place of the policy's.
    """
    count = len(seeds)
    if len(environments) != count:
        raise ValueError(f"{count} episodes need as many environments, got {len(environments)}.")
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    generators = [np.random.default_rng(mix(int(seed))) for seed in seeds]
    current = [environment.reset(seed=int(seed))[0] for environment, seed in zip(environments, seeds, strict=True)]
    playing = list(range(count))
    while playing:
        actions = policy(np.stack([current[index] for index in playing]))
        going_on = []
        for index, action in zip(playing, actions, strict=True):
            if epsilon and generators[index].random() < epsilon:
                action = generators[index].integers(num_actions)
            current[index], reward, terminated, truncated, _ = environments[index].step(action)
            returns[index] += float(reward)
            lengths[index] += 1
            if not (terminated or truncated or lengths[index] >= step_limit):
                going_on.append(index)
        playing = going_on
    return Episodes(returns, lengths)


def seeds_of(part: str, *, count: int, seed: int) -> np.ndarray:
    """The seeds of `count` episodes of "train", "validation" or "test", int64 [count]; the parts share none."""
    order: Sequence[str] = ("train", "validation", "test")
    return (seed * len(order) + order.index(part)) * 100_000 + np.arange(count, dtype=np.int64)
