"""A distributed run that was killed and resumed equals one that was never stopped."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys, time
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle
from zoo.training import Callback
from vision.classification.task import ImageClassification

torch.set_num_threads(1)
out, mode = sys.argv[1], sys.argv[2]
generator = np.random.default_rng(0)
bundle = Bundle.from_arrays(
    generator.normal(size=(210, 6)).astype("float32"), generator.integers(0, 3, 210), task="vision/classification",
)
torch.manual_seed(7)
model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3))

class Signal(Callback):
    def on_step_end(self, trainer):
        if mode == "kill" and trainer.engine.leads:
            print(trainer.position.step, flush=True)
            time.sleep(0.02)

if mode == "resume":
    zoo.load_run(out, model=model, data=bundle).resume(progress=False)
else:
    zoo.train(
        model, bundle, task=ImageClassification.from_bundle(bundle), out=out, epochs=5, batch_size=8, devices=2,
        accelerator="cpu", progress=False, checkpoint_every_steps=4, callbacks=[Signal()], ema=0.9,
    )
"""


@pytest.mark.slow
def test_killed_processes_resume_where_they_were(tmp_path):
    """Fails if the random numbers of the second process, or its place in the data, are lost: dropout would differ."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)

    def start(out: str, mode: str) -> subprocess.Popen:
        command = [sys.executable, str(script), str(tmp_path / out), mode]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)

    assert start("whole", "whole").wait(timeout=200) == 0
    broken = start("broken", "kill")
    assert broken.stdout is not None
    for line in broken.stdout:
        if line.strip() == "18":
            os.killpg(broken.pid, signal.SIGKILL)
            break
    broken.wait(timeout=60)
    assert not (tmp_path / "broken" / "results.json").exists()
    assert start("broken", "resume").wait(timeout=200) == 0
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
