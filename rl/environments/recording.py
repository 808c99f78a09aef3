"""Episodes as moving pictures."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from rl.environments.episodes import Policy
from rl.environments.making import make_environment
from rl.environments.spec import EnvironmentSpec
from zoo.errors import DataError

if TYPE_CHECKING:
    from gymnasium import Env

DEFAULT_FPS = 30
SDL_DRIVER = "SDL_VIDEODRIVER"  # by which pygame is told where to draw
ATARI_FPS = 15  # games run at 60 Hz, and a step is four of their frames: Mnih et al. 2015, methods


def record_episode(
    policy: Policy, spec: EnvironmentSpec, *, seed: int, max_frames: int = 500
) -> tuple[list[np.ndarray], float, int]:
    """Plays one episode and looks on.

    Returns: the frames [H, W, 3] uint8, one before each step and one at the end, at most `max_frames`; the return of
             the whole episode; and how many frames make a second.
    Raises:  DataError if the environment cannot draw itself.
    """
    frames: list[np.ndarray] = []
    total, steps, over = 0.0, 0, False
    with without_window(), closing(make_environment(spec, render_mode="rgb_array")) as environment:
        if "rgb_array" not in environment.metadata.get("render_modes", ()):
            raise DataError(f"{spec.id} gives no pictures of itself.")
        observation, _ = environment.reset(seed=seed)
        while not over:
            _look(environment, frames, max_frames, spec)
            action = policy(np.asarray(observation)[None])[0]
            observation, reward, terminated, truncated, _ = environment.step(action)
            total, steps = total + float(reward), steps + 1
            over = terminated or truncated or steps >= spec.step_limit
        _look(environment, frames, max_frames, spec)
        fps = ATARI_FPS if "atari" in spec.wrappers else int(environment.metadata.get("render_fps", DEFAULT_FPS))
    return frames, total, fps


@contextmanager
def without_window() -> Iterator[None]:
    """Inside, pygame draws into memory without looking for a screen, and does not complain that there is none."""
    held = os.environ.get(SDL_DRIVER)
    os.environ.setdefault(SDL_DRIVER, "dummy")
    try:
        yield
    finally:
        if held is None:
            del os.environ[SDL_DRIVER]


def _look(environment: "Env", frames: list[np.ndarray], limit: int, spec: EnvironmentSpec) -> None:
    from gymnasium.error import DependencyNotInstalled

    if len(frames) >= limit:
        return
    try:
        frame = environment.render()
    except DependencyNotInstalled as error:
        raise DataError(f"{spec.id} cannot draw itself: {error}") from error
    if not isinstance(frame, np.ndarray):
        raise DataError(f"{spec.id} gives no pictures of itself, but {type(frame).__name__}.")
    frames.append(frame)


def save_gif(frames: Sequence[np.ndarray], path: str | PathLike[str], *, fps: int) -> None:
    """Writes frames [H, W, 3] uint8 as a GIF that repeats for ever.

    fps: frames per second; GIFs know hundredths of a second only, and at most 50 frames in one.
    """
    from PIL import Image

    if not frames:
        raise ValueError("There are no frames to write.")
    stride = max(1, round(fps / 50))  # what would be shown too fast is thinned out
    images = [Image.fromarray(frame) for frame in frames[::stride]]
    duration = max(20, round(1000 * stride / fps))  # milliseconds
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0)
