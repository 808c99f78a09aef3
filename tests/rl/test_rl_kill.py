"""An agent whose process was killed goes on as the unbroken run does, memory and environment included."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

SCRIPT = """
import sys, time
import zoo
from zoo.training import Callback, load_run

out, mode = sys.argv[1:]

class Say(Callback):
    "Says which step was done, slowly, so that the killer can choose his moment."
    def on_step_end(self, trainer):
        if mode == "kill":
            print(trainer.position.step, flush=True)
            time.sleep(0.01)

if mode == "resume":
    load_run(out).resume(progress=False)
else:
    zoo.train(
        "prioritized_dqn", "CartPole-v1", out=out, epochs=3, callbacks=[Say()], progress=False, accelerator="cpu",
        checkpoint_every_steps=5, checkpoint_seconds=1e6, log_every_steps=7, batch_size=8,
        data_options={"steps_per_epoch": 60, "validation_episodes": 2, "test_episodes": 2, "num_envs": 2},
        task_options={
            "learning_starts": 20, "train_every": 4, "updates_per_train": 3, "target_update_every": 8, "n_step": 3,
        },
    )
"""


def start(path: Path, out: Path, mode: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, str(path), str(out), mode], stdout=subprocess.PIPE, text=True)


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """All numbers, texts and tensors of a checkpoint, by where they stand."""
    if isinstance(value, dict):
        return {key: leaf for name, held in value.items() for key, leaf in leaves(held, f"{place}/{name}").items()}
    if isinstance(value, list | tuple):
        return {key: leaf for index, held in enumerate(value) for key, leaf in leaves(held, f"{place}/{index}").items()}
    return {place: value}


def test_killed_in_the_middle_of_a_turn_of_updates(tmp_path: Path) -> None:
    """Fails if anything is missing in the checkpoint: memory, priorities, episodes, generators, updates still due."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    whole, broken = start(script, tmp_path / "whole", "whole"), start(script, tmp_path / "broken", "kill")
    assert broken.stdout is not None
    for line in broken.stdout:
        if line.strip() == "43":  # the last checkpoint, of step 40, lies within three updates and in the second epoch
            broken.send_signal(signal.SIGKILL)
            break
    assert broken.wait(timeout=60) == -signal.SIGKILL
    assert whole.wait(timeout=120) == 0
    held = torch.load(tmp_path / "broken" / "checkpoints" / "last.pt", weights_only=True)
    assert held["position"]["step"] == 40
    assert held["extra"]["algorithm"]["updates_due"] == 2
    assert start(script, tmp_path / "broken", "resume").wait(timeout=120) == 0
    ends = []
    for name in ("whole", "broken"):
        state = torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True)
        state.pop("callbacks")  # lengths of log files, in which there are times
        ends.append(leaves(state))
    assert ends[0].keys() == ends[1].keys()
    for place, value in ends[0].items():
        other = ends[1][place]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, place
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "broken")]
    assert results[0] == results[1]
