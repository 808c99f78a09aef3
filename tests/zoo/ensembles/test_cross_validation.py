"""Cross-validation: rows judged once and in order, means with their errors, stopped and gone on with."""

import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ensemble_cases import QUIET
from safetensors.torch import load_file

import zoo.training
from zoo.data import folds
from zoo.ensembles import CrossValidation, Ensemble, cross_validate
from zoo.ensembles.cross_validation import summary
from zoo.errors import DataError, RunError, UnknownArgumentError
from zoo.training import Callback, load_run

OPTIONS = {"epochs": 2, "lr": 0.05, "batch_size": 16, **QUIET}


def test_every_row_is_judged_by_a_model_that_did_not_see_it(model, bundle, task, tmp_path):
    """Fails if predictions are put in another order, or come from a model that was trained on the row."""
    found = cross_validate(model, bundle, k=3, task=task, out=tmp_path / "cv", seed=4, **OPTIONS)
    cuts = folds(bundle, 3, seed=4)
    answers, numbers = found.out_of_fold()
    assert answers.shape == (len(cuts.pool), 3)
    for index, rows in enumerate(cuts.rows):
        state = load_file(tmp_path / "cv" / "folds" / str(index) / "model.safetensors")
        net = type(model)(*model)
        net.load_state_dict(state)
        inputs = torch.stack([cuts.pool[int(row)][0] for row in rows])
        torch.testing.assert_close(answers[rows], net.eval()(inputs).softmax(1).detach())
        assert (numbers[rows] == index).all()
        trained = cuts[index].train
        assert len(trained) + len(rows) == len(cuts.pool)
    right = (answers.argmax(1) == cuts.targets()).float()
    assert found.pooled["accuracy"] == pytest.approx(float(right.mean()))
    each = [float(right[rows].mean()) for rows in cuts.rows]
    assert [values["accuracy"] for values in found.folds] == pytest.approx(each)
    assert found.mean["accuracy"] == pytest.approx(np.mean(each))
    assert found.standard_error["accuracy"] == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))


def test_the_model_given_is_not_trained(model, bundle, task, tmp_path):
    """Fails if folds share a module, so that the second starts where the first ended."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cross_validate(model, bundle, k=2, task=task, out=tmp_path / "cv", **OPTIONS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nothing_is_chosen_by_the_rows_that_judge(model, bundle, task, tmp_path):
    """Fails if the best epoch of a fold is picked on the fold: at a rate that ruins it the last is no better."""
    ruin = {**OPTIONS, "epochs": 4, "lr": 30.0, "optimizer": "sgd", "schedule": "constant"}
    last = cross_validate(model, bundle, k=2, task=task, out=tmp_path / "last", **ruin)
    best = cross_validate(model, bundle, k=2, task=task, out=tmp_path / "best", selection="best", **ruin)
    assert "accuracy" not in last.runs[0].history[0]  # no validation part
    histories = [[record["accuracy"] for record in run.history] for run in best.runs]
    assert [values["accuracy"] for values in best.folds] == pytest.approx([max(history) for history in histories])
    assert [values["accuracy"] for values in last.folds] == pytest.approx([history[-1] for history in histories])
    with pytest.raises(ValueError, match="selection='best'"):
        cross_validate(model, bundle, task=task, patience=2, **OPTIONS)


def test_numbers_of_a_table_keep_their_unit(table, tmp_path):
    found = cross_validate("table_mlp", table, k=3, out=tmp_path / "cv", **{**OPTIONS, "epochs": 20})
    answers, _ = found.out_of_fold()
    targets = folds(table, 3).targets()
    assert found.pooled["rmse"] == pytest.approx(float((answers[:, 0] - targets).square().mean().sqrt()), rel=1e-5)
    assert 90 < float(answers.mean()) < 110
    header, first = (tmp_path / "cv" / "out_of_fold.csv").read_text().splitlines()[:2]
    assert header == "row,fold,target,prediction"
    assert float(first.split(",")[2]) == pytest.approx(float(targets[0]))


class Stop(Callback):
    """Ends the process's training in the given fold as Ctrl-C does, between two epochs."""

    def __init__(self, fold: int) -> None:
        self.fold = fold

    def on_log(self, trainer, record):
        if record["event"] == "epoch" and record["epoch"] == 1 and trainer.directory.name == str(self.fold):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_same_call_goes_on(model, bundle, task, tmp_path, monkeypatch):
    """Fails if a finished fold is trained again, a stopped one begins anew, or the result is another."""
    whole = cross_validate(model, bundle, k=3, task=task, out=tmp_path / "whole", **OPTIONS)
    stopping = {**OPTIONS, "callbacks": [Stop(1)]}
    with pytest.raises(KeyboardInterrupt):
        cross_validate(model, bundle, k=3, task=task, out=tmp_path / "cv", **stopping)
    first = (tmp_path / "cv" / "folds" / "0" / "model.safetensors").stat().st_mtime_ns
    started = []
    original = zoo.training.Trainer.fit
    monkeypatch.setattr(
        zoo.training.Trainer, "fit",
        lambda self, **given: started.append(given.get("resume_from")) or original(self, **given),
    )  # fmt: skip
    again = cross_validate(model, bundle, k=3, task=task, out=tmp_path / "cv", **{**OPTIONS, "callbacks": [Stop(9)]})
    assert [path is not None for path in started] == [True, False]
    assert (tmp_path / "cv" / "folds" / "0" / "model.safetensors").stat().st_mtime_ns == first
    torch.testing.assert_close(again.out_of_fold()[0], whole.out_of_fold()[0], rtol=0, atol=0)
    assert again.folds == whole.folds


def test_another_call_does_not_go_on(model, bundle, task, tmp_path, make_model):
    """Fails if folds of different options, data or weights come together in one directory."""
    out = tmp_path / "cv"
    cross_validate(model, bundle, k=2, task=task, out=out, **{**OPTIONS, "epochs": 1})
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="k was 2 and is now 3"):
        cross_validate(model, bundle, k=3, task=task, out=out, **{**OPTIONS, "epochs": 1})
    with pytest.raises(RunError, match=r"options.epochs was 1 and is now 2"):
        cross_validate(model, bundle, k=2, task=task, out=out, **OPTIONS)
    with pytest.raises(RunError, match=r"model\.weights was"):
        cross_validate(make_model(seed=1), bundle, k=2, task=task, out=out, **{**OPTIONS, "epochs": 1})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not an empty directory"):
        cross_validate(model, bundle, k=2, task=task, out=tmp_path / "other", **OPTIONS)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_directory_in_use_is_refused(model, bundle, task, tmp_path):
    from filelock import FileLock

    out = tmp_path / "cv"
    cross_validate(model, bundle, k=2, task=task, out=out, **{**OPTIONS, "epochs": 1})
    with FileLock(out / ".lock"), pytest.raises(RunError, match="in use by another process"):
        cross_validate(model, bundle, k=2, task=task, out=out, **{**OPTIONS, "epochs": 1})


def test_misspelt_options_and_wrong_tasks(model, bundle, task, tmp_path):
    with pytest.raises(UnknownArgumentError, match="epochs"):
        cross_validate(model, bundle, k=2, task=task, out=tmp_path / "a", epoch=3)
    with pytest.raises(UnknownArgumentError, match="stages"):
        cross_validate(model, bundle, task=task, out=tmp_path / "a", stages=())
    assert not (tmp_path / "a").exists()


def test_acting_is_refused():
    pytest.importorskip("gymnasium")
    with pytest.raises(DataError, match="makes its own by acting"):
        cross_validate("dqn", "CartPole-v1", k=2)


def test_summary_by_hand():
    found = summary([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}])
    assert found["mean"] == {"a": 3.0}
    assert found["standard_error"]["a"] == pytest.approx(math.sqrt(7 / 3))  # variance (4 + 1 + 9) / 2 = 7
    undefined = summary([{"a": 1.0}, {"a": math.nan}, {"b": 1.0}])
    assert math.isnan(undefined["mean"]["a"])
    assert math.isnan(undefined["standard_error"]["b"])
    assert math.isnan(summary([{"a": 1.0}])["standard_error"]["a"])


SCRIPT = """
import sys, time
import torch
torch.set_num_threads(1)
from ensemble_cases import QUIET, classes_bundle, new_model
from vision.classification.task import ImageClassification
from zoo.ensembles import cross_validate
from zoo.training import Callback

class Tell(Callback):
    def on_step_end(self, trainer):
        print(trainer.directory.name, trainer.position.step, flush=True)
        time.sleep(0.02)

bundle = classes_bundle()
cross_validate(
    new_model(), bundle, k=3, task=ImageClassification.from_bundle(bundle), out=sys.argv[1], epochs=4, lr=0.05,
    batch_size=16, checkpoint_every_steps=1, callbacks=[Tell()], **QUIET,
)
"""


class Tell(Callback):
    """Does nothing; the call is the same only with a callback of this name."""


def test_a_killed_process_goes_on(model, bundle, task, tmp_path):
    """Fails if SIGKILL in the second fold loses the first, or the folds are other ones after it."""
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[2])])}
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "cv")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "1 5":
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "cv" / "results.json").exists()
    options = {**OPTIONS, "epochs": 4, "checkpoint_every_steps": 1, "callbacks": [Tell()]}
    again, whole = (
        cross_validate(model, bundle, k=3, task=task, out=tmp_path / name, **options) for name in ("cv", "whole")
    )
    assert torch.equal(again.out_of_fold()[0], whole.out_of_fold()[0])
    assert again.folds == whole.folds
    for index in range(3):
        ours, theirs = (
            load_file(run.directory / "model.safetensors") for run in (again.runs[index], whole.runs[index])
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_preprocessing_is_fitted_to_each_fold_and_applied(model, bundle, task, tmp_path, make_model):
    """Fails if held-out rows reach a model raw, or one fold's scale prepares the rows of another."""
    options = {**OPTIONS, "preprocess": "standardise"}
    found = cross_validate(model, bundle, k=2, task=task, out=tmp_path / "cv", **options)
    cuts = folds(bundle, 2)
    scales = []
    for index, rows in enumerate(cuts.rows):
        run = load_run(tmp_path / "cv" / "folds" / str(index), model=make_model(), data=cuts[index])
        assert run.fitted is not None
        scales.append(run.fitted(torch.ones(1, 5)))
        said = run.predict(torch.stack([cuts.pool[int(row)][0] for row in rows]))
        best = found.out_of_fold()[0][rows].max(1).values
        assert [row["probability"] for row in said] == pytest.approx(best.tolist(), abs=1e-6)
    assert not torch.allclose(*scales)
    ensemble = Ensemble.of(found.runs, out=tmp_path / "e", data=bundle, model=make_model())
    inputs, targets = bundle.test.tensors
    labels = [int(row["label"]) for row in ensemble.predict(inputs)]
    right = (torch.tensor(labels) == targets).float().mean()
    assert ensemble.evaluate()["accuracy"] == pytest.approx(float(right))


def test_a_fold_of_a_file_is_a_run_like_any_other(tmp_path):
    """Fails if a fold cannot be read again from disk, or its held-out rows then train it."""
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["x,y,z", *(f"{i},{i % 5},{'ab'[i % 7 > 3]}" for i in range(40))]))
    found = cross_validate("table_mlp", path, k=2, out=tmp_path / "cv", data_options={"target": "z"}, **OPTIONS)
    for index, run in enumerate(found.runs):
        assert run.evaluate(split="test") == found.folds[index]
        assert set(run.bundle.parts) == {"train", "test"}


def test_results_are_read_again(model, bundle, task, tmp_path):
    made = cross_validate(model, bundle, k=2, task=task, out=tmp_path / "cv", **{**OPTIONS, "epochs": 1})
    again = CrossValidation(tmp_path / "cv")
    assert again.folds == made.folds
    assert torch.equal(again.out_of_fold()[0], made.out_of_fold()[0])
    shutil.rmtree(tmp_path / "cv")
    with pytest.raises(RunError, match="no cross_validation"):
        CrossValidation(tmp_path / "cv")
