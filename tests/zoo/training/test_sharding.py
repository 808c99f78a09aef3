"""Two processes over gloo that each hold half of every parameter train as one process with the double batch does."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from vision.generation.task import ImageGeneration
from zoo.data import ArraySource
from zoo.training import Engine, Recipe, Stage
from zoo.training.checkpoint import save_weights
from zoo.training.sharding import full, is_sharded, placed_like, whole

SCRIPT = """
import sys, time
import numpy as np, torch
from torch import nn
import zoo
from zoo.data import Bundle
from zoo.training import Callback
from vision.classification.task import ImageClassification

torch.set_num_threads(1)
out, devices, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
generator = np.random.default_rng(0)
bundle = Bundle.from_arrays(
    generator.normal(size=(107, 6)).astype("float32"), generator.integers(0, 3, 107), task="vision/classification",
    validation=33 / 107,
)
torch.manual_seed(7)
model = nn.Sequential(
    nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 15), nn.DROPOUT, nn.Linear(15, 3)
)

class Look(Callback):
    "Counts what a process holds, and says which step was done, slowly, for the killer."
    def on_fit_start(self, trainer):
        held = sum(p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in trainer.model.parameters())
        print("held", trainer.engine.rank, held, flush=True)
    def on_step_end(self, trainer):
        if mode == "kill" and trainer.engine.leads:
            print(trainer.position.step, flush=True)
            time.sleep(0.02)

if mode == "resume":
    run = zoo.load_run(out, model=model, data=bundle).resume(progress=False)
else:
    run = zoo.train(
        model, bundle, task=ImageClassification.from_bundle(bundle, class_weights=[1.0, 3.0, 0.5]), out=out, lr=0.05,
        epochs=4, batch_size=16 // devices, accumulate=2, clip_norm=1.0, ema=0.5, swa=0.5, l1=1e-4, l2=1e-3,
        weight_decay=0.1, gradient_checkpointing=True, checkpoint_every_steps=4, devices=devices,
        parallel="fsdp" if devices > 1 else "auto", accelerator="cpu", progress=False, log_every_steps=1,
        callbacks=[Look()],
    )
assert not any("DTensor" in type(parameter).__name__ for parameter in model.parameters())
assert run.model is model
"""
PARAMETERS = 6 * 16 + 16 + 16 * 16 + 16 + 16 * 15 + 15 + 15 * 3 + 3


def start(script, out, devices: int, mode: str = "whole") -> subprocess.Popen:
    command = [sys.executable, str(script), str(out), str(devices), mode]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=script.parent, start_new_session=True
    )


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors[:3000]
    return output


@pytest.mark.slow
def test_two_processes_equal_the_double_batch(tmp_path):
    """Fails if gradients are summed for averaged, a part of the weights is not trained, or a file holds a part only."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.replace("nn.DROPOUT", "nn.ReLU()"))
    for devices in (1, 2):
        output = finish(start(script, tmp_path / f"on_{devices}", devices))
    held = [int(line.split()[2]) for line in output.splitlines() if line.startswith("held")]
    assert sum(held) == PARAMETERS
    assert max(held) < 0.6 * PARAMETERS
    records = [
        [json.loads(line) for line in (tmp_path / f"on_{devices}" / "metrics.jsonl").open()] for devices in (1, 2)
    ]
    assert len(records[0]) == len(records[1]) > 15
    for one, two in zip(*records, strict=True):
        for name in ("loss", "train_loss", "train_accuracy", "accuracy", "f1"):
            assert (name in one) == (name in two)
            if name in one:
                assert one[name] == pytest.approx(two[name], abs=2e-5, nan_ok=True), (one, two)
    files = [load_file(tmp_path / f"on_{devices}" / "model.safetensors") for devices in (1, 2)]
    states = [
        torch.load(tmp_path / f"on_{devices}" / "checkpoints" / "last.pt", weights_only=True) for devices in (1, 2)
    ]
    moments = [state["optimizers"]["train"]["state"] for state in states]
    assert moments[0].keys() == moments[1].keys()
    averages = [state["callbacks"]["StochasticWeightAveraging.0"]["average"] for state in states]
    pairs = [files, [state["model"] for state in states], averages, *zip(*(m.values() for m in moments), strict=True)]
    for one, two in pairs:
        for name, value in one.items():
            torch.testing.assert_close(value, two[name], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_killed_processes_resume_where_they_were_and_one_process_can_go_on(tmp_path):
    """Fails if a shard of the optimizer's state or of an average is lost, or only as many processes can read it."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.replace("nn.DROPOUT", "nn.Dropout(0.2)"))
    finish(start(script, tmp_path / "whole", 2))
    broken = start(script, tmp_path / "broken", 2, "kill")
    assert broken.stdout is not None
    for line in broken.stdout:
        if line.strip() == "7":
            os.killpg(broken.pid, signal.SIGKILL)
            break
    broken.wait(timeout=60)
    assert not (tmp_path / "broken" / "results.json").exists()
    alone = tmp_path / "alone"
    alone.mkdir()
    config = json.loads((tmp_path / "broken" / "config.json").read_text())
    config["recipe"] |= {"devices": 1, "parallel": "auto"}
    (alone / "config.json").write_text(json.dumps(config))
    (alone / "checkpoints").mkdir()
    (alone / "checkpoints" / "last.pt").write_bytes((tmp_path / "broken" / "checkpoints" / "last.pt").read_bytes())
    finish(start(script, tmp_path / "broken", 2, "resume"))
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    finish(start(script, alone, 1, "resume"))
    assert (alone / "results.json").is_file()


def test_what_is_whole_stays_as_it_is():
    """Fails if an unsharded model is copied or gathered, or its state changes its form."""
    model = nn.Linear(2, 2)
    state = {"weights": [model.weight, 1.5], "nested": {"text": "a"}}
    assert full(state) == state
    assert not is_sharded(model)
    assert placed_like(model.weight, model.weight) is model.weight
    with whole(model):
        assert model(torch.ones(1, 2)).shape == (1, 2)


def test_tied_weights_are_written_as_a_whole_model_writes_them(tmp_path):
    """Fails if a file of gathered weights holds tied ones twice, which no reader would take."""
    model = nn.ModuleDict({"second": nn.Linear(3, 3), "first": nn.Linear(3, 3)})
    model["second"].weight = model["first"].weight
    save_weights(tmp_path / "model.safetensors", model)
    save_weights(tmp_path / "gathered.safetensors", model, state=dict(model.state_dict(keep_vars=True)))
    files = [load_file(tmp_path / name) for name in ("model.safetensors", "gathered.safetensors")]
    assert files[0].keys() == files[1].keys()
    zoo.training.run.load_into(model, tmp_path / "gathered.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (Stage(name="head", trainable=1), Stage())}, 'strategy="full"'),
        ({"precision": "16-mixed"}, "bf16-mixed"),
        ({"compile": True}, "without compile"),
        ({"channels_last": True}, "channels_last"),
    ],
)
def test_what_cannot_be_sharded_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(parallel="fsdp", devices=2, **options)


def test_a_game_of_two_is_refused():
    """Fails if a GAN's players, which run alone, are sharded as parts of a model that never runs as a whole."""
    task = ImageGeneration(input_shape=(1, 32, 32))
    model = zoo.create_model("wgan_gp")
    with pytest.raises(ValueError, match="discriminator, generator in turn"):
        zoo.training.Trainer(
            model=model, task=task, train=ArraySource(torch.zeros(4, 1, 32, 32)), engine=Engine(Recipe()),
            recipe=Recipe(parallel="fsdp", devices=2), progress=False,
        )  # fmt: skip
