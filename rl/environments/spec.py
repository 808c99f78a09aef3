"""What an algorithm and a network must know about an environment, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FRAMES = (4, 84, 84)  # Mnih et al. 2015, doi:10.1038/nature14236: frames seen at once, height and width in pixels
ATARI_EPISODE_STEPS = 27_000  # 30 minutes at 60 Hz and 4 frames a step: Machado et al. 2018, arXiv:1709.06009
WRAPPERS = ("atari", "one_hot")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """One kind of environment with numbered actions; fit for JSON by `dataclasses.asdict`.

    id:                gymnasium's name, "CartPole-v1".
    options:           arguments of the environment, such as {"map_name": "8x8"}.
    wrappers:          "atari" skips frames, makes them grey and small and stacks them; "one_hot" turns numbered states
                       into vectors.
    observation_shape: of one observation; () where states are numbered.
    observation_dtype: NumPy's name, "float32".
    num_states:        where states are numbered, else None.
    reward_threshold:  return of an episode from which the environment counts as solved, or None.
    max_episode_steps: after so many steps an episode is truncated; None if the environment has no limit.
    frames:            frames seen at once, height and width in pixels, of "atari"; () otherwise.
    component_names:   of the entries of a flat observation, () where they have none.
    action_names:      one for each action.
    """

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    observation_shape: tuple[int, ...]
    observation_dtype: str
    num_states: int | None = None
    num_actions: int
    reward_threshold: float | None = None
    max_episode_steps: int | None = None
    frames: tuple[int, ...] = ()
    component_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()

    @property
    def step_limit(self) -> int:
        """Steps after which a judged episode is stopped, so that no policy can go on for ever."""
        return self.max_episode_steps or ATARI_EPISODE_STEPS

    @property
    def is_image(self) -> bool:
        """Whether observations are stacked frames [K, H, W]."""
        return len(self.observation_shape) == 3


def spec_from(values: EnvironmentSpec | Mapping[str, Any]) -> EnvironmentSpec:
    """The record itself, or the one whose `dataclasses.asdict` a JSON file held: lists become tuples again."""
    if isinstance(values, EnvironmentSpec):
        return values
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return EnvironmentSpec(**fields)
