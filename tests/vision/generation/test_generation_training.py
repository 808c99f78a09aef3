"""Training of two players: a run end to end, killed and resumed, in two processes, in bfloat16."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zoo
from vision.generation.dcgan import dcgan
from vision.generation.task import ImageGeneration
from zoo.errors import DataError
from zoo.registry import registry
from zoo.training import Callback, Recipe, Stage, Trainer, evaluate, fine_tune, load_run

NARROW = {"image_size": 16, "channels": 1, "latent_dim": 6, "generator_width": 4, "discriminator_width": 4}
OPTIONS = {
    "optimizer": "adam", "optimizer_options": {"betas": [0.5, 0.999]}, "weight_decay": 0.0, "schedule": "constant",
    "accelerator": "cpu", "progress": False,
}  # fmt: skip
BY_NAME = pytest.mark.skipif("dcgan" not in registry().models, reason="the catalogue of generation is not installed")


class StoppedError(Exception):
    """What ends a run in the middle of an epoch."""


class StopAt(Callback):
    """Raises at a step, as a kill would."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            raise StoppedError


def wgan():
    torch.manual_seed(5)
    return dcgan(**NARROW, discriminator_norm="layer")


def wgan_task(bundle):
    return ImageGeneration.from_bundle(bundle, loss="wasserstein", gradient_penalty=10.0, critic_steps=3)


def train_wgan(bundle, out, **options):
    return zoo.train(
        wgan(), bundle, task=wgan_task(bundle), out=out, epochs=3, lr=1e-3, batch_size=8, ema=0.9, seed=3,
        checkpoint_every_steps=4, log_every_steps=3, **{**OPTIONS, **options},
    )  # fmt: skip


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def test_a_resumed_run_is_the_unbroken_one(tmp_path, bundle):
    """Fails if noise, the shares of the penalty, a player's optimizer or the turn of the generator is lost.

    It stops at step 13 of 24, in the second of three epochs, 5 steps after a validation and 1 after a checkpoint.
    """
    train_wgan(bundle, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train_wgan(bundle, tmp_path / "broken", callbacks=[StopAt(13)])
    torch.manual_seed(99)  # whatever was drawn in between
    load_run(tmp_path / "broken", model=wgan(), data=bundle, task=wgan_task(bundle)).resume(progress=False)
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True) for name in ("whole", "broken")
    ]
    for state in states:
        for key in [key for key in state["callbacks"] if key.startswith(("JSONL", "CSV", "StopAt"))]:
            state["callbacks"].pop(key)
    for part in states[0]:
        if part == "history":  # holds times
            continue
        assert same(states[0][part], states[1][part]), part
    assert states[0]["position"]["step"] == 24
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert same(*weights)
    pictures = [sorted((tmp_path / name / "pictures").iterdir()) for name in ("whole", "broken")]
    assert [path.name for path in pictures[0]] == [path.name for path in pictures[1]]
    assert len(pictures[0]) == 3
    for one, two in zip(*pictures, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_training_comes_nearer_to_the_data(bundle):
    """Fails if the players learn nothing: bars are nearer to what is drawn after 75 steps than to what was before."""
    torch.manual_seed(0)
    task = ImageGeneration.from_bundle(bundle)
    model = dcgan(**{**NARROW, "generator_width": 16, "discriminator_width": 16})
    recipe = Recipe(
        stages=(Stage(epochs=25, lr=5e-3, schedule="constant"),), batch_size=20, optimizer="adam", weight_decay=0.0,
        optimizer_options={"betas": (0.5, 0.999)}, accelerator="cpu",
    )  # fmt: skip

    def distance():
        return evaluate(model, task, bundle.train.batches(batch_size=60))[0][task.monitor]

    before = distance()
    Trainer(model=model, task=task, train=bundle.train, recipe=recipe, progress=False).fit()
    assert distance() < 0.5 * before


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_lower_precision_trains_both_players(tmp_path, bundle, precision):
    """Fails if the penalty's second derivative, or judging, does not work beside autocast and gradient scaling."""
    before = {name: value.clone() for name, value in wgan().named_parameters()}
    run = train_wgan(bundle, tmp_path / "run", precision=precision, max_steps=4)
    assert np.isfinite(run.results["validation"]["fid_random_features"])
    assert 0 < run.history[-1]["train_discriminator/gradient_penalty"] < 2
    assert not any(torch.equal(value, before[name]) for name, value in run.model.named_parameters())


def test_accumulated_batches_train_both_players(tmp_path, bundle):
    run = train_wgan(bundle, tmp_path / "run", accumulate=2, clip_norm=1.0, max_steps=4)
    assert np.isfinite(run.history[-1]["train_discriminator/loss"])


def test_fine_tuning_of_both_players(tmp_path, bundle):
    """Fails if "full" does not train, or the strategies that train a head alone do not say what will do."""
    torch.manual_seed(0)
    model, task = dcgan(**NARROW), ImageGeneration.from_bundle(bundle)
    options = {**OPTIONS, "schedule": "one_cycle", "batch_size": 16, "epochs": 1}
    with pytest.raises(ValueError, match='strategy="full"'):
        fine_tune(model, bundle, task=task, weights=None, out=tmp_path / "head", **options)
    before = {name: value.clone() for name, value in model.named_parameters()}
    fine_tune(model, bundle, task=task, weights=None, out=tmp_path / "full", strategy="full", **options)
    assert not any(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_a_classifiers_features_judge(tmp_path, bundle):
    """Fails if the run of a classifier is not found again, another one is taken, or loading it draws random numbers."""
    images = bundle.train.tensors[0]
    np.savez(
        tmp_path / "labelled.npz",
        images=((images[:, 0] + 1) * 127.5).numpy().astype(np.uint8), labels=np.arange(60) % 3,
    )  # fmt: skip
    zoo.train(
        "cnn_linear", tmp_path / "labelled.npz", epochs=1, out=tmp_path / "classifier", progress=False,
        accelerator="cpu", data_options={"input_shape": (1, 16, 16)},
        model_options={"widths": (4, 6), "depths": (1, 1), "in_channels": 1},
    )  # fmt: skip
    task = ImageGeneration.from_bundle(bundle, fid_classifier=str(tmp_path / "classifier"))
    state = torch.get_rng_state()
    metric = task.metrics()["fid_own_classifier"]
    assert torch.equal(torch.get_rng_state(), state)
    assert metric.num_features == 6
    model = load_run(tmp_path / "classifier").model
    with torch.no_grad():
        logits = model.head(task.network(images[:5]))
        torch.testing.assert_close(logits, model(images[:5]), atol=1e-5, rtol=1e-5)  # both see -1..1


@BY_NAME
@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "wgan_gp_resnet"])
def test_by_name_from_a_file_to_a_picture(tmp_path, bundle, name):
    """The whole way: read, train by the paper's recipe, open again, evaluate, draw, explain."""
    pixels = ((bundle.train.tensors[0][:, 0] + 1) * 127.5).numpy().astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels)
    widths = {"generator_width": 4, "discriminator_width": 4}
    out = tmp_path / "run"
    trained = zoo.train(name, tmp_path / "images.npz", out=out, max_steps=2, model_options=widths, progress=False)
    assert trained.recipe.optimizer_options["betas"] in ([0.5, 0.999], [0.0, 0.9])
    run = load_run(out)
    assert run.evaluate() == pytest.approx(trained.results["validation"])
    run.picture(["0", "1"]).savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 1000
    assert run.predict("5")[0]["seed"] == 5
    assert run.explain("5").heat.shape == (1, 16, 16)
    assert run.evaluate(tmp_path / "images.npz").keys() == {"fid_random_features"}
    with pytest.raises(DataError, match="vision/classification"):
        ImageGeneration(input_shape=(1, 16, 16), fid_classifier=out).metrics()
    assert len(list((out / "pictures").iterdir())) == len(trained.history)


# -- Several processes

TWO = """
import sys
import torch
import zoo
from vision.generation.dcgan import dcgan
from vision.generation import task as module
from vision.generation.rows import hashes_of
from vision.generation.gan import noise_of
from zoo.data import ArraySource, Bundle
import zoo.losses.adversarial as losses

torch.set_num_threads(1)
out, devices, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
images = torch.rand(51, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
bundle = Bundle(
    train=ArraySource(images[:40]), validation=ArraySource(images[40:]), task="vision/generation", kind=None,
    input_shape=(1, 16, 16), fingerprint="noise",
)
torch.manual_seed(7)
model = dcgan(image_size=16, channels=1, latent_dim=6, generator_width=4, discriminator_width=4,
              discriminator_norm="layer" if kind == "wgan" else "batch")
options = dict(loss="wasserstein", gradient_penalty=10.0, critic_steps=2) if kind == "wgan" else {}
if kind == "wgan":
    # Chance by row, and norms by row, so that one process with the double batch must give the same.
    module._noise = lambda generator, images: noise_of(hashes_of(images), size=6)
    drawn = torch.rand
    torch.rand = lambda *size, device=None: torch.full(size, 0.3)
    model.generator.apply(lambda part: [setattr(part, name, torch.nn.GroupNorm(1, held.num_features))
        for name, held in list(part.named_children()) if isinstance(held, torch.nn.BatchNorm2d)])
zoo.train(
    model, bundle, task=module.ImageGeneration.from_bundle(bundle, **options), out=out, epochs=2, lr=1e-3,
    batch_size=8 // devices, devices=devices, accelerator="cpu", optimizer="adam", weight_decay=0.0, ema=0.5,
    schedule="constant", progress=False, log_every_steps=1, optimizer_options={"betas": [0.5, 0.9], "eps": 1e-3},
)
"""


def run_processes(tmp_path: Path, devices: int, kind: str) -> list[dict]:
    script = tmp_path / "job.py"
    script.write_text(TWO)
    command = [sys.executable, str(script), str(tmp_path / f"on_{devices}"), str(devices), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (tmp_path / f"on_{devices}" / "metrics.jsonl").open()]


@pytest.mark.slow
def test_two_processes_equal_the_double_batch(tmp_path):
    """Fails if a player's gradients are not averaged over processes: by hand-over of its module, or by the penalty."""
    one, two = (run_processes(tmp_path, devices, "wgan") for devices in (1, 2))
    assert len(one) == len(two) > 10
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            if "loss" in name or "score" in name or "penalty" in name or "fid" in name:
                assert second[name] == pytest.approx(value, abs=1e-4, rel=1e-4), name
    weights = [load_file(tmp_path / f"on_{devices}" / "model.safetensors") for devices in (1, 2)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_two_processes_with_batch_norm(tmp_path):
    """Fails if batch statistics that processes hand around break the two passes of the discriminator."""
    records = run_processes(tmp_path, 2, "dcgan")
    values = [record["fid_random_features"] for record in records if "fid_random_features" in record]
    results = json.loads((tmp_path / "on_2" / "results.json").read_text())["validation"]
    assert results["fid_random_features"] == pytest.approx(min(values), rel=1e-4)
