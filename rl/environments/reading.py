"""Environments by name to bundles: where to learn, and the episodes by which a policy is judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from rl.environments.episodes import seeds_of
from rl.environments.making import describe_environment
from rl.environments.spec import FRAMES, EnvironmentSpec
from rl.environments.vector import Vectorisation
from zoo.data import ArraySource, Bundle
from zoo.data.bundle import fingerprint_of
from zoo.errors import DataError, check_name

TASK = "rl/value_based"
STEPS_PER_EPOCH = 1_000
ATARI_STEPS_PER_EPOCH = 250_000  # Mnih et al. 2015: training was judged every 250,000 steps
VALIDATION_EPISODES, TEST_EPISODES = 20, 100
NUMBERED_VALIDATION_EPISODES = 100  # of environments with numbered states, whose episodes are quick and full of chance
ATARI_VALIDATION_EPISODES, ATARI_TEST_EPISODES = 5, 30  # Mnih et al. 2015, table 2: 30 episodes
LARGEST_SEED = 1 << 31


@dataclass(frozen=True)
class Experience:
    """An environment as a source of training data: what an algorithm learns from, it must first bring about itself.

    So there are no batches to ask for; the algorithm's trainer takes `spec` and plays. The rows that a reader of other
    data would look at are the seeds of `num_episodes` episodes, which `unaugmented` gives, to judge a policy by.

    steps:            of all environments together, in an epoch.
    steps_per_update: environment steps for one optimizer step; None until an algorithm says so.
    """

    spec: EnvironmentSpec
    num_envs: int
    steps: int
    vectorisation: Vectorisation = "loop"
    num_episodes: int = VALIDATION_EPISODES
    seed: int = 0
    steps_per_update: float = 1.0

    def __len__(self) -> int:
        """Environment steps of an epoch."""
        return self.steps

    def updated_every(self, steps: float) -> "Experience":
        """The same for an algorithm that makes an optimizer step every so many environment steps, on average."""
        return replace(self, steps_per_update=steps)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The seed of an episode."""
        return self.unaugmented()[index]

    def targets(self) -> Tensor:
        """Raises: DataError, as there are none."""
        raise DataError(f"Experience of {self.spec.id} has no targets: an agent learns from rewards.")

    def unaugmented(self) -> ArraySource:
        """Seeds of episodes, apart from those of validation and test."""
        return ArraySource(seeds_of("train", count=self.num_episodes, seed=self.seed))

    def num_batches(self, *, batch_size: int, drop_last: bool = False, world_size: int = 1) -> int:
        """Optimizer steps of an epoch, once the algorithm has begun to make them; at least 1."""
        return max(1, int(self.steps / self.steps_per_update))

    def batches(
        self,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int | None = None,
        rows: Tensor | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Raises: DataError, as an algorithm must act to get any."""
        raise DataError(
            f"Experience of {self.spec.id} comes from acting, not from reading: train with a model of the task {TASK}."
        )


def read_environment(
    path: str,
    *,
    input_shape: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
    wrappers: Sequence[str] | None = None,
    max_episode_steps: int | None = None,
    num_envs: int = 1,
    vectorisation: Vectorisation = "loop",
    steps_per_epoch: int | None = None,
    validation_episodes: int | None = None,
    test_episodes: int | None = None,
    seed: int = 0,
) -> Bundle:
    """An environment to a bundle. `path` is gymnasium's name for it: "CartPole-v1", "ALE/Pong-v5".

    input_shape:         of the model; one of three numbers is [K, H, W], the frames that it wants to see of a game.
    options:             arguments of the environment, such as {"map_name": "8x8"}.
    wrappers:            "atari", which Atari games get by themselves; "one_hot", for networks on numbered states.
    max_episode_steps:   in place of the environment's own limit.
    num_envs:            environments that learn together; vectorisation: see `make_environments`.
    steps_per_epoch:     of all environments together; None for 1,000, and 250,000 of Atari games.
    validation_episodes: after every epoch; None for 20, 100 where states are numbered, and 5 of Atari games.
    test_episodes:       None for 100, and 30 of Atari games.
    seed:                of the episodes to be judged by; how training goes is up to the run's own seed.
    Returns:             a bundle whose `preprocessing` is the record of the environment.
    Raises:              DataError for a name or an option that gymnasium does not know, and actions without numbers.
    """
    check_name("vectorisation", vectorisation, ("loop", "native"))
    name = str(path)
    frames = tuple(input_shape) if input_shape is not None and len(input_shape) == len(FRAMES) else FRAMES
    spec = describe_environment(
        name, options=options, wrappers=wrappers, frames=frames, max_episode_steps=max_episode_steps
    )
    usual = _usual_sizes(spec)
    steps = usual[0] if steps_per_epoch is None else steps_per_epoch
    held_out = usual[1] if validation_episodes is None else validation_episodes
    kept_back = usual[2] if test_episodes is None else test_episodes
    _check_least(1, num_envs=num_envs, steps_per_epoch=steps)
    _check_least(0, validation_episodes=held_out, test_episodes=kept_back)
    origin = {
        "path": name, "input_shape": None if input_shape is None else list(input_shape),
        "options": dict(options or {}), "wrappers": list(spec.wrappers), "max_episode_steps": max_episode_steps,
        "num_envs": num_envs, "vectorisation": vectorisation, "steps_per_epoch": steps,
        "validation_episodes": held_out, "test_episodes": kept_back, "seed": seed,
    }  # fmt: skip
    return Bundle(
        train=Experience(spec, num_envs, steps, vectorisation, seed=seed),
        validation=ArraySource(seeds_of("validation", count=held_out, seed=seed)) if held_out else None,
        test=ArraySource(seeds_of("test", count=kept_back, seed=seed)) if kept_back else None,
        task=TASK,
        kind=None,
        input_shape=spec.observation_shape,
        preprocessing=spec,
        origin=origin,
        fingerprint=fingerprint_of(sorted(asdict(spec).items()), num_envs, steps, held_out, kept_back, seed),
    )


def _usual_sizes(spec: EnvironmentSpec) -> tuple[int, int, int]:
    """Steps of an epoch, and episodes of validation and test, where the user gives none."""
    if "atari" in spec.wrappers:
        return ATARI_STEPS_PER_EPOCH, ATARI_VALIDATION_EPISODES, ATARI_TEST_EPISODES
    held_out = VALIDATION_EPISODES if spec.num_states is None else NUMBERED_VALIDATION_EPISODES
    return STEPS_PER_EPOCH, held_out, TEST_EPISODES


def _check_least(least: int, **numbers: int) -> None:
    """Raises DataError for a number below the least one that makes sense."""
    for name, number in numbers.items():
        if number < least:
            raise DataError(f"{name} is {number}; at least {least} is needed.")


def training_seed(seed: int) -> int:
    """The seed of the environments in which a run with `seed` learns, far from those of judged episodes."""
    from zoo.data.randomness import mix

    return LARGEST_SEED // 2 + mix(seed) % (LARGEST_SEED // 4)


def as_seeds(batch: Sequence[Any]) -> np.ndarray:
    """A batch of judged episodes, as its source gives it, to their seeds int64 [B]."""
    seeds: np.ndarray = batch[0].cpu().numpy()
    return seeds
