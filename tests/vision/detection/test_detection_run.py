"""From a folder to a run and back: trained, judged, opened again, asked and explained."""

import json

import pytest
import torch
from torchvision.models import get_model

import zoo
import zoo.training
from zoo.errors import DataError

MODEL = "faster_rcnn_resnet50_fpn"


@pytest.fixture(scope="module")
def things(make_voc):
    return make_voc(train=6, val=2, test=2)


@pytest.fixture(scope="module")
def options(tiny):
    return {
        "epochs": 2, "lr": 2e-3, "batch_size": 3, "optimizer": "adamw", "model_options": tiny,
        "data_options": {"augment": "light"}, "progress": False,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(things, options, tmp_path_factory):
    return zoo.train(MODEL, things, out=tmp_path_factory.mktemp("runs") / "run", **options)


def test_a_run_from_a_folder(run, things, tmp_path):
    """Fails if data, task or model cannot be built again from what the run wrote."""
    assert set(run.results) == {"validation", "test"}
    assert {"map", "map50", "voc_ap50", "ap50_disc", "ap50_square"} <= set(run.results["test"])
    assert len(run.history) == 2
    assert {"train_loss", "train_loss_objectness", "map"} <= set(run.history[-1])
    for name in ("precision_recall_test.png", "examples_validation.png"):
        assert (run.directory / name).stat().st_size > 5000
    opened = zoo.load_run(run.directory)
    assert opened.task.classes == ("disc", "square")
    assert opened.evaluate(split="test") == pytest.approx(run.results["test"], nan_ok=True)
    image = next((things / "JPEGImages").glob("test_*.png"))
    opened.task.score_threshold = 0.0
    prediction = opened.predict(image)
    json.dumps(prediction)
    assert set(prediction[0]["boxes"][0]) == {"label", "score", "box"}
    opened.picture([image]).savefig(tmp_path / "boxes.png")
    opened.explain(image).save(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 5000


def test_stopped_and_resumed_is_unbroken(run, things, options, tmp_path):
    """Fails if augmentation or the sampling of anchors draws from what a checkpoint does not keep."""

    class Stop(zoo.training.Callback):
        def on_step_end(self, trainer):
            if trainer.position.step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.train(
            MODEL, things, out=tmp_path / "stopped", callbacks=[Stop()], **{**options, "checkpoint_every_steps": 1}
        )
    resumed = zoo.load_run(tmp_path / "stopped").resume(progress=False)
    for (name, one), other in zip(run.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_the_baseline_never_looks_at_an_image(run):
    """Fails if it is fitted on the part that it is judged on, or its figures have other names."""
    found = run.task.baselines()["usual boxes"](run.bundle, "test")
    assert set(found) == set(run.results["test"])
    assert 0 <= found["map"] < 0.9


def test_other_data_must_have_the_same_classes(run, make_voc):
    root = make_voc(train=2)
    for file in (root / "Annotations").glob("*.xml"):
        file.write_text(file.read_text().replace("disc", "ball"))
    with pytest.raises(DataError, match="ball"):
        run.evaluate(root)


def test_fine_tuning_of_torchvisions_detector_is_opened_again(make_voc, tmp_path):
    """Fails if the run builds norms that move, or counts the classes of a model with a background from 0."""
    name = "ssdlite320_mobilenet_v3_large"
    state = get_model(name, weights=None, weights_backbone=None).state_dict()
    file = tmp_path / get_model_file(name)
    torch.save(state, file)
    run = zoo.fine_tune(
        f"torchvision:{name}", make_voc(train=4, val=2), weights=file, epochs=1, head_epochs=1, batch_size=2,
        out=tmp_path / "run", progress=False, max_steps=2,
    )  # fmt: skip
    opened = zoo.load_run(run.directory)
    assert opened.task.first_label == 1
    for (key, one), other in zip(run.model.state_dict().items(), opened.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), key


def get_model_file(name: str) -> str:
    from torchvision.models import get_model_weights

    return get_model_weights(name).DEFAULT.url.rpartition("/")[2]
