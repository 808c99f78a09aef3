"""The recipes learn on the embedded images, and a run that is broken off goes on as if it had not been."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import zoo
from vision.examples.embedded import FASHION_MNIST
from zoo.training import Callback, Run

QUIET: dict[str, Any] = {"progress": False, "accelerator": "cpu"}
CHANCE = 0.1


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks are no faster on several threads, and other tests may run beside this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 of the embedded images to train on and 200 to validate with, of all ten classes, as one file."""
    with np.load(FASHION_MNIST) as held:
        rows = np.concatenate(
            [np.flatnonzero(held["split"] == part)[:number] for part, number in (("train", 500), ("validation", 200))]
        )
        arrays = {name: held[name][rows] for name in ("images", "labels", "split")}
        path = tmp_path_factory.mktemp("clothing") / "clothing.npz"
        np.savez(path, classes=held["classes"], **arrays)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 embedded images of each of three classes as files, JPEG and PNG, in a folder for each class."""
    root = tmp_path_factory.mktemp("folder")
    with np.load(FASHION_MNIST) as held:
        for code, name in ((1, "trouser"), (7, "sneaker"), (8, "bag")):
            (root / name).mkdir()
            for index, image in enumerate(held["images"][held["labels"] == code][:20]):
                Image.fromarray(image).save(root / name / f"{index}.{'jpg' if index % 2 else 'png'}")
    return root


@pytest.fixture(scope="module")
def trained(clothing, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The recipe of the example that trains from scratch, cut short."""
    return zoo.train(
        "resnet20_cifar", clothing, epochs=2, lr=0.1, schedule="one_cycle", optimizer="nesterov", weight_decay=5e-4,
        batch_size=32, out=tmp_path_factory.mktemp("runs") / "trained",
        data_options={"size": 28, "augment": "light"}, **QUIET,
    )  # fmt: skip


def test_training_from_scratch_learns(trained):
    """Fails if labels, images or the schedule get mixed up on the way: accuracy would stay near a tenth."""
    assert trained.results["validation"]["accuracy"] > 3 * CHANCE
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


@pytest.mark.parametrize("strategy", ["head", "two_stage", "gradual"])
def test_fine_tuning_builds_on_what_was_learned(trained, folder, tmp_path, strategy):
    """Fails if the trained body is lost on the way: few steps on 45 images tell three classes apart only with it."""
    run = zoo.fine_tune(
        "resnet20_cifar", folder, weights=trained.directory / "model.safetensors", strategy=strategy, epochs=4,
        lr=5e-3, batch_size=8, out=tmp_path / "run",
        data_options={"size": 28, "augment": "none", "validation": 0.25}, **QUIET,
    )  # fmt: skip
    assert run.results["validation"]["accuracy"] > 0.8


class Crash(Callback):
    """Ends the process's work after a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            raise MemoryError("crash")


def train_on_files(folder: Path, out: Path, **options: Any) -> Run:
    return zoo.train(
        "resnet20_cifar", folder, epochs=3, lr=0.05, optimizer="nesterov", schedule="one_cycle", batch_size=8,
        accumulate=2, ema=0.9, num_workers=2, checkpoint_every_steps=2, channels_last=True, out=out,
        data_options={"size": 24, "augment": "standard", "validation": 0.25}, **QUIET, **options,
    )  # fmt: skip


def test_augmented_files_read_by_workers_resume_bit_for_bit(folder, tmp_path):
    """Fails if the augmentation follows the worker or the process, or the moving average forgets its past.

    45 images are 3 steps an epoch: the second epoch is broken off after its second step, and step 4 was kept.
    """
    whole = train_on_files(folder, tmp_path / "whole")
    with pytest.raises(MemoryError):
        train_on_files(folder, tmp_path / "broken", callbacks=[Crash(5)])
    resumed = zoo.load_run(tmp_path / "broken").resume(progress=False)
    assert resumed.results == whole.results
    assert [record["loss"] for record in resumed.history] == [record["loss"] for record in whole.history]
    states = [
        torch.load(run.directory / "checkpoints" / "last.pt", weights_only=True)["model"] for run in (whole, resumed)
    ]
    kept = [load_file(run.directory / "model.safetensors") for run in (whole, resumed)]
    for first, second in (states, kept):
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items())
