"""Several environments stepped together, with the ends of episodes told apart and no transition lost or invented.

gymnasium 1.x has vector environments with three modes of starting anew after an episode. In "next step" mode, which
its own vectorised CartPole has, the step after an episode's last takes no action: it only gives the new episode's
first observation, with reward 0, and must not be learned from. Here both kinds look alike: `step` gives each
transition with its true last observation, and `observations` is what to act on next.

Shapes: E environments, * of one observation.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from rl.environments.making import gymnasium_module, make_environment
from rl.environments.spec import EnvironmentSpec
from rl.environments.state import environment_state, restore_environment
from zoo.errors import DataError

if TYPE_CHECKING:
    from gymnasium import Env

Vectorisation = Literal["loop", "native"]


class Step(NamedTuple):
    """What a step of all environments led to.

    observations: [E, *] at the end of each transition: the last of its episode, not the first of the next one.
    terminated:   [E] the episode came to an end of its own: nothing follows.
    truncated:    [E] a limit from outside cut the episode off: its value goes on.
    real:         [E] whether the environment took the action; False where it used the step to start anew.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    real: np.ndarray


class Environments(Protocol):
    """Environments of one kind. `observations` [E, *] is where each one stands now."""

    spec: EnvironmentSpec
    num_envs: int
    observations: np.ndarray

    def reset(self, seed: int) -> None:
        """New episodes in all environments, fixed by the seed."""
        ...

    def step(self, actions: np.ndarray) -> Step:
        """Takes actions [E]; what ended starts anew by itself."""
        ...

    def state_dict(self) -> dict[str, Any] | None:
        """All that `load_state_dict` needs to go on exactly; None for environments that cannot be put back."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where `state_dict` was taken."""
        ...

    def close(self) -> None:
        """Frees windows and emulators."""
        ...


def make_environments(
    spec: EnvironmentSpec, *, num_envs: int, vectorisation: Vectorisation = "loop"
) -> "LoopEnvironments | NativeEnvironments":
    """`num_envs` environments to learn in.

    vectorisation: "loop" steps one after the other, which suits every environment; "native" takes the one vector
                   program that gymnasium has for a few (CartPole), faster from about 8 environments on.
    """
    if vectorisation == "native":
        return NativeEnvironments(spec, num_envs=num_envs)
    return LoopEnvironments(spec, num_envs=num_envs)


class LoopEnvironments:
    """Environments stepped one after the other; each starts anew within the step that ended its episode."""

    def __init__(self, spec: EnvironmentSpec, *, num_envs: int, make: Callable[[], "Env"] | None = None) -> None:
        self.spec = spec
        self.num_envs = num_envs
        make = make or (lambda: make_environment(spec, training=True))
        self.environments = [make() for _ in range(num_envs)]
        shape, dtype = (num_envs, *spec.observation_shape), spec.observation_dtype
        self.observations = np.zeros(shape, dtype)
        self._restorable: bool | None = None

    def reset(self, seed: int) -> None:
        for index, environment in enumerate(self.environments):
            self.observations[index], _ = environment.reset(seed=seed + index)

    def step(self, actions: np.ndarray) -> Step:
        count = self.num_envs
        rewards = np.zeros(count, np.float32)
        terminated, truncated = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        after = np.empty_like(self.observations)
        now = np.empty_like(self.observations)
        for index, environment in enumerate(self.environments):
            observation, rewards[index], terminal, cut, _ = environment.step(actions[index])
            after[index] = observation
            if terminal or cut:
                terminated[index], truncated[index] = terminal, cut
                observation, _ = environment.reset()
            now[index] = observation
        self.observations = now
        return Step(after, rewards, terminated, truncated, np.ones(count, np.bool_))

    def state_dict(self) -> dict[str, Any] | None:
        if self._restorable is None:
            self._restorable = is_restorable(self.spec)
        if not self._restorable:
            return None
        states = [environment_state(environment) for environment in self.environments]
        return {"environments": states, "observations": self.observations.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for environment, held in zip(self.environments, state["environments"], strict=True):
            environment.reset()  # what is made on the first reset must be there
            restore_environment(environment, held)
        self.observations = np.asarray(state["observations"], self.observations.dtype)

    def close(self) -> None:
        for environment in self.environments:
            environment.close()


class NativeEnvironments:
    """gymnasium's own vector program for an environment, of "next step" mode."""

    def __init__(self, spec: EnvironmentSpec, *, num_envs: int) -> None:
        gymnasium = gymnasium_module(spec.id)
        if gymnasium.spec(spec.id).vector_entry_point is None or spec.wrappers:
            raise DataError(
                f"gymnasium has no vector program for {spec.id}"
                f"{' with wrappers' if spec.wrappers else ''}: use vectorisation='loop'."
            )
        options = dict(spec.options)
        if spec.max_episode_steps is not None:
            options["max_episode_steps"] = spec.max_episode_steps
        mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT
        self.environment = gymnasium.make_vec(spec.id, num_envs=num_envs, vectorization_mode=mode, **options)
        if self.environment.metadata.get("autoreset_mode") != gymnasium.vector.AutoresetMode.NEXT_STEP:
            raise DataError(f"The vector program of {spec.id} is not of 'next step' mode: use vectorisation='loop'.")
        self.spec = spec
        self.num_envs = num_envs
        self.observations = np.zeros((num_envs, *spec.observation_shape), spec.observation_dtype)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seed: int) -> None:
        self.observations, _ = self.environment.reset(seed=seed)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def step(self, actions: np.ndarray) -> Step:
        observations, rewards, terminated, truncated, _ = self.environment.step(actions)
        real = ~self._ended
        self._ended = terminated | truncated
        self.observations = observations
        return Step(observations, rewards.astype(np.float32), terminated, truncated, real)

    def state_dict(self) -> dict[str, Any] | None:
        return {
            "environments": [environment_state(self.environment)],
            "observations": self.observations.tolist(),
            "ended": self._ended.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.environment.reset()
        restore_environment(self.environment, state["environments"][0])
        self.observations = np.asarray(state["observations"], self.observations.dtype)
        self._ended = np.asarray(state["ended"], np.bool_)

    def close(self) -> None:
        self.environment.close()


PROOF_STEPS = 30  # of each part of the proof


def is_restorable(spec: EnvironmentSpec) -> bool:
    """Whether an environment put back by its state goes on exactly as the one it was taken from: found out by playing.

    Two copies get the same actions over `PROOF_STEPS` steps, one of them put back from the state of the other, and
    must give the same observations, rewards and ends; then both begin a new episode, which must be the same one.
    """
    first, second = (LoopEnvironments(spec, num_envs=1) for _ in range(2))
    first._restorable = True
    generator = np.random.default_rng(0)
    try:
        first.reset(seed=0)
        for _ in range(PROOF_STEPS):
            first.step(generator.integers(spec.num_actions, size=1))
        state = first.state_dict()
        if state is None or any(held is None for held in state["environments"]):
            return False
        second.load_state_dict(state)
        for _ in range(PROOF_STEPS):
            actions = generator.integers(spec.num_actions, size=1)
            pair = zip(first.step(actions), second.step(actions), strict=True)
            if not all(np.array_equal(one, other) for one, other in pair):
                return False
        anew = [held.environments[0].reset()[0] for held in (first, second)]
        return np.array_equal(first.observations, second.observations) and np.array_equal(*anew)
    finally:
        first.close()
        second.close()
