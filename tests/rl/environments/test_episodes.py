"""Episodes played by a policy, their pictures, and observations from users."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl.environments.episodes import Episodes, play_episodes
from rl.environments.making import describe_environment, make_environment
from rl.environments.observations import read_observations
from rl.environments.recording import record_episode, save_gif
from zoo.errors import DataError

CARTPOLE = describe_environment("CartPole-v1")
LAKE = describe_environment("FrozenLake-v1")


def right(observations: np.ndarray) -> np.ndarray:
    return np.ones(len(observations), np.int64)


def play(seeds: list[int], *, epsilon: float = 0.0, limit: int = 500, environment: str = "CartPole-v1") -> Episodes:
    spec = describe_environment(environment)
    made = [make_environment(spec) for _ in seeds]
    return play_episodes(right, made, seeds, num_actions=spec.num_actions, step_limit=limit, epsilon=epsilon)


def test_return_and_length_of_the_corridor(corridor: str) -> None:
    """Fails if a reward is left out: two steps of -0.1 and the way out, 1."""
    episodes = play([0, 1], environment=corridor)
    assert episodes.returns.tolist() == pytest.approx([0.8, 0.8])
    assert episodes.lengths.tolist() == [3, 3]


def test_an_episode_does_not_depend_on_its_neighbours() -> None:
    """Fails if episodes share a generator, or one that is over is still acted in."""
    together = play([7, 8, 9], epsilon=0.5)
    alone = [play([seed], epsilon=0.5) for seed in (9, 7, 8)]
    assert together.returns.tolist() == [float(alone[index].returns[0]) for index in (1, 2, 0)]
    assert len(set(together.lengths.tolist())) > 1


def test_random_actions_come_with_their_chance() -> None:
    """Fails if epsilon is not used: always to the right, the pole falls within 12 steps."""
    assert play(list(range(5))).lengths.max() < 12
    assert play(list(range(20)), epsilon=1.0).lengths.max() > 25


def test_step_limit_stops() -> None:
    assert play([0], limit=4).lengths.tolist() == [4]


def test_each_episode_needs_an_environment() -> None:
    with pytest.raises(ValueError, match="2 episodes"):
        play_episodes(right, [], [0, 1], num_actions=2, step_limit=3)


def test_gif_shows_the_episode(tmp_path: Path) -> None:
    """Fails if frames are left out, or shown at another speed: CartPole draws 50 a second, so 20 ms each."""
    frames, total, fps = record_episode(right, CARTPOLE, seed=0)
    assert len(frames) == total + 1
    assert fps == 50
    assert any((frame != frames[0]).any() for frame in frames[1:])
    save_gif(frames, tmp_path / "episode.gif", fps=fps)
    with Image.open(tmp_path / "episode.gif") as picture:
        shown = 0
        for index in range(picture.n_frames):  # frames that are alike are written as one
            picture.seek(index)
            shown += picture.info["duration"]
    assert shown == 20 * len(frames)


def test_games_are_shown_at_their_speed() -> None:
    """Fails if steps of four frames each are shown as if they were frames."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    spec = describe_environment("ALE/Pong-v5", max_episode_steps=3)
    frames, _, fps = record_episode(lambda seen: np.zeros(len(seen), np.int64), spec, seed=0)
    assert len(frames) == 4
    assert fps == 15


@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_an_environment_without_pictures_is_refused(corridor: str) -> None:
    with pytest.raises(DataError, match="pictures"):
        record_episode(right, describe_environment(corridor), seed=0)


def test_observations_from_text_and_files(tmp_path: Path) -> None:
    """Fails if a row is lost or in another order."""
    table = tmp_path / "seen.csv"
    table.write_text("x,v,a,w\n1,2,3,4\n5,6,7,8\n")
    np.save(tmp_path / "one.npy", np.array([9.0, 10, 11, 12]))
    np.save(tmp_path / "two.npy", np.arange(8.0).reshape(2, 4))
    found = read_observations(["-0.1,0.2,0,0", table, str(tmp_path / "one.npy"), tmp_path / "two.npy"], CARTPOLE)
    assert found.names == ["-0.1,0.2,0,0", "seen.csv:2", "seen.csv:3", "one.npy", "two.npy:0", "two.npy:1"]
    assert found.rows.shape == (6, 4)
    assert found.rows[0].tolist() == pytest.approx([-0.1, 0.2, 0, 0])
    assert found.rows[2].tolist() == [5, 6, 7, 8]
    assert found.rows[5].tolist() == [4, 5, 6, 7]
    assert read_observations(["3"], LAKE).rows.tolist() == [3]


@pytest.mark.parametrize(
    ("text", "message"), [("1,2,3", "shape"), ("1,2,3,x", "'x'"), ("1,2,3,nan", "finite"), ("missing.npy", "no file")]
)
def test_bad_observations_are_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_observations([text], CARTPOLE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "no observations in .*empty.csv"),
        ("binary.csv", b"\xff\xfe\x00", "cannot be read as a table"),
        ("broken.npy", b"no array", "cannot be read as an array"),
    ],
)
def test_bad_files_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """Fails if a file that holds no observations ends in a traceback, or its name is not said."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_observations([tmp_path / name], CARTPOLE)


@pytest.mark.parametrize(("array", "message"), [(np.array(5.0), "shape"), (np.array(["a"]), "numbers")])
def test_bad_arrays_are_named(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(DataError, match=message):
        read_observations([tmp_path / "bad.npy"], CARTPOLE)


@pytest.mark.parametrize("text", ["16", "-1", "1.5"])
def test_bad_states_are_named(text: str) -> None:
    with pytest.raises(DataError, match=r"0\.\.15"):
        read_observations([text], LAKE)


def test_drawing_without_a_screen_is_quiet(capfd, monkeypatch):
    """Fails if pygame says that it finds no screen, or the driver it is given stays for the user's own windows."""
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    frames, _, _ = record_episode(right, CARTPOLE, seed=0, max_frames=2)
    assert len(frames) == 2
    assert capfd.readouterr().err == ""
    assert "SDL_VIDEODRIVER" not in os.environ
