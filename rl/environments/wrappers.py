"""Wrappers that gymnasium lacks: lost lives as ends of episodes, numbered states and other numbers as vectors."""

from functools import cache
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np

from zoo.errors import DataError

if TYPE_CHECKING:
    from gymnasium import Env

NOOP = 0  # the first action of every Atari game


def episodic_life(environment: "Env") -> "Env":
    """An Atari game in which a lost life ends the episode for the learner, while the game goes on.

    Source: Mnih et al. 2015, doi:10.1038/nature14236, methods, "Training details".
    """
    wrapped: Env = _episodic_life_class()(environment)
    return wrapped


@cache
def _episodic_life_class() -> Any:
    """The class, made when first needed: its base is gymnasium's, which takes long to import."""
    from gymnasium import Wrapper

    class EpisodicLife(Wrapper):
        """`reset` starts a new game if the last one is over or a seed is given, else the next life of the same one."""

        def __init__(self, environment: "Env") -> None:
            super().__init__(environment)
            self._lives = 0
            self._game_over = True

        def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._game_over = terminated or truncated
            lives = self._count()
            lost = lives < self._lives
            self._lives = lives
            return observation, reward, terminated or lost, truncated, info

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            fresh = self._game_over or seed is not None
            if not fresh:
                observation, _, terminated, truncated, info = self.env.step(NOOP)
                fresh = terminated or truncated
            if fresh:
                observation, info = self.env.reset(seed=seed, options=options)
            self._game_over = False
            self._lives = self._count()
            return observation, info

        def _count(self) -> int:
            return int(self.env.unwrapped.ale.lives())  # type: ignore[attr-defined]

    return EpisodicLife


def one_hot(environment: "Env") -> "Env":
    """Numbered states 0..n-1 as float32 vectors [n] with a single 1.

    Raises: DataError if the observations are not numbered.
    """
    from gymnasium.spaces import Box, Discrete
    from gymnasium.wrappers import TransformObservation

    space = environment.observation_space
    if not isinstance(space, Discrete):
        raise DataError(f"The wrapper 'one_hot' needs numbered states, Discrete(n); these observations are {space}.")
    first, rows = int(space.start), np.eye(int(space.n), dtype=np.float32)
    vectors = Box(0.0, 1.0, (len(rows),), np.float32)
    return TransformObservation(environment, lambda state: rows[int(state) - first].copy(), vectors)


def float_vectors(environment: "Env") -> "Env":
    """Flat observations of another type, such as float64 or whole numbers, as float32, which networks take.

    Any other environment comes back as it is: numbered states stay numbers, and the bytes of frames stay bytes.
    """
    from gymnasium.spaces import Box
    from gymnasium.wrappers import TransformObservation

    space = environment.observation_space
    if not isinstance(space, Box) or len(space.shape) != 1 or space.dtype == np.float32:
        return environment
    floats = Box(space.low.astype(np.float32), space.high.astype(np.float32), space.shape, np.float32)
    return TransformObservation(environment, lambda seen: np.asarray(seen, np.float32), floats)
