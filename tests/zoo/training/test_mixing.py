"""Mixed rows in the training of classifiers: the loss, what is logged, runs that resume, every domain that mixes."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import zoo
from audio.classification.task import AudioClassification
from audio.data.clips import ClipBatch
from nlp.classification.task import TextClassification
from tabular.data.reader import table_bundle
from tabular.prediction.task import TablePrediction
from vision.classification.task import ImageClassification
from zoo.augmentation import make_mixing
from zoo.data import Bundle
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError
from zoo.lookup import check_arguments
from zoo.outputs import AuxiliaryLogits
from zoo.training import load_run

CLASSES = ("cat", "dog", "owl")
TARGETS = torch.tensor([0, 2, 1, 1, 0])
QUIET = {"progress": False, "accelerator": "cpu"}


def images():
    return torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def network(*, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 3))


def drawn(name, inputs, *, alpha=1.0, seed=5):
    """What a task that starts from this seed mixes."""
    torch.manual_seed(seed)
    return make_mixing(name, alpha=alpha)(inputs)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "both"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_that_of_soft_targets(name, smoothing):
    """Fails if the shares are swapped, or the partners are those of another draw than the inputs'."""
    model, inputs = network().train(), images()
    task = ImageClassification(classes=CLASSES, mixing=name, mixing_alpha=0.7, label_smoothing=smoothing)
    mixed = drawn(name, inputs, alpha=0.7)
    hard = torch.eye(3)[TARGETS]
    soft = mixed.share * hard + (1 - mixed.share) * hard[mixed.partners]
    expected = F.cross_entropy(model(mixed.inputs), soft, label_smoothing=smoothing)
    torch.manual_seed(5)
    torch.testing.assert_close(task.losses(model, (inputs, TARGETS))["loss"], expected)


def test_loss_of_two_rows_by_hand():
    """Fails if class weights count otherwise than in the plain loss: nats of both classes over the sum of weights."""
    weights, logits = [1.0, 3.0, 5.0], torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    task = ImageClassification(classes=CLASSES, class_weights=weights)
    nats, targets, partners = -logits.log_softmax(1), torch.tensor([0, 1]), torch.tensor([1, 0])
    mixed = drawn("mixup", logits)._replace(partners=partners, share=0.75)
    own = (1 * nats[0, 0] + 3 * nats[1, 1]) / 4
    other = (3 * nats[0, 1] + 1 * nats[1, 0]) / 4
    torch.testing.assert_close(task.loss(logits, targets, mixed), 0.75 * own + 0.25 * other)
    assert task.loss.weight(targets) == task.loss.weight(targets[partners]) == 4


def test_side_heads_are_judged_by_the_mixture_too():
    """Fails if an auxiliary loss is of the rows' own classes alone."""

    class Sided(nn.Module):
        def forward(self, x):
            rows = x.flatten(1)
            return AuxiliaryLogits(rows[:, :3], (rows[:, 3:6],), 0.3)

    task, inputs = ImageClassification(classes=CLASSES, mixing="mixup"), images()
    mixed = drawn("mixup", inputs)
    rows, hard = mixed.inputs.flatten(1), torch.eye(3)[TARGETS]
    soft = mixed.share * hard + (1 - mixed.share) * hard[mixed.partners]
    expected = F.cross_entropy(rows[:, :3], soft) + 0.3 * F.cross_entropy(rows[:, 3:6], soft)
    torch.manual_seed(5)
    torch.testing.assert_close(task.losses(Sided(), (inputs, TARGETS))["loss"], expected)


def test_training_alone_is_mixed_and_its_accuracy_is_not_reported():
    """Fails if judging mixes, draws from the generator, or a mixture's accuracy passes for a clean one."""
    model, batch = network(), (images(), TARGETS)
    task, plain = ImageClassification(classes=CLASSES, mixing="both"), ImageClassification(classes=CLASSES)
    assert set(task.losses(model.train(), batch)) == {"loss"}
    model.eval()
    before = torch.get_rng_state()
    clean, other = task.losses(model, batch), plain.losses(model, batch)
    assert clean.keys() == other.keys() == {"loss", "accuracy"}
    assert torch.equal(clean["loss"], other["loss"])
    assert torch.equal(task.evaluate(model, batch)[0], plain.evaluate(model, batch)[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_mixing_nothing_changes():
    """Fails if a task that does not mix draws numbers, or its config gains fields."""
    task, model = ImageClassification(classes=CLASSES), network().train()
    before = torch.get_rng_state()
    assert set(task.losses(model, (images(), TARGETS))) == {"loss", "accuracy"}
    assert torch.equal(torch.get_rng_state(), before)
    assert "mixing" not in task.schema()


def make_bundle():
    generator = np.random.default_rng(0)
    targets = np.arange(83) % 3
    inputs = generator.normal(size=(83, 1, 6, 6)).astype("float32")
    inputs[np.arange(83), 0, targets] += 2
    return Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.2)


def test_run_keeps_its_mixing_and_goes_on_with_its_draws(tmp_path):
    """Fails if a run that was stopped mixes otherwise than one that went through, or forgets how it mixed."""
    bundle = make_bundle()
    options = {"task": "vision/classification", "task_options": {"mixing": "both", "mixing_alpha": 0.5},
               "lr": 1e-2, "batch_size": 8, "accumulate": 2, "seed": 4, "epochs": 3, **QUIET}  # fmt: skip

    def model():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 3))

    whole = zoo.train(model(), bundle, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        zoo.train(model(), bundle, out=tmp_path / "cut", callbacks=[StopAt(7)], **options)
    resumed = load_run(tmp_path / "cut", model=model(), data=bundle).resume(progress=False)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert resumed.results == whole.results
    schema = json.loads((tmp_path / "cut" / "config.json").read_text())["task"]["schema"]
    assert (schema["mixing"], schema["mixing_alpha"]) == ("both", 0.5)
    assert all("train_accuracy" not in record and "accuracy" in record for record in whole.history)


class StopAt(zoo.training.Callback):
    """Interrupts after a step, once what it drew is saved."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            trainer.save()
            raise KeyboardInterrupt


SCRIPT = """
import sys
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle
from vision.classification.task import ImageClassification

torch.set_num_threads(1)

class Telling(ImageClassification):
    "Writes what each process mixed by."
    def mixed(self, model, inputs):
        found = super().mixed(model, inputs)
        with open(f"shares_{torch.distributed.get_rank()}", "a") as file:
            print(found.share, file=file)
        return found

inputs, targets = np.random.default_rng(0).normal(size=(40, 6)).astype("float32"), np.arange(40) % 2
bundle = Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.2)
zoo.train(
    nn.Linear(6, 2), bundle, task=Telling.from_bundle(bundle, mixing="mixup"), epochs=1, max_steps=2, batch_size=4,
    devices=2, accelerator="cpu", progress=False, out=sys.argv[1],
)
"""


@pytest.mark.slow
def test_processes_draw_shares_of_their_own(tmp_path):
    """Fails if all ranks mix by the same draws."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    shares = [(tmp_path / f"shares_{rank}").read_text().split() for rank in (0, 1)]
    assert [len(part) for part in shares] == [2, 2]
    assert not set(shares[0]) & set(shares[1])


# -- Every domain whose rows can be mixed


def test_clips_are_mixed_from_their_starts_and_as_long_as_the_longer():
    """Fails if padding is taken for sound, or lengths are the rows' own alone."""
    waveforms = torch.tensor([[1.0, 1.0, 9.0, 9.0], [3.0, 3.0, 3.0, 3.0]])  # the first is padded with nines
    clips = ClipBatch(waveforms, torch.tensor([2, 4]))
    task = AudioClassification(classes=CLASSES, mixing="mixup")

    class Heard(nn.Module):
        def forward(self, clips):
            self.clips = clips
            return clips.waveforms[:, :3]

    model = Heard()
    for seed in range(20):
        torch.manual_seed(seed)
        found = task.losses(model, (clips, torch.tensor([0, 1])))
        assert set(found) == {"loss"}
        if model.clips.lengths.tolist() == [4, 4]:
            break
    share = float(model.clips.waveforms[0, 3] / 3)
    torch.testing.assert_close(model.clips.waveforms[0], torch.tensor([3 - 2 * (1 - share)] * 2 + [3 * share] * 2))
    with pytest.raises(UnknownNameError, match="mixup"):
        AudioClassification(classes=CLASSES, mixing="cutmix")
    assert AudioClassification(**task.schema()).mixing.name == "mixup"


def table(*, categorical=False, number=False):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(40, 3)), columns=["a", "b", "c"])
    frame["kind"] = np.where(generator.random(40) < 0.5, "x", "y")
    frame["target"] = generator.normal(size=40) if number else np.where(frame["a"] > 0, "yes", "no")
    return table_bundle(frame if categorical else frame.drop(columns="kind"), target="target", validation=0.25)


def test_rows_of_numbers_are_mixed():
    bundle = table()
    task = TablePrediction.from_bundle(bundle, mixing="mixup")
    (continuous, categories), targets = next(iter(bundle.train.batches(batch_size=8)))
    model = Columns(continuous.shape[1]).train()
    mixed = drawn("mixup", continuous)
    hard = torch.eye(2)[targets]
    expected = F.cross_entropy(
        model(mixed.inputs, categories), mixed.share * hard + (1 - mixed.share) * hard[mixed.partners]
    )
    torch.manual_seed(5)
    found = task.losses(model, ((continuous, categories), targets))
    torch.testing.assert_close(found["loss"], expected)
    assert set(found) == {"loss"}
    assert TablePrediction(**task.schema()).schema() == task.schema()


class Columns(nn.Module):
    """Logits of a table's continuous inputs."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, continuous, categories):
        return self.linear(continuous)


def test_rows_without_a_mean_are_refused():
    """Fails if categories or texts were mixed, or an option were dropped in silence."""
    with pytest.raises(ValueError, match="categorical"):
        TablePrediction.from_bundle(table(categorical=True), mixing="mixup")
    with pytest.raises(ValueError, match="is a number"):
        TablePrediction.from_bundle(table(number=True), mixing="mixup")
    with pytest.raises(UnknownArgumentError, match="mixing"):
        check_arguments("The task", TextClassification, {"mixing": "mixup"})
    with pytest.raises(ValueError, match="does not take them"):
        ImageClassification(classes=CLASSES, mixing="mixup", losses="vision.classification.capsnet:capsule_losses")
    with pytest.raises(ValueError, match="choose mixing"):
        ImageClassification(classes=CLASSES, mixing_alpha=0.2)
    with pytest.raises(UnknownNameError, match="cutmix"):
        ImageClassification(classes=CLASSES, mixing="cut_mix")


def test_features_of_a_frozen_body_are_mixed_as_rows_are(tmp_path, photos, cifar_weights, cache):
    """Fails if a head that trains on cached features takes them unmixed, or CutMix cuts into what is no image."""
    options = {"weights": cifar_weights, "strategy": "head", "epochs": 1, "cache_features": True, "max_steps": 2,
               "data_options": {"size": 32, "augment": "none"}, **QUIET}  # fmt: skip
    run = zoo.fine_tune("resnet20_cifar", photos, out=tmp_path / "run", task_options={"mixing": "mixup"}, **options)
    assert all("train_loss" in record and "train_accuracy" not in record for record in run.history)
    with pytest.raises(DataError, match=r"images \[B, C, H, W\], got inputs \[32, 64\]"):
        zoo.fine_tune("resnet20_cifar", photos, out=tmp_path / "cut", task_options={"mixing": "cutmix"}, **options)
