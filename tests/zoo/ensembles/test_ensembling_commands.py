"""The commands that train or use several models together."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zoo.cli import app

QUICK = ["--epochs", "2", "--lr", "0.05", "--set", "accelerator=cpu", "--data-set", "target=z"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """60 rows of two numbers and a class."""
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["x,y,z", *(f"{i % 7},{i % 5},{'ab'[(i % 7) > 3]}" for i in range(60))]))
    return path


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def fails(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 2
    return done.output


def test_cross_validate(rows, tmp_path):
    """Fails if flags of `zoo train` do not reach the folds, or the table lacks the mean and its error."""
    command = ["cross-validate", "table_mlp", "--data", rows, "--folds", 3, "--out", tmp_path / "cv", *QUICK]
    shown = run(*command)
    lines = [line.split()[0] for line in shown.splitlines() if line]
    assert lines[lines.index("fold") :] == ["fold", "0", "1", "2", "mean", "std", "pooled", "cross-validation:"]
    found = json.loads(run(*command, "--json"))
    assert len(found["folds"]) == 3
    assert found["mean"]["accuracy"] == pytest.approx(sum(fold["accuracy"] for fold in found["folds"]) / 3)
    config = json.loads((tmp_path / "cv" / "folds" / "1" / "config.json").read_text())
    assert config["recipe"]["stages"][0]["epochs"] == 2
    assert config["recipe"]["stages"][0]["lr"] == 0.05
    assert "--seed" in fails(*command, "--set", "seed=3")
    assert "k was 3 and is now 2" in fails(*[2 if part == 3 else part for part in command])


def test_average_vote_and_soup(rows, tmp_path):
    for seed in (0, 1):
        run("train", "table_mlp", "--data", rows, "--out", tmp_path / str(seed), "--set", f"seed={seed}", *QUICK)
    runs = [tmp_path / "0", tmp_path / "1"]
    found = json.loads(run("ensemble", "average", *runs, "--weights", "2,1", "--out", tmp_path / "a", "--json"))
    assert set(found["results"]) == {"validation"}
    assert "ensemble:" in run("ensemble", "vote", *runs, "--out", tmp_path / "v")
    assert "validation:" in run("ensemble", "soup", *runs, "--out", tmp_path / "s")
    assert "a" in run("predict", tmp_path / "s", rows)
    assert "not a list of numbers" in fails("ensemble", "average", *runs, "--weights", "a,b")


def test_stack_bag_and_snapshots(rows, tmp_path):
    data = ["--data", rows, *QUICK, "--json"]
    stack = run("ensemble", "stack", "table_mlp", "--folds", 2, "--meta-set", "C=0.5", "--out", tmp_path / "s", *data)
    assert json.loads(stack)["results"] == {"validation": json.loads(stack)["results"]["validation"]}
    bag = run("ensemble", "bag", "table_mlp", "--members", 2, "--out", tmp_path / "b", *data)
    assert json.loads(bag)["results"]["validation"]["accuracy"] >= 0
    snapshots = run("ensemble", "snapshots", "table_mlp", "--cycles", 2, "--out", tmp_path / "c", *data)
    assert json.loads(snapshots)["directory"] == str(tmp_path / "c" / "ensemble")
    for member in ("s/models/0/all", "b/members/1"):  # each is a run that reads its rows again
        run("evaluate", tmp_path / member, "--split", "train")
