"""Test-time augmentation: means over views by hand, and runs that are judged and predict by them."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import zoo
from audio.classification.task import AudioClassification
from audio.data.clips import ClipBatch
from nlp.classification.task import TextClassification
from vision.classification.task import ImageClassification
from vision.detection.task import Detection
from vision.segmentation.task import Segmentation
from zoo.cli import app
from zoo.data import Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.training import load_run
from zoo.training.classification import logits_of
from zoo.training.test_time import AveragedViews, View, with_views

CLASSES = ("cat", "dog", "owl")
QUIET = {"progress": False, "accelerator": "cpu"}


def times(number):
    return View(lambda inputs: number * inputs)


def plain_logits(model, inputs):
    return logits_of(model(inputs))


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_mean_of_two_views_by_hand(average):
    """Fails if the two averages are swapped: the logits (1, 0) and (3, 0), of the odds e and e^3."""
    model = AveragedViews(nn.Identity(), [times(1), times(3)], logits=plain_logits, average=average)
    probs = model(torch.tensor([[1.0, 0.0]])).softmax(1)[0]
    if average == "logits":
        expected = math.exp(2) / (1 + math.exp(2))
    else:
        expected = (math.e / (1 + math.e) + math.exp(3) / (1 + math.exp(3))) / 2
    assert float(probs[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_mean_is_that_of_numpy(average):
    views = [times(0.5), times(-1), times(2), times(1)]
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = AveragedViews(nn.Identity(), views, logits=plain_logits, average=average)(logits)
    assert found.dtype == torch.float64
    each = np.stack([factor * logits.numpy() for factor in (0.5, -1, 2, 1)])
    if average == "logits":
        np.testing.assert_allclose(found.numpy(), each.mean(0))
    else:
        probs = np.exp(each) / np.exp(each).sum(2, keepdims=True)
        np.testing.assert_allclose(found.softmax(1).numpy(), probs.mean(0))


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_equal_views_change_nothing_and_extremes_stay_finite(average):
    """Fails if probabilities are summed as such: of logits 1e3 apart those of all classes but one vanish."""
    for logits in (torch.tensor([[1e3, -1e3, 0.0]]), torch.tensor([[1e3, 1e3 + 1, 1e3]]), torch.zeros(0, 3)):
        model = AveragedViews(nn.Identity(), [times(1)] * 3, logits=plain_logits, average=average)
        found = model(logits)
        assert found.isfinite().all()
        torch.testing.assert_close(found.log_softmax(1), logits.log_softmax(1))
    half = torch.tensor([[1.0, 2.0, 3.0]]).bfloat16()
    assert model(half).dtype == torch.float32


def test_views_are_borrowed_from_the_model():
    """Fails if wrapping changes a mode, copies the weights, or hides where they lie."""
    inner = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).eval()
    inner[1].train()
    model = AveragedViews(inner, [times(1), times(2)], logits=plain_logits)
    assert (model.training, inner.training, inner[1].training) == (False, False, True)
    assert next(model.parameters()) is next(inner.parameters())
    with pytest.raises(ValueError, match="no views"):
        AveragedViews(inner, [], logits=plain_logits)


class Plain(ImageClassification):
    """Images that are looked at as they are."""

    views = {"once": lambda: (View(lambda images: images),)}  # noqa: RUF012


def make_bundle():
    generator = np.random.default_rng(0)
    targets = np.arange(90) % 3
    inputs = generator.normal(size=(90, 1, 8, 8)).astype("float32")
    inputs[np.arange(90), 0, :, targets] += 1
    return Bundle.from_arrays(inputs, targets, task="vision/classification", classes=CLASSES, validation=0.3)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return zoo.train(make_model(), make_bundle(), task=ImageClassification.from_bundle(make_bundle()), epochs=2,
                     out=tmp_path_factory.mktemp("runs") / "run", **QUIET)  # fmt: skip


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_one_unchanged_view_equals_none_exactly(run, average):
    """Fails if the wrapping itself changes a bit of what is judged or predicted."""
    task = Plain(**run.task.schema())
    viewed = load_run(run.directory, model=run.model, data=run.bundle, task=task)
    assert viewed.evaluate(tta="once", average=average) == run.evaluate()
    images = run.bundle.validation.tensors[0]
    assert viewed.predict(images, tta="once", average=average) == run.predict(images)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_run_judges_and_predicts_by_the_mean(run, average):
    """Fails if a view is lost on the way, or predicting averages otherwise than judging."""
    images, targets = run.bundle.validation.tensors
    with torch.no_grad():
        each = torch.stack([run.model(images), run.model(images.flip(-1))])
    probs = each.softmax(2).mean(0) if average == "probabilities" else each.mean(0).softmax(1)
    found = run.predict(images, tta="flip", average=average)
    assert [row["label"] for row in found] == [CLASSES[code] for code in probs.argmax(1)]
    torch.testing.assert_close(torch.tensor([row["probability"] for row in found]), probs.max(1).values)
    values = run.evaluate(tta="flip", average=average)
    assert values["accuracy"] == pytest.approx(float((probs.argmax(1) == targets).double().mean()))
    nats = -probs[torch.arange(len(targets)), targets].log().double().mean()
    assert values["loss"] == pytest.approx(float(nats), rel=1e-5)
    assert not run.model.training


def test_results_say_that_views_were_averaged(run):
    """Fails if figures with views pass for those without, or overwrite them."""
    plain = run.evaluate()
    picture = (run.directory / "confusion_validation.png").read_bytes()
    viewed = run.evaluate(tta="ten_crop", average="logits")
    held = json.loads((run.directory / "results.json").read_text())
    assert held["validation"] == plain
    assert held["validation tta=ten_crop average=logits"] == viewed != plain
    assert (run.directory / "confusion_validation.png").read_bytes() == picture
    assert (run.directory / "confusion_validation_tta=ten_crop_average=logits.png").is_file()


def test_wrong_names_are_refused(run):
    with pytest.raises(UnknownNameError, match="flip"):
        run.evaluate(tta="flp")
    with pytest.raises(UnknownNameError, match="logits"):
        run.predict(torch.zeros(1, 1, 8, 8), tta="flip", average="logit")
    with pytest.raises(UnknownNameError, match="logits"):
        run.evaluate(average="mean")
    with pytest.raises(ValueError, match="choose tta"):
        run.evaluate(average="logits")
    for kind in (TextClassification, Detection):
        task = object.__new__(kind)
        with pytest.raises(ValueError, match=f"The task {kind.name} has no views"):
            with_views(task, nn.Identity(), tta="flip")


def test_rows_that_are_no_images_are_refused():
    """Fails if columns of a table were mirrored."""
    task = ImageClassification(classes=CLASSES)
    model = with_views(task, nn.Linear(6, 3), tta="flip")
    with pytest.raises(DataError, match=r"float images \[B, C, H, W\], got torch.float32 \[2, 6\]"):
        task.evaluate(model, (torch.zeros(2, 6), torch.zeros(2, dtype=torch.int64)))


def test_commands_take_views(tmp_path, write_photos):
    """Fails if a flag does not reach the run."""
    photos = write_photos(tmp_path / "photos", ("blue", "red"), number=6)
    run = zoo.train("lenet5", photos, epochs=1, out=tmp_path / "run",
                    data_options={"size": 32, "augment": "none"}, **QUIET)  # fmt: skip
    runner = CliRunner()
    done = runner.invoke(app, ["evaluate", str(run.directory), "--tta", "five_crop", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert found == pytest.approx(load_run(run.directory).evaluate(tta="five_crop"))
    file = photos / "red" / "1.jpg"
    command = ["predict", str(run.directory), str(file), "--tta", "flip", "--average", "logits", "--json"]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    (expected,) = load_run(run.directory).predict(file, tta="flip", average="logits")
    assert row["probability"] == expected["probability"]
    assert expected["probability"] != load_run(run.directory).predict(file)[0]["probability"]
    refused = runner.invoke(app, ["predict", str(run.directory), str(file), "--tta", "shifts"])
    assert refused.exit_code == 2
    assert "flip" in refused.output


# -- Other tasks with views


def test_clips_are_heard_at_three_places():
    """Fails if the wrapped model gets another batch than a model of clips takes."""

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, clips):
            assert isinstance(clips, ClipBatch)
            return self.scale * clips.waveforms[:, :3]

    task, model = AudioClassification(classes=CLASSES), First()
    waveform = torch.arange(20.0) / 20
    found = task.predict(with_views(task, model, tta="shifts", average="logits"), waveform)
    heard = torch.stack([torch.arange(3.0), torch.tensor([2.0, 3.0, 4.0]), torch.tensor([18.0, 19.0, 0.0])]) / 20
    expected = heard.mean(0).softmax(0)
    assert found[0]["probability"] == pytest.approx(float(expected.max()), abs=1e-6)


class Columnwise(nn.Module):
    """Logits that depend on a pixel's value and on its column, which mirroring changes."""

    def __init__(self, margin=0):
        super().__init__()
        self.margin = margin
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        value = images[:, 0] + torch.linspace(0, 1, images.shape[-1])
        logits = self.scale * torch.stack([value, torch.zeros_like(value)], 1)
        m = self.margin
        return logits[..., m : logits.shape[-2] - m, m : logits.shape[-1] - m]


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("tile", [None, 8])
def test_masks_of_mirrored_images_are_mirrored_back(margin, tile):
    """Fails if answers for a mirror image are added in its places, or the network's margin is forgotten."""
    images = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    task = Segmentation(classes=("ground", "thing"), tile=tile, overlap=1 if tile else None)
    batch, model = (images, torch.zeros(2, 12, 12, dtype=torch.int64)), Columnwise(margin)
    plain = task.evaluate(model, batch)[0].logits.softmax(1)
    other = task.evaluate(model, (images.flip(-1), batch[1]))[0].logits.softmax(1).flip(-1)
    viewed = task.evaluate(with_views(task, model, tta="flip"), batch)[0].logits.softmax(1)
    assert viewed.shape == (2, 2, 12, 12)
    if tile is None:
        torch.testing.assert_close(viewed, (plain + other) / 2)
    else:  # each tile is mirrored by itself, so that its columns count from its own ends
        assert (viewed - plain).abs().max() < 0.3
    even = nn.Conv2d(1, 2, 1)
    torch.testing.assert_close(
        task.evaluate(with_views(task, even, tta="flips"), batch)[0].logits.softmax(1),
        task.evaluate(even, batch)[0].logits.softmax(1),
    )
