"""A run that was killed and resumed equals one that was never stopped, bit for bit."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle
from zoo.training import Callback, Run, Trainer, load_run
from vision.classification.task import ImageClassification

torch.set_num_threads(1)
out, mode, precision = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
OPTIONS = {}
generator = np.random.default_rng(0)
bundle = Bundle.from_arrays(
    generator.normal(size=(203, 1, 8, 8)).astype("float32"), generator.integers(0, 3, 203),
    task="vision/classification", transform=lambda x: x + 0.1 * torch.randn_like(x),
)
torch.manual_seed(7)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
    nn.Linear(8, 3),
)

class Signal(Callback):
    "Says which step was done, slowly, so that the killer can choose his moment."
    def on_step_end(self, trainer):
        if mode == "kill":
            print(trainer.position.step, flush=True)
            time.sleep(0.01)

options = dict(
    **OPTIONS, batch_size=16, accumulate=2, ema=0.9, clip_norm=1.0, checkpoint_every_steps=4, seed=3,
    precision=precision, log_every_steps=3, progress=False, accelerator="cpu",
)
if mode == "resume":
    load_run(out, model=model, data=bundle).resume(progress=False)
else:
    task = ImageClassification.from_bundle(bundle)
    zoo.train(
        model, bundle, task=task, out=out, epochs=6, schedule="one_cycle", callbacks=[Signal()], **options,
    )
"""


def run_script(path: Path, out: Path, mode: str, precision: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(path), str(out), mode, precision], stdout=subprocess.PIPE, text=True, cwd=path.parent
    )


def kill_at(process: subprocess.Popen, step: int, how: signal.Signals) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == str(step):
            process.send_signal(how)
            break
    process.wait(timeout=60)


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
        )
    if isinstance(first, list):
        return isinstance(second, list) and len(first) == len(second) and all(map(same, first, second))
    return first == second


ALL = "dict(swa=0.4, swa_lr=0.002, l1=1e-4, l2=1e-3, gradient_checkpointing=True)"


@pytest.mark.parametrize(
    ("precision", "how", "step", "options"),
    [
        ("32-true", signal.SIGKILL, 17, "{}"),
        ("bf16-mixed", signal.SIGTERM, 10, "{}"),
        # Of 6 epochs with 6 steps the last 4 count; the kill falls into the second of these.
        pytest.param("bf16-mixed", signal.SIGKILL, 21, ALL, marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_of_an_epoch_and_resumed(tmp_path, precision, how, step, options):
    """Fails if any of weights, optimizer, schedule, averages, RNG, data order or window sums is not restored."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.replace("OPTIONS = {}", f"OPTIONS = {options}"))
    whole = run_script(script, tmp_path / "whole", "whole", precision)
    broken = run_script(script, tmp_path / "broken", "kill", precision)
    kill_at(broken, step, how)
    assert whole.wait(timeout=120) == 0
    assert broken.returncode != 0
    assert not (tmp_path / "broken" / "results.json").exists()
    resumed = run_script(script, tmp_path / "broken", "resume", precision)
    assert resumed.wait(timeout=120) == 0
    first = torch.load(tmp_path / "whole" / "checkpoints" / "last.pt", weights_only=True)
    second = torch.load(tmp_path / "broken" / "checkpoints" / "last.pt", weights_only=True)
    for state in (first, second):
        state["callbacks"].pop("JSONLLogger.0")  # byte lengths differ with the times in the file
        state["callbacks"].pop("Signal.0", None)
    for part in first:
        assert same(first[part], second[part]), part
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert same(*weights)
    records = [
        [{k: v for k, v in json.loads(line).items() if k != "time"} for line in (path / "metrics.jsonl").open()]
        for path in (tmp_path / "whole", tmp_path / "broken")
    ]
    assert records[0] == records[1]
