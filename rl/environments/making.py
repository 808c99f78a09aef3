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
    wanted = {"gymnasium": "gymnasium[classic-control,toy-text]>=1.1"}
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
    atari = "atari" in spec.wrappers
    environment = _make(spec.id, spec.options, atari, None if atari else spec.max_episode_steps, render_mode)
    return _wrapped(environment, spec.wrappers, spec.frames, spec.max_episode_steps, training=training)


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
    spaces = gymnasium_module(environment_id).spaces
    if wrappers is None:
        wrappers = ("atari",) if environment_id.startswith(ATARI_NAMESPACE) else ()
    wrappers = (wrappers,) if isinstance(wrappers, str) else tuple(wrappers)
    for wrapper in wrappers:
        check_name("wrapper", wrapper, WRAPPERS)
    kept = tuple(frames) if "atari" in wrappers else ()
    options = dict(options or {})
    raw = _make(environment_id, options, "atari" in wrappers, None if kept else max_episode_steps, None)
    environment = _wrapped(raw, wrappers, kept, max_episode_steps, training=False)
    space, actions, limits = environment.observation_space, environment.action_space, raw.spec
    environment.close()
    if not isinstance(actions, spaces.Discrete) or actions.start != 0:
        raise DataError(
            f"{environment_id} has the actions {actions}; the agents here choose among numbered ones, Discrete(n), "
            "such as those of CartPole-v1."
        )
    if not isinstance(space, spaces.Box | spaces.Discrete) or getattr(space, "start", 0) != 0:
        raise DataError(
            f"{environment_id} gives observations {space}; arrays of numbers, Box(...), or states numbered from 0, "
            "Discrete(n), are needed here. Register a wrapped environment that turns them into one of these."
        )
    shape = tuple(space.shape or ())
    count = int(actions.n)
    return EnvironmentSpec(
        id=environment_id, options=options, wrappers=wrappers, observation_shape=shape,
        observation_dtype=str(space.dtype), num_states=int(space.n) if isinstance(space, spaces.Discrete) else None,
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
    # What is not asked for is not passed: an environment of the user's own need not take it.
    asked = {"max_episode_steps": max_episode_steps, "render_mode": render_mode}
    given |= {name: value for name, value in asked.items() if value is not None}
    try:
        return gymnasium.make(environment_id, disable_env_checker=True, **given)
    except gymnasium.error.UnregisteredEnv as error:
        hint = nearest(environment_id, gymnasium.registry)
        raise DataError(f"gymnasium has no environment {environment_id!r}. {hint}") from error
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise DataError(f"{environment_id} needs a package that is missing: {error}") from error
    except (TypeError, gymnasium.error.Error) as error:
        used = f" with {given}" if given else ""
        raise DataError(f"{environment_id} cannot be made{used}: {error}") from error


def _wrapped(
    environment: "Env", wrappers: Sequence[str], frames: Sequence[int], limit: int | None, *, training: bool
) -> "Env":
    from rl.environments.wrappers import episodic_life, float_vectors, one_hot

    if "atari" in wrappers:
        from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

        num_frames, height, width = frames
        environment = AtariPreprocessing(environment, screen_size=(width, height))  # cv2 takes the width first
        # A limit within would count the frames that are skipped, and cut an episode off at an old picture.
        environment = environment if limit is None else TimeLimit(environment, limit)
        environment = episodic_life(environment) if training else environment
        environment = FrameStackObservation(environment, num_frames)
    if "one_hot" in wrappers:
        environment = one_hot(environment)
    return float_vectors(environment)


def _meanings(environment: "Env") -> tuple[str, ...]:
    """What an Atari game calls its actions: "FIRE", "UPRIGHT"."""
    meanings = getattr(environment.unwrapped, "get_action_meanings", None)
    return () if meanings is None else tuple(str(name).lower() for name in meanings())
