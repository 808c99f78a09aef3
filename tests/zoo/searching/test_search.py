"""Searches: seeded, pruned, killed and gone on with, and what they leave."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from search_cases import QUIET, SPACE

import zoo
from zoo.data import Bundle
from zoo.errors import DataError, RunError, UnknownArgumentError, UnknownNameError
from zoo.searching import Search, search
from zoo.training import Callback, load_run

OPTIONS = {"epochs": 2, **QUIET}


def told(found):
    return [(trial.state, trial.value, dict(trial.parameters)) for trial in found.trials if trial.state != "failed"]


def test_a_search_finds_runs(model, bundle, task, tmp_path):
    """Fails if a trial is trained otherwise than it says, or the best is not the best."""
    found = search(model, bundle, space=SPACE, trials=4, task=task, out=tmp_path / "s", seed=1, **OPTIONS)
    assert [trial.state for trial in found.trials] == ["complete"] * 4
    for trial in found.trials:
        run = load_run(trial.directory)
        assert run.recipe.stages[0].lr == trial.parameters["lr"]
        assert run.recipe.optimizer == trial.parameters["optimizer"]
        assert run.recipe.batch_size == trial.parameters["batch_size"]
        assert run.results["validation"]["accuracy"] == trial.value
        assert 1e-3 <= trial.parameters["lr"] <= 1
    assert found.best.value == max(trial.value for trial in found.trials)
    assert found.best_run.directory == found.best.directory
    again = load_run(found.best.directory, model=model)
    assert again.predict(bundle.validation.tensors[0])
    with open(tmp_path / "s" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [trial.value for trial in found.trials]
    assert (tmp_path / "s" / "history.png").is_file()


def test_less_is_better_where_the_task_says_so(tmp_path):
    """Fails if a search for the lowest error keeps the highest, or entries of options are not handed over."""
    import pandas as pd

    from tabular.data.reader import table_bundle

    frame = pd.DataFrame({"x": [i % 7 for i in range(40)], "z": [float(i % 7) + 0.5 for i in range(40)]})
    found = search(
        "table_mlp", table_bundle(frame, target="z", validation=0.3), trials=3, out=tmp_path / "s", epochs=5, lr=0.01,
        space={"model_options.dropout": [0.0, 0.3], "weight_decay": (0.0, 0.1)}, pruner="none", sampler="random",
        **QUIET,
    )  # fmt: skip
    assert (found.metric, found.mode) == ("rmse", "min")
    assert found.best.value == min(trial.value for trial in found.trials)
    for trial in found.trials:
        config = load_run(trial.directory).config
        assert config["model"]["arguments"]["dropout"] == trial.parameters["model_options.dropout"]
        assert config["recipe"]["weight_decay"] == trial.parameters["weight_decay"]
    assert found.best_run.predict([{"x": 3}])


def test_more_trials_go_on(model, bundle, task, tmp_path):
    """Fails if finished trials are made again, or a search in two parts is another than one in one."""
    options = {"space": SPACE, "task": task, **OPTIONS}
    whole = search(model, bundle, trials=4, out=tmp_path / "whole", **options)
    search(model, bundle, trials=2, out=tmp_path / "s", **options)
    before = (tmp_path / "s" / "trials" / "0001" / "model.safetensors").stat().st_mtime_ns
    longer = search(model, bundle, trials=4, out=tmp_path / "s", **options)
    assert (tmp_path / "s" / "trials" / "0001" / "model.safetensors").stat().st_mtime_ns == before
    assert told(longer) == told(whole)
    assert told(Search(tmp_path / "s")) == told(whole)
    other = search(model, bundle, trials=2, out=tmp_path / "other", **{**options, "seed": 5})
    assert told(other) != told(whole)[:2]


def test_trials_that_fall_behind_are_ended(model, bundle, task, tmp_path):
    """Fails if nothing is pruned, or a pruned trial trains to its end or wins."""
    found = search(
        model, bundle, space={"lr": [1e-6, 0.05]}, trials=10, task=task, out=tmp_path / "s", sampler="random", epochs=3,
        batch_size=8, seed=3, metric="loss", **QUIET,
    )  # fmt: skip
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert found.mode == "min"
    for trial in pruned:
        assert "median" in trial.reason
        assert len(load_run(trial.directory).history) < 3
        assert trial.parameters["lr"] == 1e-6
    assert found.best.parameters["lr"] == 0.05
    assert all(trial.number >= 5 for trial in pruned)  # five are completed first
    kept = search(
        model, bundle, space={"lr": [1e-6, 0.05]}, trials=7, task=task, out=tmp_path / "all", sampler="random",
        epochs=1, batch_size=24, seed=3, metric="loss", pruner="none", **QUIET,
    )  # fmt: skip
    assert {trial.state for trial in kept.trials} == {"complete"}


def test_a_trial_that_diverges_is_told_and_counted(model, bundle, task, tmp_path):
    """Fails if a rate that ends in NaN ends the search."""
    found = search(
        model, bundle, space={"lr": [1e30, 1e35]}, trials=2, task=task, out=tmp_path / "s", optimizer="sgd",
        clip_norm=None, epochs=3, batch_size=8, **QUIET,
    )  # fmt: skip
    assert [trial.state for trial in found.trials] == ["pruned"] * 2
    assert all("diverged" in trial.reason or "finite" in trial.reason for trial in found.trials)
    with pytest.raises(RunError, match="No trial"):
        _ = found.best


class Stop(Callback):
    """Ends training as Ctrl-C does."""

    def __init__(self, trial):
        self.trial = trial

    def on_step_end(self, trainer):
        if trainer.directory.name == self.trial:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_search_says_how_to_go_on(model, bundle, task, tmp_path):
    options = {"space": SPACE, "task": task, "trials": 3, "out": tmp_path / "s", **OPTIONS}
    with pytest.raises(KeyboardInterrupt, match="same call goes on"):
        search(model, bundle, callbacks=[Stop("0001")], **options)
    assert [(trial.state, "Interrupt" in trial.reason) for trial in Search(tmp_path / "s").trials][1] == (
        "failed",
        True,
    )
    found = search(model, bundle, callbacks=[Stop("none")], **options)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete", "complete"]


SCRIPT = """
import sys, time
import torch
torch.set_num_threads(1)
from search_cases import QUIET, SPACE, new_bundle, new_model
from vision.classification.task import ImageClassification
from zoo.searching import search
from zoo.training import Callback

class Tell(Callback):
    def on_step_end(self, trainer):
        print(trainer.directory.name, trainer.position.step, flush=True)
        time.sleep(0.02)

bundle = new_bundle()
search(
    new_model(), bundle, space=SPACE, trials=4, task=ImageClassification.from_bundle(bundle), out=sys.argv[1], epochs=2,
    callbacks=[Tell()], **QUIET,
)
"""


class Tell(Callback):
    """Does nothing; the call is the same only with a callback of this name."""


def test_a_killed_search_goes_on(model, bundle, task, tmp_path):
    """Fails if SIGKILL loses a trial or counts one twice, or the search is another one after it."""
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[2])])}
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "s")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("0002 2"):
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert [trial.state for trial in Search(tmp_path / "s").trials] == ["complete", "complete", "running"]
    options = {"space": SPACE, "trials": 4, "task": task, "callbacks": [Tell()], **OPTIONS}
    found = search(model, bundle, out=tmp_path / "s", **options)
    assert [trial.state for trial in found.trials] == ["complete", "complete", "failed", "complete", "complete"]
    assert found.trials[2].reason == "killed"
    assert found.trials[3].parameters == found.trials[2].parameters
    assert told(found) == told(search(model, bundle, out=tmp_path / "whole", **options))


def test_another_search_does_not_go_on(model, bundle, task, tmp_path):
    out = tmp_path / "s"
    options = {"trials": 1, "task": task, "epochs": 1, **QUIET}
    search(model, bundle, space={"lr": (0.01, 0.1)}, out=out, **options)
    with pytest.raises(RunError, match=r"space\.lr\.high was 0\.1 and is now 0\.2"):
        search(model, bundle, space={"lr": (0.01, 0.2)}, out=out, **options)
    with pytest.raises(RunError, match="sampler"):
        search(model, bundle, space={"lr": (0.01, 0.1)}, out=out, sampler="random", **options)
    shutil.rmtree(out / "trials")
    assert search(model, bundle, space={"lr": (0.01, 0.1)}, out=out, **options).trials[0].state == "complete"


def test_bad_searches_are_refused_before_anything_is_written(model, bundle, task, tmp_path):
    given = {"task": task, "out": tmp_path / "s", **QUIET}
    with pytest.raises(UnknownArgumentError, match="Did you mean 'lr'"):
        search(model, bundle, space={"lrr": (0.1, 0.2)}, **given)
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        search(model, bundle, space={"lr": (0.1, 0.2)}, metric="acuracy", **given)
    with pytest.raises(ValueError, match="at least 1"):
        search(model, bundle, space={"lr": (0.1, 0.2)}, trials=0, **given)
    with pytest.raises(UnknownNameError, match="sampler"):
        search(model, bundle, space={"lr": (0.1, 0.2)}, sampler="grid", **given)
    with pytest.raises(ValueError, match="read already"):
        search(model, bundle, space={"data_options.size": [1, 2]}, **given)
    alone = Bundle.from_arrays(*bundle.train.tensors, task="vision/classification", validation=0.0)
    with pytest.raises(DataError, match="validation data"):
        search(model, alone, space={"lr": (0.1, 0.2)}, **given)
    assert not (tmp_path / "s").exists()


def test_a_mistake_in_one_trial_ends_the_search(model, bundle, task, tmp_path):
    """Fails if an option that no trial can take is taken for bad luck."""
    with pytest.raises(zoo.ZooError, match="optimizer"):
        search(model, bundle, space={"optimizer": ["adm", "agd"]}, trials=2, task=task, out=tmp_path / "s", **OPTIONS)
    (trial,) = Search(tmp_path / "s").trials
    assert trial.state == "failed"
    assert "UnknownNameError" in trial.reason
    assert trial.value is None
