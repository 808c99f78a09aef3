"""Environments by name, with the wrappers of their record, and errors that say what to do."""

import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rl.environments.names import action_names, component_names
from rl.environments.spec import FRAMES, WRAPPERS, EnvironmentSpec
from zoo.errors import DataError, check_name, nearest

if TYPE_CHECKING:
    from gymnasium import Env

ATARI_NAMESPACE = "ALE/"


def gymnasium_module(environment_id: str = "") -> ModuleType:
    """gymnasium, with the Atari games registered if `environment_id` is one.

    Raises: DataError if a package is missing, with the command that installs it.
    """
    wanted = {"gymnasium": "gymnasium>=1.0"}
    if environment_id.startswith(ATARI_NAMESPACE):
        wanted |= {"ale_py": "ale-py", "cv2": "opencv-python-headless"}
    missing = [package for module, package in wanted.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DataError(
            f"Environments such as {environment_id or 'CartPole-v1'} need {' and '.join(missing)}: "
            f"pip install {' '.join(repr(package) for package in missing)}."
        )
    import gymnasium

    if environment_id.startswith(ATARI_NAMESPACE):
        import ale_py

        gymnasium.register_envs(ale_py)
    return gymnasium


def make_environment(spec: EnvironmentSpec, *, training: bool = False, render_mode: str | None = None) -> "Env":
    """One environment of the kind; `render_mode` "rgb_array" lets it draw itself.

    training: with what helps to learn but must not change how a policy is judged: Atari's lost lives end an episode.
    """
    environment = _make(spec.id, spec.options, "atari" in spec.wrappers, spec.max_episode_steps, render_mode)
    return _wrapped(environment, spec.wrappers, spec.frames, training=training)


def describe_environment(
    environment_id: str,
    *,
    options: Mapping[str, Any] | None = None,
    wrappers: Sequence[str] | None = None,
    frames: Sequence[int] = FRAMES,
    max_episode_steps: int | None = None,
) -> EnvironmentSpec:
    """The record of an environment, made once to look at it.

    wrappers: None takes "atari" for Atari games and nothing for others.
    frames:   see `EnvironmentSpec`; looked at for Atari games only.
    Raises:   DataError for an unknown name, unknown options, and actions that are not numbered.
    """
    from gymnasium.spaces import Box, Discrete

    if wrappers is None:
        wrappers = ("atari",) if environment_id.startswith(ATARI_NAMESPACE) else ()
    wrappers = (wrappers,) if isinstance(wrappers, str) else tuple(wrappers)
    for wrapper in wrappers:
        check_name("wrapper", wrapper, WRAPPERS)
    kept = tuple(frames) if "atari" in wrappers else ()
    options = dict(options or {})
    raw = _make(environment_id, options, "atari" in wrappers, max_episode_steps, None)
    environment = _wrapped(raw, wrappers, kept, training=False)
    space, actions, limits = environment.observation_space, environment.action_space, raw.spec
    environment.close()
    if not isinstance(actions, Discrete) or actions.start != 0:
        raise DataError(f"{environment_id} has the actions {actions}; numbered ones, Discrete(n), are needed here.")
    if not isinstance(space, Box | Discrete):
        raise DataError(f"{environment_id} gives observations {space}; Box or Discrete is needed here.")
    shape = tuple(space.shape or ())
    count = int(actions.n)
    return EnvironmentSpec(
        id=environment_id, options=options, wrappers=wrappers, observation_shape=shape,
        observation_dtype=str(space.dtype), num_states=int(space.n) if isinstance(space, Discrete) else None,
        num_actions=count, reward_threshold=None if limits is None else limits.reward_threshold,
        max_episode_steps=max_episode_steps or (None if limits is None else limits.max_episode_steps), frames=kept,
        component_names=component_names(environment_id, shape[0]) if len(shape) == 1 else (),
        action_names=_meanings(environment) or action_names(environment_id, count),
    )  # fmt: skip


def _make(
    environment_id: str,
    options: Mapping[str, Any],
    atari: bool,
    max_episode_steps: int | None,
    render_mode: str | None,
) -> "Env":
    gymnasium = gymnasium_module(environment_id)
    given = dict(options)
    if atari:
        # The game itself must show every frame, as the wrapper skips them; it is as deterministic as the paper's.
        given = {"repeat_action_probability": 0.0, **given, "frameskip": 1}
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    try:
        return gymnasium.make(environment_id, render_mode=render_mode, disable_env_checker=True, **limit, **given)
    except gymnasium.error.UnregisteredEnv as error:
        hint = nearest(environment_id, gymnasium.registry)
        raise DataError(f"gymnasium has no environment {environment_id!r}. {hint}") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise DataError(f"{environment_id} needs a package that is missing: {error}") from error
    except (TypeError, gymnasium.error.Error) as error:
        raise DataError(f"{environment_id} cannot be made with {given}: {error}") from error


def _wrapped(environment: "Env", wrappers: Sequence[str], frames: Sequence[int], *, training: bool) -> "Env":
    from rl.environments.wrappers import episodic_life, one_hot

    if "atari" in wrappers:
        from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

        num_frames, height, width = frames
        environment = AtariPreprocessing(environment, screen_size=(width, height))  # cv2 takes the width first
        environment = episodic_life(environment) if training else environment
        environment = FrameStackObservation(environment, num_frames)
    if "one_hot" in wrappers:
        environment = one_hot(environment)
    return environment


def _meanings(environment: "Env") -> tuple[str, ...]:
    """What an Atari game calls its actions: "FIRE", "UPRIGHT"."""
    meanings = getattr(environment.unwrapped, "get_action_meanings", None)
    return () if meanings is None else tuple(str(name).lower() for name in meanings())
