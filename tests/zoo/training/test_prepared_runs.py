"""Runs whose rows are prepared by what was fitted to the training rows: kept, and applied wherever the run predicts."""

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.data import Bundle, fit_preprocessing
from zoo.training import Run, load_run

NAMES = [("zca_whitening", {"eps": 0.01}), ("standardise", {})]


def make_bundle(*, seed=0):
    """Rows far from 0 and on very different scales, which a small net does not learn from as they are."""
    generator = np.random.default_rng(seed)
    targets = np.arange(120) % 3
    inputs = generator.normal(size=(120, 4)).astype("float32")
    inputs[np.arange(120), targets] += 4
    return Bundle.from_arrays(inputs * [1e3, 1, 1e-3, 30] + 500, targets, task="vision/classification")


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def train(out, data, **options):
    return zoo.train(
        make_model(), data, task="vision/classification", out=out, epochs=8, lr=0.03, batch_size=16, accelerator="cpu",
        progress=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "options"), NAMES)
def test_predictions_are_prepared_as_training_was(tmp_path, name, options):
    """Fails if predicting, judging or reading the run again leaves the preparation out, or makes it twice."""
    bundle = make_bundle()
    run = train(tmp_path / "run", bundle, preprocess=name, preprocess_options=options)
    assert run.results["validation"]["accuracy"] > 0.9
    again = load_run(tmp_path / "run", model=make_model(), data=make_bundle())
    assert again.bundle.fitted.name == name
    assert again.evaluate(split="validation") == run.results["validation"]
    rows, targets = bundle.validation.tensors
    for given in (rows, rows.numpy(), again.read_inputs(rows)):
        labels = [prediction["label"] for prediction in again.predict(given)]
        right = np.mean([label == bundle.classes[code] for label, code in zip(labels, targets, strict=True)])
        assert right == pytest.approx(run.results["validation"]["accuracy"])
    other = make_bundle(seed=1)
    assert again.evaluate(other, split="train")["accuracy"] > 0.9
    assert again.evaluate(fit_preprocessing(other, "standardise"), split="train")["loss"] >= 0


def test_the_numbers_of_the_run_are_used_not_fitted_anew(tmp_path):
    run = train(tmp_path / "run", make_bundle(), preprocess="standardise")
    held = load_run(run.directory, model=make_model(), data=make_bundle(seed=1)).bundle.fitted
    assert torch.equal(held.tensors["shift"], run.fitted.tensors["shift"])


def test_images_from_a_folder(tmp_path, photos, write_photos):
    run = zoo.train(
        "resnet20_cifar", photos, preprocess="zca_whitening", balance="oversample", epochs=1, out=tmp_path / "run",
        max_steps=2, progress=False,
    )  # fmt: skip
    again = Run(run.directory)
    assert [change["change"] for change in again.config["data"]["changes"]] == ["preprocessing", "balance"]
    inputs = again.read_inputs(sorted(photos.glob("red/*"))[0]).rows
    assert torch.equal(inputs, again.fitted(run.task.read_inputs([sorted(photos.glob("red/*"))[0]]).rows))
    assert again.evaluate(split="validation") == run.results["validation"]
    more = write_photos(tmp_path / "more", ("blue", "green", "red"), number=3, seed=5)
    assert 0 <= again.evaluate(more)["accuracy"] <= 1


def test_what_a_run_cannot_prepare_is_refused(tmp_path):
    run = train(tmp_path / "run", make_bundle(), preprocess="min_max")
    with pytest.raises(TypeError, match="min_max prepares a tensor or an array"):
        run.predict({"x": 1})
    with pytest.raises(ValueError, match="name it by preprocess="):
        train(tmp_path / "other", make_bundle(), preprocess_options={"low": 0.0})
