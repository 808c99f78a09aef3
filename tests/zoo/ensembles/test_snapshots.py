"""Snapshots: kept where the rate is lowest, and averaged."""

import math

import pytest
import torch
from ensemble_cases import QUIET
from safetensors.torch import load_file

import zoo
from zoo.ensembles import Snapshots, snapshot_ensemble
from zoo.ensembles.snapshots import snapshot_files
from zoo.errors import RunError
from zoo.training import Callback

OPTIONS = {"batch_size": 8, "optimizer": "sgd", "weight_decay": 0.0, **QUIET}


class Rates(Callback):
    """Remembers the rate of each step, and the weights after it."""

    def __init__(self):
        self.rates, self.weights = [], []

    def on_step_end(self, trainer):
        self.rates.append(trainer.phases[0].optimizer.param_groups[0]["lr"])
        self.weights.append({name: value.clone() for name, value in trainer.model.state_dict().items()})


def test_snapshots_stand_at_the_ends_of_cycles(model, bundle, task, tmp_path):
    """Fails if a snapshot is a step early or late. The rates are those of equation 2 of Huang et al. 2017."""
    seen = Rates()
    found = snapshot_ensemble(
        model, bundle, cycles=3, task=task, out=tmp_path / "s", epochs=6, lr=0.2, callbacks=[seen], **OPTIONS
    )
    steps = len(seen.rates)
    length = math.ceil(steps / 3)
    for t, rate in enumerate(seen.rates, 1):
        assert rate == pytest.approx(0.1 * (math.cos(math.pi * ((t - 1) % length) / length) + 1), rel=1e-6)
    ends = [length, 2 * length, steps]
    files = snapshot_files(tmp_path / "s" / "run")
    assert files == [f"snapshots/{end:08d}.safetensors" for end in ends]
    for end, file in zip(ends, files, strict=True):
        held = load_file(tmp_path / "s" / "run" / file)
        assert all(torch.equal(held[name], value) for name, value in seen.weights[end - 1].items())
    inputs = bundle.test.tensors[0]
    nets = []
    for file in files:
        model.load_state_dict(load_file(tmp_path / "s" / "run" / file))
        nets.append(model.eval()(inputs).softmax(1).detach())
    said = found.predict(inputs)
    for row, expected in zip(said, torch.stack(nets).mean(0), strict=True):
        assert row["probability"] == pytest.approx(float(expected.max()), abs=1e-6)


def test_the_last_snapshots_alone(model, bundle, task, tmp_path):
    found = snapshot_ensemble(model, bundle, cycles=3, last=2, task=task, out=tmp_path / "s", epochs=3, **OPTIONS)
    assert [member.weights_file for member in found.members] == snapshot_files(tmp_path / "s" / "run")[1:]
    assert set(found.evaluate()) >= {"accuracy"}


def test_snapshots_at_given_steps(model, bundle, task, tmp_path):
    run = zoo.train(
        model, bundle, task=task, out=tmp_path / "run", epochs=2, callbacks=[Snapshots(steps=(3, 5))], **OPTIONS
    )
    assert snapshot_files(run.directory) == [f"snapshots/0000000{step}.safetensors" for step in (3, 5)]


def test_a_schedule_without_cycles_is_refused(model, bundle, task, tmp_path):
    with pytest.raises(ValueError, match="schedule with cycles"):
        zoo.train(model, bundle, task=task, out=tmp_path / "run", epochs=1, callbacks=[Snapshots()], **OPTIONS)
    with pytest.raises(RunError, match="has no snapshots"):
        snapshot_files(tmp_path / "run")
    with pytest.raises(ValueError, match="leave schedule out"):
        snapshot_ensemble(model, bundle, task=task, schedule="cosine")
    with pytest.raises(ValueError, match="At least 2 cycles"):
        snapshot_ensemble(model, bundle, cycles=2, last=3, task=task)
    with pytest.raises(ValueError, match="from 1 up"):
        Snapshots(steps=(0,))
