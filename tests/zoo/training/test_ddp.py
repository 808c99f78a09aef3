"""Two processes over gloo train as one process with the double batch does."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle
from vision.classification.task import ImageClassification

torch.set_num_threads(1)
out, devices = sys.argv[1], int(sys.argv[2])
generator = np.random.default_rng(0)
bundle = Bundle.from_arrays(
    generator.normal(size=(107, 6)).astype("float32"), generator.integers(0, 3, 107), task="vision/classification",
    validation=33 / 107,
)
assert len(bundle.validation) == 33  # one row more than the ranks can share
torch.manual_seed(7)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
zoo.fine_tune(
    model, bundle, weights=None, task=ImageClassification.from_bundle(bundle, class_weights=[1.0, 3.0, 0.5]), out=out,
    lr=0.05, epochs=3, head_epochs=1, cache_features=sys.argv[3] == "cached",
    batch_size=16 // devices, accumulate=2, clip_norm=1.0, ema=0.5, devices=devices, accelerator="cpu",
    progress=False, log_every_steps=1,
)
"""


@pytest.mark.parametrize("features", ["cached", "fresh"])
def test_two_processes_equal_the_double_batch(tmp_path, monkeypatch, features):
    """Fails if gradients, losses or metrics are averaged per process although batches are uneven and weighted."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    for devices in (1, 2):
        command = [sys.executable, str(script), str(tmp_path / f"on_{devices}"), str(devices), features]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    records = [
        [json.loads(line) for line in (tmp_path / f"on_{devices}" / "metrics.jsonl").open()] for devices in (1, 2)
    ]
    assert len(records[0]) == len(records[1]) > 15
    for one, two in zip(*records, strict=True):
        for name in ("loss", "train_loss", "train_accuracy", "accuracy", "f1"):
            assert (name in one) == (name in two)
            if name in one:
                assert one[name] == pytest.approx(two[name], abs=2e-5, nan_ok=True), (one, two)
    weights = [load_file(tmp_path / f"on_{devices}" / "model.safetensors") for devices in (1, 2)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-4)


def test_all_processes_validate_with_the_leaders_batch_norm_statistics(tmp_path):
    """Fails if each process judges with its own running statistics: the saved weights would then score otherwise."""
    script = tmp_path / "job.py"
    layers = "nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))"
    script.write_text(SCRIPT.replace("nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))", layers))
    command = [sys.executable, str(script), str(tmp_path / "run"), "2", "fresh"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    epochs = [record for record in map(json.loads, (tmp_path / "run" / "metrics.jsonl").open()) if "f1" in record]
    best = max(epochs, key=lambda record: (record["accuracy"], -record["loss"]))
    results = json.loads((tmp_path / "run" / "results.json").read_text())["validation"]
    assert results["loss"] == pytest.approx(best["loss"], abs=1e-5)
