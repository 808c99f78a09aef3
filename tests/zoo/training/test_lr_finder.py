"""The search for a learning rate: it changes nothing, takes training's own steps, and finds what can be known."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.data import ArraySource, Bundle
from zoo.errors import UnknownArgumentError
from zoo.training import Callback, RateCurve, Task
from zoo.training.checkpoint import random_state
from zoo.training.lr_finder import moving_averages, runs_away

QUIET = {"progress": False, "accelerator": "cpu"}


class Everything(nn.Module):
    """All that a step leaves a trace in: weights, statistics, a buffer that no state holds, dropout, a frozen layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Linear(6, 12), nn.BatchNorm1d(12)
        self.dropout, self.last = nn.Dropout(0.2), nn.Linear(12, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.calls += 1
        return self.last(self.dropout(self.norm(self.first(x)).relu()))


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


OPTIONS = (
    {"optimizer": "adamw"},
    {"optimizer": "momentum", "precision": "bf16-mixed", "accumulate": 2, "clip_norm": 1.0, "ema": 0.9},
)


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "amp"])
def test_training_afterwards_is_training_without_it(tmp_path, bundle, task, options):
    """Fails if weights, statistics, flags, modes, gradients, generators or the order of the data are not as before."""
    options = {**QUIET, "batch_size": 16, **options}
    model = Everything().train()
    model.norm.eval()
    untouched = copy.deepcopy(model)
    state = random_state()
    zoo.find_lr(model, bundle, task=task, num_steps=12, **options)
    assert same(random_state(), state)
    assert same(dict(model.named_buffers()), dict(untouched.named_buffers()))
    assert same(dict(model.named_parameters()), dict(untouched.named_parameters()))
    assert [module.training for module in model.modules()] == [module.training for module in untouched.modules()]
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in untouched.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())

    after = zoo.train(model, bundle, task=task, epochs=2, out=tmp_path / "after", **options)
    without = zoo.train(untouched, bundle, task=task, epochs=2, out=tmp_path / "without", **options)
    assert same(after.model.state_dict(), without.model.state_dict())
    timeless = [[{**record, "time": 0} for record in run.history] for run in (after, without)]
    assert timeless[0] == timeless[1]


class Record(Callback):
    """The rate and the loss of each step."""

    def __init__(self):
        self.losses = []

    def on_step_end(self, trainer):
        self.losses.append(float(trainer.window._steps[-1][2]["loss"]))


def test_steps_are_those_of_training(tmp_path, bundle, task):
    """Fails if the steps see other batches, another seed or another arithmetic than training's at the same rates."""
    curve = zoo.find_lr(
        Everything(), bundle, task=task, start=1e-4, end=1e-2, num_steps=9, batch_size=16, optimizer="sgd", **QUIET
    )
    record = Record()
    zoo.train(
        Everything(), bundle, task=task, lr=1e-4, schedule="exponential", schedule_options={"gamma": 100 ** (1 / 8)},
        batch_size=16, optimizer="sgd", epochs=2, max_steps=9, out=tmp_path / "run", callbacks=[record],
        log_every_steps=100, **QUIET,
    )  # fmt: skip
    assert curve.rates == pytest.approx([1e-4 * 100 ** (step / 8) for step in range(9)])
    assert curve.losses == pytest.approx(record.losses, rel=1e-5)


def test_accumulated_batches_are_one(bundle, task):
    """Fails if accumulation gives each batch a step and a rate of its own."""
    options = {"start": 1e-3, "end": 1.0, "num_steps": 6, "optimizer": "sgd", **QUIET}
    linear = nn.Linear(6, 3)
    whole = zoo.find_lr(linear, bundle, task=task, batch_size=24, **options)
    parts = zoo.find_lr(linear, bundle, task=task, batch_size=8, accumulate=3, **options)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-4)


class Bowl(Task):
    """Half of `curvature` times w^2, whatever the batch: gradient descent converges below a rate of 2 / curvature."""

    name = "bowl"
    curvature = 20.0

    def losses(self, model, batch):
        return {"loss": self.curvature * model.weight.square().sum() / 2}

    metrics = evaluate = predict = read_inputs = explain = model_arguments = from_bundle = schema = None


def bowl(**options):
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    rows = Bundle.from_arrays(np.zeros((8, 1), "float32"), np.arange(8) % 2, task="vision/classification")
    return zoo.find_lr(
        model, rows, task=Bowl(), optimizer="sgd", weight_decay=0.0, batch_size=8, **{"start": 1e-4, **QUIET, **options}
    )


def test_the_limit_of_a_bowl_is_found():
    """Fails if divergence is missed or seen early: steps shrink w up to 2 / 20, and grow it beyond."""
    curve = bowl(smoothing=0.0, num_steps=200, end=10.0)
    assert curve.diverged
    assert curve.lowest == pytest.approx(0.1, rel=0.15)
    assert curve.suggestion == curve.lowest / 10
    assert 1e-4 < curve.steepest < 0.1
    assert curve.rates[-1] < 0.3
    weight, expected = 1.0, []
    for rate in curve.rates:
        expected.append(10 * weight**2)
        weight *= 1 - rate * 20
    assert curve.losses == pytest.approx(expected, rel=1e-4, abs=1e-30)


def test_what_cannot_be_suggested_is_said():
    """Fails if a rising loss gets a suggestion, or one that still falls at the end is taken for a find."""
    rising = RateCurve(rates=(1.0, 2.0, 3.0), losses=(1.0, 2.0, 9.0), smoothed=(1.0, 2.0, 9.0), diverged=True)
    assert rising.suggestion is None
    assert rising.steepest is None
    assert "start lower" in rising.describe()
    falling = bowl(smoothing=0.0, num_steps=20, end=1e-2)
    assert not falling.diverged
    assert "still falling" in falling.describe()
    with pytest.raises(ValueError, match="ran away at once"):
        bowl(start=1e6, end=1e9)


def test_averages_by_hand():
    """Fails if the first averages lean towards 0."""
    assert moving_averages([3.0], 0.98) == pytest.approx([3.0])
    assert moving_averages([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 3) / 0.75])
    assert moving_averages([1.0, 2.0, 5.0], 0.0) == [1.0, 2.0, 5.0]


@pytest.mark.parametrize(
    ("smoothed", "ended"),
    [([1.0, 0.5, 2.0], False), ([1.0, 0.5, 2.1], True), ([-1.0, -2.0, 3.0], False), ([-1.0, -2.0, 4.1], True)],
)
def test_running_away(smoothed, ended):
    """4 times the lowest, as in fast.ai; for losses below 0 the same distance in their size."""
    assert runs_away(smoothed, 4.0) is ended


def test_a_loss_that_is_no_number_ends_the_test(bundle, task):
    """Fails if NaN is drawn, or raises as it does in training."""

    class Breaking(nn.Linear):
        def forward(self, x):
            self.steps = getattr(self, "steps", 0) + 1
            return super().forward(x) * (math.nan if self.steps > 5 else 1.0)

    curve = zoo.find_lr(Breaking(6, 3), bundle, task=task, num_steps=10, **QUIET)
    assert curve.diverged
    assert len(curve.losses) == 5


def test_phases_are_chosen():
    """Fails if both players' rates rise, or the loss of the other is watched."""
    from vision.generation.dcgan import dcgan
    from vision.generation.task import ImageGeneration

    torch.manual_seed(0)
    images = torch.rand(12, 1, 16, 16) * 2 - 1
    faces = Bundle(
        train=ArraySource(images), validation=None, task="vision/generation", kind=None, input_shape=(1, 16, 16),
        fingerprint="noise",
    )  # fmt: skip
    model = dcgan(image_size=16, channels=1, latent_dim=6, generator_width=4, discriminator_width=4)
    task = ImageGeneration.from_bundle(faces, critic_steps=2)
    options = {"num_steps": 4, "batch_size": 6, **QUIET}
    with pytest.raises(ValueError, match="phases discriminator, generator: pass one"):
        zoo.find_lr(model, faces, task=task, **options)
    with pytest.raises(ValueError, match="phases discriminator, generator: pass one"):
        zoo.find_lr(model, faces, task=task, phase="train", **options)
    curve = zoo.find_lr(model, faces, task=task, phase="generator", start=1e-12, end=1e-11, **options)
    assert len(curve.losses) == 4
    assert len(set(curve.losses)) > 1  # the discriminator learns at the recipe's rate


def test_acting_is_refused():
    with pytest.raises(ValueError, match="learns by acting"):
        zoo.find_lr("dqn", "CartPole-v1", **QUIET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.0}, "rise from above 0"),
        ({"start": 1.0, "end": 0.1}, "rise from above 0"),
        ({"num_steps": 2}, "at least 3"),
        ({"num_steps": 0}, "at least 3"),
        ({"smoothing": 1.0}, r"\[0, 1\)"),
        ({"divergence": 1.0}, "above 1"),
        ({"phase": "teacher"}, "phases train"),
    ],
)
def test_values_are_checked(bundle, task, options, message):
    with pytest.raises(ValueError, match=message):
        zoo.find_lr(nn.Linear(6, 3), bundle, task=task, **options, **QUIET)


def test_misspelt_options_are_named(bundle, task):
    with pytest.raises(UnknownArgumentError, match="'num_steps'"):
        zoo.find_lr(nn.Linear(6, 3), bundle, task=task, num_step=5)


def test_an_error_gives_the_generators_back(bundle, task):
    """Fails if what is borrowed is given back only where all went well."""
    model, state = Everything(), random_state()
    with pytest.raises(ValueError, match="phases"):
        zoo.find_lr(model, bundle, task=task, phase="teacher", **QUIET)
    assert same(random_state(), state)


# -- By name, on every kind of data, from the command line


def texts(folder: Path) -> Path:
    lines = [f"{'good fine glad' if row % 2 else 'bad sad grim'} number {row},{row % 2}" for row in range(40)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]))
    return folder / "texts.csv"


def table(folder: Path) -> Path:
    draw = np.random.default_rng(0).normal(size=(60, 3))
    rows = [f"{a:.3f},{b:.3f},{a - 2 * b + 0.1 * c:.3f}" for a, b, c in draw]
    (folder / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    return folder / "table.csv"


@pytest.mark.parametrize(
    ("model", "data", "options"),
    [
        ("lstm_classifier", texts, {}),
        ("table_mlp", table, {"data_options": {"target": "y"}}),
        ("table_mlp", table, {"data_options": {"target": "y"}, "optimizer": "lbfgs", "weight_decay": 0.0}),
    ],
    ids=["texts", "table", "table-lbfgs"],
)
def test_other_kinds_of_data(tmp_path: Path, model: str, data, options) -> None:
    """Fails if the search asks for more of a task than training does."""
    state = random_state()
    curve = zoo.find_lr(model, data(tmp_path), num_steps=8, start=1e-5, end=0.1, batch_size=16, **options, **QUIET)
    assert len(curve.losses) == len(curve.smoothed) >= 3
    assert same(random_state(), state)


def test_the_command_suggests_and_draws(photos: Path, tmp_path: Path) -> None:
    """Fails if an option does not reach the search, or the picture is not written."""
    out = tmp_path / "curve.png"
    command = ["find-lr", "resnet20_cifar", "--data", str(photos), "--steps", "6", "--out", str(out), "--json"]
    command += ["--start", "1e-5", "--end", "1", "--data-set", "size=32", "--set", "accelerator=cpu"]
    done = CliRunner().invoke(app, [*command, "--set", "precision=bf16-mixed", "--batch-size", "8"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rates"][0] == pytest.approx(1e-5)
    assert found["suggestion"] is None or found["suggestion"] == pytest.approx(found["lowest"] / 10)
    assert out.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "end=3"), "that is given by --end"),
        (("--set", "emma=3"), "Did you mean 'ema'"),
        (("--set", "ema=abc"), "ema must be float | None"),
        (("--out", "nowhere/a.png"), "There is no directory nowhere"),
    ],
)
def test_mistakes_name_the_remedy(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(app, ["find-lr", "resnet20_cifar", "--data", "photos", *arguments])
    assert done.exit_code == 2
    assert words in done.stderr


def test_schedules_are_drawn(tmp_path: Path) -> None:
    """Fails if options do not reach the schedule, or one that follows validation is drawn as a flat line."""
    out = tmp_path / "a.png"
    arguments = ["show-schedule", "cosine_restarts", "--steps", "50", "--set", "num_cycles=3", "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert out.read_bytes()[:4] == b"\x89PNG"
    for changed, words in (
        (["cosine_restarts", "--set", "num_cycle=3"], "Did you mean 'num_cycles'"),
        (["cosin"], "Did you mean 'cosine'"),
        (["plateau"], "nothing to draw"),
    ):
        done = CliRunner().invoke(app, ["show-schedule", *changed, "--out", str(tmp_path / "b.png")])
        assert done.exit_code == 2
        assert words in done.stderr
