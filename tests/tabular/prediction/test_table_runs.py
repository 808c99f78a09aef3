"""Runs on tables from start to end: training, other data, the command line, resuming bit for bit."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import DataError
from zoo.training import Callback, load_run

SMALL = {"widths": [16], "dropout": 0.1}


class Stop(Callback):
    """Ends the process, as it were, after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            raise RuntimeError("killed")


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def trained(people_csv, tmp_path_factory):
    """A folder with a finished run, made by the command line."""
    home = tmp_path_factory.mktemp("home")
    before = Path.cwd()
    os.chdir(home)
    try:
        result = command(
            "train", "table_mlp", "--data", people_csv, "--data-set", "target=hired", "--data-set", 'ignore=["wage"]',
            "--data-set", "test=0.2", "--model-set", "widths=[16]", "--epochs", 12, "--lr", 0.02, "--batch-size", 32,
            "--out", home / "run",
        )  # fmt: skip
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return home


def test_training_learns_and_keeps_its_table(trained):
    """Fails if the network does not learn, or the schema is not in the run."""
    run = load_run(trained / "run")
    assert run.results["test"]["accuracy"] > 0.8
    assert {"accuracy", "loss", "f1", "roc_auc"} == set(run.results["test"])
    kept = json.loads((trained / "run" / "config.json").read_text())["task"]["schema"]["table"]
    assert [column["name"] for column in kept["columns"]] == ["age", "city", "height", "joined"]
    assert kept["dropped"]["planet"] == "constant: always 'Earth'"
    assert (trained / "run" / "confusion_test.png").is_file()


def test_a_reopened_run_answers_the_same(trained, people_csv):
    """Fails if the task or the model are rebuilt otherwise than trained."""
    run = load_run(trained / "run")
    assert run.evaluate() == pytest.approx(run.results["test"])
    first = run.predict(people_csv)
    assert len(first) == 300
    assert first[:3] == load_run(trained / "run").predict(str(people_csv))[:3]


def test_evaluates_other_rows_by_the_runs_own_encoding(trained, people, tmp_path):
    """Fails if other rows are encoded by their own means: a shifted age would look like the training's."""
    run = load_run(trained / "run")
    path = tmp_path / "older.csv"
    people.assign(age=people["age"] + 200).to_csv(path, index=False)
    shares = np.array([row["label"] == "yes" for row in run.predict(path)])
    assert shares.mean() > 0.9
    values = run.evaluate(path)
    assert values["accuracy"] == pytest.approx((shares == (people["hired"] == "yes")).mean())
    assert "older" not in json.dumps(run.results)


def test_evaluating_needs_the_columns_and_classes(trained, people, tmp_path):
    run = load_run(trained / "run")
    people.drop(columns="age").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match=r"less\.csv lacks the column 'age'"):
        run.evaluate(tmp_path / "less.csv")


def test_the_command_line_predicts_and_explains(trained, people, tmp_path):
    """Fails if a row has no name, JSON rows are not read, or a wrong table ends as a traceback."""
    few = tmp_path / "few.csv"
    people.iloc[:3].to_csv(few, index=False)
    found = command(
        "predict", trained / "run", few, '{"age": 60, "city": "Oslo", "height": 1.8, "joined": "2020-01-01"}'
    )
    assert found.exit_code == 0, found.output
    lines = found.output.strip().splitlines()
    assert [line.split(": ")[0] for line in lines] == ["few.csv:2", "few.csv:3", "few.csv:4", "row 2"]
    assert "yes 0.9" in lines[3]
    picture = tmp_path / "why.png"
    assert command("explain", trained / "run", few, "--out", picture).exit_code == 0
    assert picture.stat().st_size > 5000
    other = tmp_path / "columns.png"
    done = command("explain", trained / "run", few, "--method", "permutation_importance", "--out", other)
    assert done.exit_code == 0, done.output
    assert other.is_file()


def test_the_command_line_refuses_a_table_that_does_not_fit(trained, people, tmp_path):
    """Fails if missing columns are not all named, or values of another kind are coerced."""
    wrong = tmp_path / "wrong.csv"
    people.drop(columns=["age", "city"]).to_csv(wrong, index=False)
    refused = command("predict", trained / "run", wrong)
    assert refused.exit_code != 0
    assert "wrong.csv lacks the columns 'age' (is it 'wage'?), 'city'." in " ".join(refused.output.split())
    people.assign(age="old").to_csv(wrong, index=False)
    refused = command("predict", trained / "run", wrong)
    assert refused.exit_code != 0
    assert "'age' must hold numbers" in " ".join(refused.output.split())


@pytest.mark.parametrize("target", ["hired", "wage"])
def test_a_stopped_run_goes_on_bit_for_bit(people_csv, tmp_path, target):
    """Fails if weights, optimizer, order of rows or the target's scale are not those of an unbroken run."""
    options = {
        "data_options": {"target": target, "ignore": ["row_id"]}, "model_options": SMALL, "epochs": 4, "batch_size": 32,
        "checkpoint_every_steps": 3, "progress": False, "seed": 3,
    }  # fmt: skip
    whole = zoo.train("table_mlp", people_csv, out=tmp_path / "whole", **options)
    with pytest.raises(RuntimeError, match="killed"):
        zoo.train("table_mlp", people_csv, out=tmp_path / "broken", callbacks=[Stop(14)], **options)
    resumed = load_run(tmp_path / "broken").resume(progress=False)
    assert resumed.results == whole.results
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    state, other = (
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True) for name in ("whole", "broken")
    )
    assert state["position"] == other["position"]
    moments, others = (held["optimizers"]["train"]["state"] for held in (state, other))
    assert all(torch.equal(moments[k]["exp_avg"], others[k]["exp_avg"]) for k in moments)


def test_values_are_predicted_in_their_unit_by_the_command_line(people_csv, tmp_path):
    """Fails if a regression run predicts standard deviations."""
    run = zoo.train(
        "table_mlp", people_csv, data_options={"target": "wage"}, model_options=SMALL, epochs=30, lr=0.01,
        batch_size=32, out=tmp_path / "run", progress=False,
    )  # fmt: skip
    assert run.results["validation"]["r2"] > 0.7
    found = command("predict", tmp_path / "run", people_csv, "--json")
    values = [row["value"] for row in json.loads(found.stdout)]
    assert 1500 < np.mean(values) < 4000
    assert (tmp_path / "run" / "predicted_validation.png").is_file()
