"""A corridor whose values can be worked out by hand, registered with gymnasium for the tests here."""

from typing import Any

import gymnasium
import numpy as np
import pytest

CORRIDOR = "Corridor-v0"
LENGTH = 3  # places 0, 1, 2; the way out is behind the last


class Corridor(gymnasium.Env):
    """Action 1 goes on, action 0 stays; leaving at the end pays 1 and terminates. Every other step pays -0.1.

    Observations: [place, steps taken] float32.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1e6, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.render_mode = render_mode
        self.place = 0
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.place = self.steps = 0
        return self._look(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.place += int(action)
        self.steps += 1
        out = self.place >= LENGTH
        return self._look(), 1.0 if out else -0.1, out, False, {}

    def _look(self) -> np.ndarray:
        return np.array([self.place, self.steps], np.float32)


@pytest.fixture(scope="session", autouse=True)
def corridor() -> str:
    """The name of the corridor, which ends after 10 steps by its time limit."""
    if CORRIDOR not in gymnasium.registry:
        gymnasium.register(CORRIDOR, entry_point=Corridor, max_episode_steps=10, reward_threshold=0.8)
    return CORRIDOR
