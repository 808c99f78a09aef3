"""Runs: opened again, judged on other data, damaged, interrupted, resumed."""

import json
import logging
import os
import shutil
import signal

import pytest
import torch
from torch import nn

import zoo
from zoo.data import Bundle, load_data
from zoo.errors import DataError, RunError
from zoo.training import Callback, Run, load_run

QUIET = {"progress": False, "accelerator": "cpu"}


def train(photos, cifar_weights, out, **options) -> Run:
    """A few steps of a small model, with its test data."""
    options = {"strategy": "full", "epochs": 2, "lr": 0.01, "batch_size": 16, **options}
    reading = {"size": 32, "augment": "none", "test": 0.2}
    return zoo.fine_tune(
        "resnet20_cifar", photos, weights=cifar_weights, out=out, data_options=reading, **QUIET, **options
    )


@pytest.fixture(scope="module")
def trained(photos, cifar_weights, tmp_path_factory) -> Run:
    return train(photos, cifar_weights, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copied(trained, tmp_path) -> Run:
    """The trained run in a directory that may be damaged."""
    shutil.copytree(trained.directory, tmp_path / "copy")
    return load_run(tmp_path / "copy")


def test_all_files_are_written(trained):
    names = {path.name for path in trained.directory.iterdir()}
    assert {
        "config.json", "metrics.jsonl", "epochs.csv", "model.safetensors", "checkpoints", "results.json", "curves.png",
        "confusion_validation.png", "confusion_test.png",
    } == names  # fmt: skip
    assert set(trained.results) == {"validation", "test"}
    assert not list(trained.directory.rglob("*.tmp"))


def test_a_reopened_run_is_the_same(trained, photos):
    """Fails if the model, its weights, the preprocessing or the split are not rebuilt."""
    again = load_run(trained.directory)
    assert again.evaluate(split="validation") == trained.results["validation"]
    assert again.evaluate() == trained.results["test"]
    assert not again.model.training
    files = [photos / "red" / "0.png", photos / "blue" / "3.jpg"]
    assert again.predict(str(files[1])) == trained.predict(files[1])
    assert again.predict(files) == trained.predict([str(path) for path in files])
    assert [found["label"] for found in again.predict(files)] == [again.predict(path)[0]["label"] for path in files]
    ours, theirs = (run.explain(files[0]) for run in (again, trained))
    torch.testing.assert_close(ours.heat, theirs.heat)
    assert [record["step"] for record in again.history] == [record["step"] for record in trained.history]
    assert again.recipe == trained.recipe


@pytest.mark.parametrize("inputs", ["missing.png", "folder", []])
def test_predicting_for_nothing_says_so(trained, tmp_path, inputs):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"missing.png|folder|empty"):
        trained.predict(str(tmp_path / inputs) if inputs else inputs)


def test_other_data_are_judged_whole(trained, tmp_path, write_photos):
    """Fails if a part of the other folder is left out, or its classes are numbered anew: there is no blue."""
    other = write_photos(tmp_path / "other", ("green", "red"), number=6, seed=5)
    before = (trained.directory / "results.json").read_bytes()
    values = trained.evaluate(other)
    labels = [trained.predict(path)[0]["label"] == path.parent.name for path in other.rglob("*.*")]
    assert len(labels) == 12
    assert values["accuracy"] == pytest.approx(sum(labels) / 12)
    assert trained.evaluate(str(other), split="train") == values
    reading = {"classes": trained.task.classes, "preprocessing": trained.task.preprocessing, "validation": 0.0}
    assert trained.evaluate(load_data(other, task="vision/classification", **reading)) == values
    assert (trained.directory / "results.json").read_bytes() == before
    with pytest.raises(DataError, match=r"'test' part.*train"):
        trained.evaluate(other, split="test")


def test_a_bundle_read_otherwise_is_warned_of(trained, photos, caplog):
    """Fails if pictures of another normalisation are judged without a word."""
    bundle = load_data(photos, task="vision/classification", size=48)
    with caplog.at_level(logging.WARNING):
        trained.evaluate(bundle)
    assert "(48, 48)" in caplog.text


def test_other_data_with_a_test_part_are_judged_on_it(trained, tmp_path, write_photos):
    write_photos(tmp_path / "train", ("blue", "green", "red"), number=2)
    write_photos(tmp_path / "test", ("blue", "green"), number=2, seed=3)
    assert trained.evaluate(tmp_path) == trained.evaluate(tmp_path, split="test")


def test_other_classes_are_refused(trained, tmp_path, write_photos):
    """Fails if outputs are compared with classes that they do not mean."""
    bundle = Bundle.from_arrays(
        torch.zeros(6, 3, 32, 32), [0, 1, 2] * 2, classes=("red", "green", "blue"), task="vision/classification",
        validation=0.0,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"blue, green, red.*red, green, blue"):
        trained.evaluate(bundle)
    write_photos(tmp_path / "other", ("green", "red"), number=2)
    (tmp_path / "other" / "red").rename(tmp_path / "other" / "rde")
    with pytest.raises(DataError, match=r"'rde'.*'red'"):
        trained.evaluate(tmp_path / "other")


def test_a_part_that_is_not_there(copied):
    with pytest.raises(DataError, match=r"'tset' part.*train, validation, test"):
        copied.evaluate(split="tset")
    assert set(copied.results) == {"validation", "test"}
    assert copied.evaluate(split="train") == copied.results["train"]


def damage(directory, part):
    config = directory / "config.json"
    if part == "directory":
        shutil.rmtree(directory)
    elif part == "config":
        config.unlink()
    elif part == "cut":
        config.write_bytes(config.read_bytes()[:200])
    elif part == "list":
        config.write_text("[]")
    elif part == "parts":
        config.write_text('{"format": 1, "model": {}}')
    elif part == "format":
        config.write_text(json.dumps({**json.loads(config.read_text()), "format": 99}))
    elif part == "weights":
        (directory / "model.safetensors").unlink()
    elif part == "torn":
        path = directory / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    elif part == "other":
        config.write_text(config.read_text().replace('"num_classes": 3', '"num_classes": 4'))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("directory", "not a run directory"),
        ("config", "not a run directory"),
        ("cut", "damaged.*[Rr]estore"),
        ("list", "damaged.*[Rr]estore"),
        ("parts", "lacks task, data, recipe.*[Rr]estore"),
        ("format", "format 99.*reads 1.*version of the zoo"),
        ("weights", "has no model.safetensors.*zoo resume"),
        ("torn", "damaged.*[Rr]estore"),
        ("other", "not of this CifarResNet"),
    ],
)
def test_damage_is_named_with_a_remedy(copied, part, message):
    """Fails if the error of a reader gets through, or an untrained model is used."""
    damage(copied.directory, part)
    with pytest.raises(RunError, match=message):
        load_run(copied.directory).predict(torch.zeros(1, 3, 32, 32))


def test_changed_data_are_noticed(trained, photos, tmp_path):
    """Fails if a run goes on with other pictures, or a missing folder is not named."""
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(trained.directory, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace(f'"{photos}"', f'"{tmp_path / "photos"}"'))
    assert load_run(tmp_path / "run").evaluate() == trained.results["test"]
    (tmp_path / "photos" / "red" / "0.png").unlink()
    with pytest.raises(DataError, match=r"changed since the run began.*start a new one"):
        load_run(tmp_path / "run").evaluate()
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(DataError, match=r"nothing at .*photos"):
        load_run(tmp_path / "run").evaluate()
    assert load_run(tmp_path / "run").predict(photos / "red" / "0.png")  # needs no data


def test_a_module_of_ones_own_must_be_given_again(model, task, bundle, tmp_path):
    """Fails if the module is used without its weights, or the data in memory are not asked for."""
    run = zoo.train(model, bundle, task=task, epochs=2, out=tmp_path / "run", **QUIET)
    with pytest.raises(RunError, match="model=module"):
        load_run(tmp_path / "run").predict(bundle.train.tensors[0])
    fresh = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    again = load_run(tmp_path / "run", model=fresh)
    assert again.predict(bundle.train.tensors[0]) == run.predict(bundle.train.tensors[0])
    with pytest.raises(RunError, match="data=bundle"):
        again.evaluate()
    assert load_run(tmp_path / "run", model=fresh, data=bundle).evaluate() == run.results["validation"]
    with pytest.raises(DataError, match="pass a Bundle"):
        again.evaluate(tmp_path)
    with pytest.raises(RunError, match="not of this Sequential"):
        load_run(tmp_path / "run", model=nn.Sequential(nn.Linear(6, 3)))
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"has no model.safetensors"):
        load_run(tmp_path / "run", model=fresh).predict(bundle.train.tensors[0])


def test_runs_are_numbered_and_never_overwritten(model, task, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [zoo.train(model, bundle, task=task, epochs=1, max_steps=1, **QUIET) for _ in range(2)]
    assert [str(run.directory) for run in runs] == ["runs/Sequential-arrays-1", "runs/Sequential-arrays-2"]
    shutil.rmtree(runs[0].directory)
    third = zoo.train(model, bundle, task=task, epochs=1, max_steps=1, **QUIET)
    assert str(third.directory) == "runs/Sequential-arrays-1"
    with pytest.raises(RunError, match=r"Runs here: runs/Sequential-arrays-1, runs/Sequential-arrays-2"):
        load_run("elsewhere")


def test_names_of_other_libraries_make_plain_directories(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = zoo.train("timm:test_resnet", photos, epochs=1, max_steps=1, data_options={"size": 32}, batch_size=4, **QUIET)
    assert run.directory.parent.name == "runs"
    assert run.directory.name == f"timm-test_resnet-{photos.name}-1"


def contents(directory) -> dict:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def test_resuming_a_finished_run_changes_nothing(copied):
    """Fails if a file is written, even with the same content, or an epoch is trained."""
    before = contents(copied.directory)
    run = load_run(copied.directory).resume(progress=False)
    assert contents(copied.directory) == before
    assert len(run.history) == 2


def test_a_run_killed_before_its_results_is_finished(copied):
    """Fails if a run that trained to its end but has no results is taken for a finished one."""
    expected = copied.results
    for name in ("results.json", "curves.png", "confusion_test.png"):
        (copied.directory / name).unlink()
    run = load_run(copied.directory).resume(progress=False)
    assert run.results == expected
    assert {"curves.png", "confusion_test.png"} < {path.name for path in copied.directory.iterdir()}
    assert len(run.history) == 2


def test_a_record_that_a_kill_cut_short_is_left_out(copied):
    path = copied.directory / "metrics.jsonl"
    path.write_text(path.read_text() + '{"event": "epo')
    assert len(load_run(copied.directory).history) == 2


class Interrupt(Callback):
    """Sends Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def weights_of(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def test_an_interrupted_run_goes_on(trained, photos, cifar_weights, tmp_path):
    """Fails if Ctrl-C loses the run, does not say how to go on, or the resumed run is another."""
    with pytest.raises(KeyboardInterrupt, match=f"zoo resume {tmp_path / 'run'}"):
        train(photos, cifar_weights, tmp_path / "run", callbacks=[Interrupt(4)])
    assert not (tmp_path / "run" / "results.json").exists()
    run = load_run(tmp_path / "run").resume(progress=False)
    assert run.results == trained.results
    whole = weights_of(trained)
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(run).items())


class Crash(Callback):
    """Fails like a power cut, before there is a checkpoint."""

    def on_step_end(self, trainer):
        raise MemoryError("crash")


def test_a_run_without_a_checkpoint_starts_from_its_trained_weights(trained, photos, cifar_weights, tmp_path):
    """Fails if the resumed run starts from random weights: fine-tuning would silently be training from scratch."""
    with pytest.raises(MemoryError):
        train(photos, cifar_weights, tmp_path / "run", callbacks=[Crash()])
    with pytest.raises(RunError, match="first epoch"):
        load_run(tmp_path / "run").predict(torch.zeros(1, 3, 32, 32))
    run = load_run(tmp_path / "run").resume(progress=False)
    assert run.results == trained.results
    whole = weights_of(trained)
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(run).items())


def test_options_that_json_changes_are_understood_again(photos, tmp_path):
    """Fails if a builder takes a tuple and not the list that the file gives back."""
    run = zoo.train(
        "cnn_linear", photos, epochs=1, max_steps=1, out=tmp_path / "run", batch_size=4,
        model_options={"widths": (4, 8), "depths": (1, 1)}, data_options={"size": 16}, **QUIET,
    )  # fmt: skip
    image = photos / "red" / "0.png"
    assert load_run(tmp_path / "run").predict(image) == run.predict(image)


def test_a_folder_of_the_name_of_a_tag_is_no_file_of_weights(tmp_path, monkeypatch):
    """Fails if whatever lies in the working directory under the name "default" becomes the weights of the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    bundle = Bundle.from_arrays(torch.randn(20, 6), torch.arange(20) % 2, task="vision/classification")
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    run = zoo.fine_tune(model, bundle, task=bundle.task, strategy="full", epochs=1, out=tmp_path / "run", **QUIET)
    assert load_run(run.directory).config["model"]["weights"] == "default"


def test_relative_weights_are_found_from_elsewhere(trained, photos, cifar_weights, tmp_path, monkeypatch):
    """Fails if a run that is resumed from another directory looks for its weights there."""
    monkeypatch.chdir(cifar_weights.parent)
    with pytest.raises(MemoryError):
        train(photos, cifar_weights.name, tmp_path / "run", callbacks=[Crash()])
    monkeypatch.chdir(tmp_path)
    assert load_run("run").resume(progress=False).results == trained.results
