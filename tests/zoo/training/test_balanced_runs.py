"""Runs on balanced data: stopped in the middle of an epoch, in two processes, and with weights in the loss."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from vision.classification.task import ImageClassification
from zoo.cli.options import takes
from zoo.data import Bundle, folds
from zoo.data.balancing import BalancedSource
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError
from zoo.training import Callback, fine_tune, load_run


class Crash(Callback):
    """Fails like a kill after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            raise MemoryError("crash")


class Jitter:
    num_uniforms = 1

    def __call__(self, inputs, uniforms):
        return inputs + uniforms


def make_bundle():
    generator = np.random.default_rng(0)
    targets = generator.choice(3, size=150, p=[0.7, 0.2, 0.1])
    inputs = generator.normal(size=(150, 6)).astype("float32")
    inputs[np.arange(150), targets] += 2
    return Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.2, augment=Jitter())


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def train(out, bundle, *, callbacks=(), **options):
    return zoo.train(
        make_model(), bundle, task=options.pop("task", "vision/classification"), out=out, epochs=3, lr=0.01,
        batch_size=16, checkpoint_every_steps=2, log_every_steps=1, accelerator="cpu", progress=False,
        callbacks=callbacks, **options,
    )  # fmt: skip


def rows_of(balance):
    """Rows of an epoch."""
    counts = make_bundle().train.targets().bincount()
    return {"oversample": 3 * int(counts.max()), "undersample": 3 * int(counts.min())}.get(balance, int(counts.sum()))


@pytest.mark.parametrize("balance", ["weighted_sampler", "oversample", "undersample", "class_weights"])
def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(tmp_path, balance):
    """Fails if the balancing is not kept with the run, or an epoch that is gone on with is drawn anew."""
    rows = rows_of(balance)
    steps = -(-rows // 16)
    whole = train(tmp_path / "whole", make_bundle(), balance=balance)
    stop = steps + 3  # the checkpoint before it is within the second epoch, or at its end where epochs are short
    with pytest.raises(MemoryError):
        train(tmp_path / "broken", make_bundle(), balance=balance, callbacks=[Crash(stop)])
    kept = json.loads((tmp_path / "broken" / "config.json").read_text())
    assert kept["data"]["changes"] == [{"change": "balance", "name": balance}]
    resumed = load_run(tmp_path / "broken", model=make_model(), data=make_bundle())
    assert len(resumed.bundle.train) == rows
    resumed.resume(progress=False)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert [record["train_loss"] for record in whole.history] == [record["train_loss"] for record in resumed.history]
    assert whole.history[-1]["step"] == 3 * steps


def test_class_weights_reach_the_loss(tmp_path):
    """Fails if the weights are noted but not used."""
    run = train(tmp_path / "weighted", make_bundle(), balance="class_weights")
    weights = run.config["task"]["schema"]["class_weights"]
    counts = make_bundle().train.targets().bincount()
    assert np.allclose(weights, 120 / (3 * counts))
    train(tmp_path / "plain", make_bundle(), task_options={"class_weights": weights})
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("weighted", "plain"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_balanced_run_is_read_again_from_disk(tmp_path, photos, cifar_weights):
    """A folder of which one class is made small; fails if the run's own data are not balanced any more."""
    run = fine_tune(
        "resnet20_cifar", photos, weights=cifar_weights, balance="oversample", strategy="head", epochs=1,
        cache_features=True, out=tmp_path / "run", progress=False, data_options={"seed": 1},
    )  # fmt: skip
    again = load_run(run.directory)
    assert isinstance(again.bundle.train, BalancedSource)
    assert set(again.evaluate(split="train")) >= {"accuracy"}


def test_frozen_features_are_drawn_as_the_rows(tmp_path):
    """Fails if the head trains on the features of every row once."""
    seen = []

    class Count(Callback):
        def on_step_end(self, trainer):
            seen.append(trainer.position.batch)

    fine_tune(
        make_model(), make_bundle(), task="vision/classification", weights=None, balance="oversample", strategy="head",
        epochs=1, cache_features=True, batch_size=16, out=tmp_path / "run", progress=False, callbacks=[Count()],
    )  # fmt: skip
    assert len(seen) == -(-rows_of("oversample") // 16)


def test_a_fold_in_memory_is_made_again(tmp_path):
    """Fails if a resumed run of a fold trains on the split that the bundle had before."""
    fold = folds(make_bundle(), 3, seed=1)[2]
    train(tmp_path / "run", fold, balance="undersample")
    again = load_run(tmp_path / "run", model=make_model(), data=make_bundle()).bundle
    assert again.fingerprint == fold.fingerprint
    assert torch.equal(again.validation.tensors[0], fold.validation.tensors[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"balance": "class_weights", "task_options": {"class_weights": [1, 1, 1]}}, ValueError, "given twice"),
        (
            {"balance": "class_weights", "task": ImageClassification(classes=["0", "1", "2"])},
            ValueError,
            "built already: give it class_weights=",
        ),
        ({"balanced": "oversample"}, UnknownArgumentError, "Did you mean 'balance'"),
        ({"balance": "oversampled"}, UnknownNameError, "Did you mean 'oversample'"),
    ],
)
def test_faults_have_a_remedy(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        train(tmp_path / "run", make_bundle(), **options)
    assert not (tmp_path / "run").exists()


def test_data_without_classes_cannot_be_balanced(tmp_path):
    bundle = Bundle.from_arrays(np.zeros((20, 6)), np.arange(20.0), task="vision/classification")
    with pytest.raises(DataError, match="one class a row"):
        train(tmp_path / "run", bundle, balance="oversample")


def test_the_command_line_knows_the_option():
    assert "oversample" in takes([zoo.train])["balance"][1]


SCRIPT = """
import sys
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle

torch.set_num_threads(1)
out, devices = sys.argv[1], int(sys.argv[2])
generator = np.random.default_rng(0)
bundle = Bundle.from_arrays(
    generator.normal(size=(107, 6)).astype("float32"), generator.choice(3, size=107, p=[0.7, 0.2, 0.1]),
    task="vision/classification", validation=0.3,
)
torch.manual_seed(7)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
zoo.train(
    model, bundle, task="vision/classification", out=out, lr=0.05, epochs=3, batch_size=16 // devices,
    balance="weighted_sampler", devices=devices, accelerator="cpu", progress=False,
)
"""


@pytest.mark.slow
def test_two_processes_share_out_one_draw(tmp_path):
    """Fails if each rank draws for itself, or both take the same rows."""
    (tmp_path / "job.py").write_text(SCRIPT)
    for devices in (1, 2):
        command = [sys.executable, str(tmp_path / "job.py"), str(tmp_path / f"on_{devices}"), str(devices)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    weights = [load_file(tmp_path / f"on_{devices}" / "model.safetensors") for devices in (1, 2)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-4)
