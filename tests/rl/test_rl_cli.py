"""Agents on the command line: train, evaluate, predict, explain, stop and resume."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from rl.value_based.dqn import DQN
from zoo.cli import app

TINY = (
    "--data-set", "steps_per_epoch=60", "--data-set", "validation_episodes=3", "--data-set", "test_episodes=4",
    "--task-set", "learning_starts=20", "--task-set", "train_every=4", "--task-set", "updates_per_train=2",
    "--epochs", "2",
)  # fmt: skip


def zoo(*arguments: object) -> Result:
    """Runs a command in this process; whatever is no exit is raised here."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "cartpole"
    done = zoo("train", "dqn", "--data", "CartPole-v1", *TINY, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_a_run_is_whole(run: Path) -> None:
    """Fails if the recipe of the task does not reach the run, or a part is not judged."""
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["optimizer"] == "adam"
    assert config["recipe"]["batch_size"] == 64
    assert config["recipe"]["stages"][0]["lr"] == 2.3e-3
    assert config["recipe"]["stages"][0]["schedule"] == "constant"
    assert config["task"]["schema"]["learning_starts"] == 20
    assert set(json.loads((run / "results.json").read_text())) == {"validation", "test"}
    assert {path.name for path in run.glob("*.png")} == {"curves.png", "returns_test.png", "returns_validation.png"}


def test_evaluate(run: Path) -> None:
    """Fails if a run opened again is judged otherwise than at its end."""
    done = zoo("evaluate", run, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    held = json.loads((run / "results.json").read_text())["test"]
    assert found.get("test", found) == held


def test_predict_and_explain(run: Path, tmp_path: Path) -> None:
    done = zoo("predict", run, "--out", tmp_path / "values.png", "--", "-0.1,0.2,0.05,0")
    assert done.exit_code == 0, done.output
    assert "-0.1,0.2,0.05,0: push" in done.stdout
    assert (tmp_path / "values.png").stat().st_size > 1000
    done = zoo("explain", run, "0.1,0.2,0.05,0", "--target", "push left", "--out", tmp_path / "why.png")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "why.png").stat().st_size > 1000


def test_mistakes_end_with_a_sentence(run: Path) -> None:
    """Fails if a user's mistake shows as a traceback."""
    for arguments, words in (
        (("predict", run, "1,2"), "shape"),
        (("train", "dqn", "--data", "CartPol-v1"), "CartPole-v1"),
        (("train", "dqn", "--data", "FrozenLake-v1"), "one_hot"),
        (("train", "dqn", "--data", "CartPole-v1", "--task-set", "doubel=true"), "double"),
    ):
        done = zoo(*arguments)
        assert done.exit_code != 0
        assert words in done.output


def test_stopped_and_resumed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if `zoo resume` ends elsewhere than the unbroken run of the same seed."""
    update = DQN.update

    def update_and_stop(self: DQN) -> None:
        update(self)
        if self.position.step == 27:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(DQN, "update", update_and_stop)
    stopped = zoo("train", "dqn", "--data", "CartPole-v1", *TINY, "--out", tmp_path / "cut")
    assert stopped.exit_code != 0
    assert "zoo resume" in stopped.output
    monkeypatch.undo()
    done = zoo("resume", tmp_path / "cut")
    assert done.exit_code == 0, done.output
    whole, resumed = load_file(run / "model.safetensors"), load_file(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert json.loads((run / "results.json").read_text()) == json.loads((tmp_path / "cut/results.json").read_text())


def test_compare_with_baselines(tmp_path: Path) -> None:
    """Fails if a table's run cannot be set beside planning."""
    out = tmp_path / "lake"
    done = zoo(
        "train", "q_learning", "--data", "FrozenLake-v1", "--epochs", 1, "--data-set", "steps_per_epoch=50",
        "--data-set", "test_episodes=20", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    done = zoo("compare", out, "--baselines")
    assert done.exit_code == 0, done.output
    assert "value iteration" in done.output
    assert "random actions" in done.output
