"""Runs on small folders: training, reopening, predicting, explaining, other data."""

import json

import numpy as np
import pytest
from PIL import Image

import zoo
from vision.segmentation.baselines import majority, pixel_forest


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """A small U-Net, trained for a few epochs."""
    return zoo.train(
        "unet_padded", shapes, epochs=12, lr=0.01, batch_size=4, out=tmp_path_factory.mktemp("run") / "run",
        model_options={"width": 4, "depth": 3, "dropout": 0.0}, progress=False,
        data_options={"crop": 32, "augment": "light", "channels": 3, "classes": ["ground", "square"]},
    )  # fmt: skip


def test_training_learns_the_squares(run, shapes):
    """Fails if image and mask are not changed alike, or the head does not fit."""
    found = run.results["validation"]
    assert found["mean_iou"] > majority(run.bundle, "validation")["mean_iou"] + 0.2
    kept = {path.name for path in run.directory.iterdir()}
    assert {"classes_validation.png", "overlays_validation.png"} <= kept


def test_a_reopened_run_predicts_the_same(run, shapes):
    again = zoo.load_run(run.directory)
    file = shapes / "images" / "9.png"
    assert again.predict(file) == run.predict(file)
    assert run.predict(file)[0]["size"] == [44, 40]
    json.dumps(run.predict(file))
    assert again.evaluate() == pytest.approx(run.results["validation"])
    assert run.picture(file) is not None
    assert run.explain(file, target="square").heat.shape == (1, 44, 40)


def test_other_data_are_read_alike(run, shapes, tmp_path):
    """The values of the masks mean what they meant: fails if a folder without squares gets other classes."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.open(shapes / "images" / "1.png").save(tmp_path / "images" / "a.png")
    Image.fromarray(np.zeros((40, 48), dtype=np.uint8)).save(tmp_path / "masks" / "a.png")
    found = run.evaluate(tmp_path)
    assert 0 < found["pixel_accuracy"] < 1


def test_weights_of_pixels_and_tiles_in_a_run(shapes, tmp_path):
    run = zoo.train(
        "unet", shapes, epochs=1, batch_size=2, out=tmp_path / "run", progress=False,
        model_options={"width": 2, "depth": 3}, task_options={"tile": 60, "overlap": 4},
        data_options={"crop": 60, "augment": "heavy", "weight_map": True, "fold": 1, "split": "blocks"},
    )  # fmt: skip
    assert run.task.loss == "cross_entropy"  # the entry's
    assert run.bundle.input_shape == (1, 60, 60)
    assert len(run.bundle.train[0]) == 3
    assert 0 <= run.results["validation"]["mean_iou"] <= 1
    assert zoo.load_run(run.directory).task.tile == 60


def test_fine_tuning_starts_from_the_encoders_weights(shapes, tmp_path):
    from safetensors.torch import save_file

    trained = zoo.create_model("resnet18")
    save_file(trained.state_dict(), tmp_path / "resnet.safetensors")
    run = zoo.fine_tune(
        "unet_resnet18", shapes, epochs=1, strategy="head", batch_size=4, out=tmp_path / "run", progress=False,
        model_options={"encoder_weights": str(tmp_path / "resnet.safetensors")}, data_options={"crop": 32},
    )  # fmt: skip
    frozen = run.model.encoder.conv1.weight.detach()
    assert (frozen == trained.conv1.weight).all()
    zoo.load_run(run.directory).model  # noqa: B018  (rebuilt without the file of the encoder)


def test_a_forest_beats_the_majority(run):
    forest, commonest = (found(run.bundle, "validation") for found in (pixel_forest, majority))
    assert set(forest) == set(commonest) <= set(run.results["validation"])
    assert forest["mean_iou"] > commonest["mean_iou"]
