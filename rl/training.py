"""What every trainer that acts in environments shares: the environments, counters, exploration and their state."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rl.environments.reading import Experience, training_seed
from rl.environments.vector import Environments, Step, make_environments
from rl.schedules import LinearSchedule
from zoo.data.randomness import mix
from zoo.training import Trainer

logger = logging.getLogger(__name__)


class ActingTrainer(Trainer):
    """A trainer whose data are what its own actions bring about.

    A subclass has its algorithm's loop in `train_epoch`; an epoch is a number of environment steps. It calls `begin`
    first, which makes everything or takes it from a checkpoint, and `count` after every step.

    environment_steps: of all environments together, since the run began; epoch_steps: since the epoch did.
    """

    environment_steps = 0
    epoch_steps = 0
    _environments: Environments | None = None
    _resumed: Mapping[str, Any] | None = None

    @property
    def experience(self) -> Experience:
        """The training data.

        Raises: TypeError if they are rows and not an environment.
        """
        if not isinstance(self.train, Experience):
            raise TypeError(f"{type(self).__name__} learns by acting: give an environment, not {type(self.train)}.")
        return self.train

    @property
    def environments(self) -> Environments:
        """Where the agent acts; there are some once `begin` was called."""
        assert self._environments is not None, "begin was not called"
        return self._environments

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run."""
        return len(self.experience) * sum(stage.epochs for stage in self.recipe.stages)

    @property
    def steps_per_update(self) -> float:
        """Environment steps for one optimizer step, on average."""
        return 1.0

    def fit(self, *, resume_from: Path | None = None) -> list[dict[str, Any]]:
        self.train = self.experience.updated_every(self.steps_per_update)  # by which schedules know their length
        try:
            return super().fit(resume_from=resume_from)
        finally:
            if self._environments is not None:
                self._environments.close()

    def begin(self) -> None:
        """Makes what the loop needs, once for each run and each resumption.

        Raises: ValueError for several processes or accumulated batches, which no loop here is written for.
        """
        self.stage.train_mode()
        if self._environments is not None:
            return
        if self.engine.world_size > 1 or self.recipe.accumulate > 1:
            raise ValueError("Agents learn in one process, a batch at a time: use devices=1 and accumulate=1.")
        source, seed = self.experience, self.recipe.seed
        self.generator = np.random.default_rng(mix(seed, 1))
        self._environments = make_environments(
            source.spec, num_envs=source.num_envs, vectorisation=source.vectorisation
        )
        self._returns = np.zeros(source.num_envs)
        self.set_up()
        if self._resumed is None:
            self._environments.reset(training_seed(seed))
        else:
            self._take_back(self._resumed)
            self._resumed = None

    def set_up(self) -> None:
        """Makes what the algorithm needs beside environments and generator."""

    def count(self, step: Step) -> int:
        """Adds a step of all environments to the counters and to the record of episodes; returns how many acted."""
        self._returns += step.rewards * step.real
        ends = step.terminated | step.truncated
        for index in np.flatnonzero(ends) if ends.any() else ():
            for means in (self.window.recent, self.window.epoch):
                means.add("mean_return", float(self._returns[index]), 1.0)
            self._returns[index] = 0.0
        acted = int(step.real.sum())
        self.environment_steps += acted
        self.epoch_steps += acted
        return acted

    def end_of_epoch(self, epsilon: float) -> None:
        """Starts the count of the next epoch, and puts the present chance of random actions into the record."""
        self.window.epoch.add("epsilon", epsilon, 1.0)
        self.epoch_steps = 0

    def passed(self, every: int, *, acted: int) -> int:
        """How many multiples of `every` the last `acted` environment steps went past; several environments may many."""
        return self.environment_steps // every - (self.environment_steps - acted) // every

    # State

    def extra_state(self) -> dict[str, Any]:
        if self._environments is None:
            return {} if self._resumed is None else dict(self._resumed)
        return {
            "environment_steps": self.environment_steps,
            "epoch_steps": self.epoch_steps,
            "generator": self.generator.bit_generator.state,
            "returns": self._returns.tolist(),
            "environments": self._environments.state_dict(),
            "algorithm": self.algorithm_state(),
        }

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self._resumed = state or None

    def algorithm_state(self) -> dict[str, Any]:
        """What `set_up` made, for a checkpoint."""
        return {}

    def load_algorithm_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `algorithm_state` gave."""

    def forget_episodes(self) -> None:
        """Called where environments could not be put back: the episodes they were in are cut off."""

    def _take_back(self, state: Mapping[str, Any]) -> None:
        self.environment_steps, self.epoch_steps = state["environment_steps"], state["epoch_steps"]
        self.generator.bit_generator.state = state["generator"]
        self.load_algorithm_state(state["algorithm"])
        if state["environments"] is not None:
            self.environments.load_state_dict(state["environments"])
            self._returns[:] = state["returns"]
            return
        logger.warning(
            "%s cannot be put back to where it was: new episodes begin, and the run goes on, but not exactly as it "
            "would have without the stop",
            self.experience.spec.id,
        )
        self.forget_episodes()
        self.environments.reset(training_seed(mix(self.recipe.seed, self.environment_steps)))

    def exploration(self, *, start: float, end: float, fraction: float, steps: int | None) -> LinearSchedule:
        """The chance of a random action over environment steps: falling over `steps`, or a fraction of the run's."""
        return LinearSchedule(start, end, steps if steps is not None else round(fraction * self.total_steps))
