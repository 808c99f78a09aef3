"""The loop, its phases and its callbacks."""

import copy
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import zoo
from vision.classification.task import ImageClassification
from zoo.data import ArraySource, Bundle, DatasetSource
from zoo.errors import NonFiniteLossError, RunError, UnknownArgumentError
from zoo.optim import make_schedule
from zoo.training import Callback, Engine, Phase, Recipe, Share, Stage, Trainer, run_step
from zoo.training.checkpoint import random_state
from zoo.training.stages import ActiveStage


def fit(model, task, bundle, *, directory=None, callbacks=(), **options):
    stage_options = {key: options.pop(key) for key in ("epochs", "lr", "schedule", "trainable") if key in options}
    recipe = Recipe(stages=(Stage(**{"epochs": 3, **stage_options}),), accelerator="cpu", **options)
    trainer = Trainer(
        model=model, task=task, train=bundle.train, validation=bundle.validation, recipe=recipe, directory=directory,
        callbacks=callbacks, progress=False,
    )  # fmt: skip
    trainer.fit()
    return trainer


def test_it_learns(model, task, bundle):
    trainer = fit(model, task, bundle, epochs=30, lr=0.02, batch_size=16)
    assert trainer.history[-1]["accuracy"] >= 0.9
    assert trainer.history[-1]["train_loss"] < 0.3 * trainer.history[0]["train_loss"]


def test_equals_a_bare_loop(model, task, bundle):
    """Fails if the trainer steps twice, forgets to clear gradients, or shuffles otherwise than it says."""
    bare = copy.deepcopy(model)
    fit(model, task, bundle, epochs=2, lr=0.1, optimizer="sgd", weight_decay=0.0, schedule="constant", batch_size=16)
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    for epoch in range(2):
        for x, y in bundle.train.batches(batch_size=16, shuffle=True, seed=0, epoch=epoch):
            optimizer.zero_grad()
            F.cross_entropy(bare(x), y).backward()
            optimizer.step()
    for ours, theirs in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("class_weights", [None, (1.0, 5.0, 0.5)])
def test_accumulated_batches_equal_one_large_batch(model, task, bundle, class_weights):
    """Fails if each small batch counts the same: the last of 2 rows and the class weights would count too much.

    72 rows in batches of 20 leave 12, which are 5 and 5 and 2.
    """
    task = ImageClassification(classes=bundle.classes, class_weights=class_weights)
    other = copy.deepcopy(model)
    assert len(bundle.train) == 72
    options = {"epochs": 2, "lr": 0.1, "optimizer": "sgd", "schedule": "constant"}
    small = fit(model, task, bundle, batch_size=5, accumulate=4, **options)
    large = fit(other, task, bundle, batch_size=20, **options)
    assert small.position.step == large.position.step
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    for first, second in zip(small.history, large.history, strict=True):
        assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-6)
        assert first["train_accuracy"] == pytest.approx(second["train_accuracy"], abs=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping_bounds_the_norm_of_all_gradients_together(model, task, bundle, precision, accumulate):
    """Fails if gradients are not clipped, are clipped one by one or batch by batch, or before they are unscaled."""
    before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    options = {"optimizer": "sgd", "lr": 1.0, "schedule": "constant", "weight_decay": 0.0, "epochs": 1}
    fit(
        model, task, bundle, max_steps=1, batch_size=16, clip_norm=0.01, precision=precision, accumulate=accumulate,
        **options,
    )  # fmt: skip
    after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns(model, task, bundle, precision):
    trainer = fit(model, task, bundle, epochs=20, lr=0.02, precision=precision, clip_norm=1.0)
    assert trainer.history[-1]["accuracy"] >= 0.85
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_float16_skips_a_step_that_overflows(model, task, bundle):
    """Fails if the gradient scaler is not used: the huge gradient would make the weights infinite."""
    bundle.train.tensors[0][3] = 6e4
    trainer = fit(model, task, bundle, epochs=2, precision="16-mixed", lr=1e-3)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert trainer.engine.scaler is not None


def test_compiled_model_learns(model, task, bundle):
    eager = copy.deepcopy(model)
    fit(model, task, bundle, epochs=1, compile=True)
    fit(eager, task, bundle, epochs=1)
    assert list(model.state_dict()) == list(eager.state_dict())
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_nothing_of_the_callers_changes(model, task, bundle):
    """Fails if fit leaves its seed, its frozen parameters or its signal handlers behind."""
    before, handler = random_state(), signal.getsignal(signal.SIGINT)
    fit(model, task, bundle, trainable=1, epochs=1)
    assert torch.equal(before["torch"], random_state()["torch"])
    assert before["python"][2] == random_state()["python"][2]
    assert torch.equal(before["python"][1], random_state()["python"][1])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert signal.getsignal(signal.SIGINT) is handler


def test_only_the_head_changes_when_the_body_is_frozen(task, bundle):
    """Fails if BatchNorm statistics of a frozen body move, or its parameters do."""
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    before = copy.deepcopy(model.state_dict())
    fit(model, task, bundle, trainable=1, epochs=2)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"3.weight", "3.bias"}


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(model, task, bundle, tmp_path):
    class Poison(Callback):
        def on_step_end(self, trainer):
            if trainer.position.step == 7:
                with torch.no_grad():
                    next(trainer.model.parameters()).fill_(float("nan"))

    with pytest.raises(NonFiniteLossError, match="step 7 is nan"):
        fit(
            model, task, bundle, epochs=5, batch_size=16, directory=tmp_path, callbacks=[Poison()],
            checkpoint_every_steps=6,
        )  # fmt: skip
    kept = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    assert kept["position"]["step"] == 6
    assert all(value.isfinite().all() for value in kept["model"].values())


def test_early_stopping_keeps_the_best_weights(model, task, bundle, tmp_path):
    """Fails if the last weights are kept, or the patience is not counted from the best epoch."""

    class Sabotage(Callback):
        def on_log(self, trainer, record):
            if record["event"] == "epoch" and record["epoch"] >= 4:
                with torch.no_grad():
                    trainer.model[2].weight.zero_()

    trainer = fit(
        model, task, bundle, epochs=50, lr=0.05, patience=3, directory=tmp_path, callbacks=[Sabotage()], batch_size=16
    )
    accuracies = [record["accuracy"] for record in trainer.history]
    best = int(np.argmax(accuracies))
    assert len(accuracies) == best + 1 + 3
    zoo.training.run.load_into(model, tmp_path / "model.safetensors")
    assert trainer.task.monitor == "accuracy"
    outputs = model(bundle.validation.tensors[0]).argmax(1)
    assert (outputs == bundle.validation.tensors[1]).float().mean().item() == pytest.approx(max(accuracies))


def test_of_equal_accuracies_the_lowest_loss_is_kept(model, task, bundle, tmp_path):
    """Fails if the first perfect epoch is kept although later ones are surer."""
    trainer = fit(model, task, bundle, epochs=12, lr=0.02, batch_size=16, directory=tmp_path)
    best = max(record["accuracy"] for record in trainer.history)
    equal = [record["loss"] for record in trainer.history if record["accuracy"] == best]
    assert len(equal) > 1
    assert min(equal) < equal[0]
    zoo.training.run.load_into(model, tmp_path / "model.safetensors")
    values, _ = zoo.training.evaluate(model, task, bundle.validation.batches(batch_size=64))
    assert values["loss"] == pytest.approx(min(equal), abs=1e-6)


def test_max_steps_and_schedule(model, task, bundle):
    rates = []

    class Watch(Callback):
        def on_step_end(self, trainer):
            rates.append(trainer.phases[0].optimizer.param_groups[0]["lr"])

    fit(model, task, bundle, epochs=10, lr=1.0, optimizer="sgd", max_steps=7, batch_size=16, callbacks=[Watch()])
    expected = make_schedule("cosine", total_steps=7)
    assert rates == pytest.approx([expected.lr_factor(step) for step in range(7)])


def test_two_phases_change_only_their_own_module():
    """Fails if the generator's step moves the critic, or `every` is ignored."""
    torch.manual_seed(0)
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    seen = []

    def losses(name, sign):
        def compute(batch):
            seen.append((name, next(critic.parameters()).requires_grad, next(generator.parameters()).requires_grad))
            return {"loss": sign * critic(generator(batch)).mean()}

        return compute

    phases = [
        Phase("critic", critic, torch.optim.SGD(critic.parameters(), 0.1), losses("critic", 1)),
        Phase("generator", generator, torch.optim.SGD(generator.parameters(), 0.1), losses("generator", -1), every=2),
    ]
    engine = Engine(Recipe(accelerator="cpu"))
    before = copy.deepcopy((generator.state_dict(), critic.state_dict()))
    logs = run_step(phases, [torch.randn(4, 2)], step=1, engine=engine)
    assert set(logs) == {"critic/loss"}
    assert torch.equal(generator.weight, before[0]["weight"])
    assert not torch.equal(critic.weight, before[1]["weight"])
    logs = run_step(phases, [torch.randn(4, 2)], step=2, engine=engine)
    assert set(logs) == {"critic/loss", "generator/loss"}
    assert not torch.equal(generator.weight, before[0]["weight"])
    assert seen == [("critic", True, False), ("critic", True, False), ("generator", False, True)]
    assert all(parameter.requires_grad for module in (generator, critic) for parameter in module.parameters())


def test_moving_average_by_hand(model, task, bundle):
    """Fails if the average is taken before the step, or the ramp of the decay is left out."""
    snapshots = [copy.deepcopy(model.state_dict())]

    class Watch(Callback):
        def on_step_end(self, trainer):
            snapshots.append(copy.deepcopy(trainer.model.state_dict()))

    trainer = fit(model, task, bundle, epochs=1, batch_size=16, ema=0.5, callbacks=[Watch()])
    average = snapshots[0]["0.weight"].double()
    for index, snapshot in enumerate(snapshots[1:]):
        decay = min(0.5, (1 + index) / (10 + index))
        average = decay * average + (1 - decay) * snapshot["0.weight"].double()
    torch.testing.assert_close(trainer.callbacks[0].average["0.weight"].double(), average, rtol=0, atol=1e-6)


def test_moving_average_follows_weights_that_change_their_memory_format(task):
    """Fails if the average keeps references to the tensors that the model had before `channels_last` replaced them."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    before = model[0].weight.detach().clone()
    source = ArraySource(torch.randn(32, 1, 4, 4), torch.arange(32) % 3)
    recipe = Recipe(ema=0.0, channels_last=True, batch_size=16, accelerator="cpu")
    trainer = Trainer(model=model, task=task, train=source, recipe=recipe, progress=False)
    trainer.fit()
    assert not torch.equal(model[0].weight, before)
    assert torch.equal(trainer.callbacks[0].average["0.weight"], model[0].weight)


def test_log_files(model, task, bundle, tmp_path):
    fit(model, task, bundle, epochs=2, directory=tmp_path, log_every_steps=2, batch_size=16, tensorboard=True)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["event"] for record in records].count("epoch") == 2
    assert records[-1]["event"] == "end"
    rows = (tmp_path / "epochs.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "accuracy" in rows[0]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_last_batch_of_one_row_is_left_out(task):
    """Fails where BatchNorm meets a single row."""
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    source = ArraySource(torch.randn(33, 6), torch.arange(33) % 3)
    trainer = Trainer(
        model=model, task=task, train=source, recipe=Recipe(batch_size=16, accelerator="cpu"), progress=False
    )
    trainer.fit()
    assert trainer.position.step == 2


@pytest.mark.parametrize(("rows", "last"), [(64, False), (65, True), (66, True), (67, True), (68, False), (3, False)])
def test_no_process_gets_a_last_batch_of_one_row(model, rows, last):
    """Fails if only the rows of all processes together are counted: of 67 in batches of 2 x 16, one process gets 1."""
    stage = ActiveStage(
        model=model, module=model, modules={}, phases=[], train=ArraySource(torch.zeros(rows)), validation=None,
        recipe=Recipe(batch_size=16), engine=SimpleNamespace(world_size=2), num_workers=0, first_epoch=0,
    )  # fmt: skip
    assert stage.drop_last is last


def test_shares_are_numbers_of_the_host_where_nothing_else_is_needed(model, task, bundle):
    """Fails if each accumulated step copies numbers to the device, which has to wait for it."""
    trainer = Trainer(model=model, task=task, train=bundle.train, recipe=Recipe(accelerator="cpu"), progress=False)
    rows, shares = trainer._shares([(torch.zeros(6, 6), torch.zeros(6)), (torch.zeros(2, 6), torch.zeros(2))])
    assert (rows, shares) == (8, [Share(0.75, 0.75), Share(0.25, 0.25)])
    assert all(type(number) is float for share in shares for number in (share.loss, share.rows))


def test_the_schedule_of_a_phase_that_rests_is_followed_to_its_end(model, task, bundle):
    """Fails if turns are counted in place of steps: a phase with every=2 would stop half way through its schedule."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = make_schedule("cosine", total_steps=10)
    phase = Phase("train", model, optimizer, lambda batch: task.losses(model, batch), every=2, schedule=schedule)
    batch = next(iter(bundle.train.batches(batch_size=8)))
    for step in range(10):
        run_step([phase], [batch], step=step, engine=Engine(Recipe(accelerator="cpu")))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule.lr_factor(8))


def test_workers_are_those_that_the_data_ask_for(model, task):
    """Fails if the recipe's default overrules the data: `num_workers` of a reader would do nothing."""
    asked = []

    class Watched(DatasetSource):
        def _read_by_workers(self, requests, num_workers):
            asked.append(num_workers)
            return super()._read_here(requests)

    data = TensorDataset(torch.randn(20, 6), torch.arange(20) % 3)
    for chosen in (None, 3, 0):
        recipe = Recipe(num_workers=chosen, accelerator="cpu")
        Trainer(model=model, task=task, train=Watched(data, num_workers=2), recipe=recipe, progress=False).fit()
    assert asked == [2, 3]


def test_predictions_leave_every_mode_as_it_was(task):
    """Fails if a prediction in the middle of training wakes the BatchNorm of a frozen body."""
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model[1].eval()
    task.predict(model, torch.zeros(2, 6))
    assert [module.training for module in model] == [True, False, True]


def test_a_run_is_never_overwritten(model, bundle, tmp_path):
    task = ImageClassification.from_bundle(bundle)
    zoo.train(model, bundle, task=task, epochs=1, out=tmp_path / "run", progress=False, accelerator="cpu")
    held = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(RunError, match="zoo resume"):
        zoo.train(model, bundle, task=task, epochs=1, out=tmp_path / "run", progress=False, accelerator="cpu")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not an empty directory"):
        zoo.train(model, bundle, task=task, epochs=1, out=tmp_path / "other", progress=False, accelerator="cpu")
    assert (tmp_path / "run" / "config.json").read_bytes() == held


def test_wrong_options_are_refused_at_the_door(model, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = ImageClassification.from_bundle(bundle)
    with pytest.raises(UnknownArgumentError, match="'batch_size'"):
        zoo.train(model, bundle, task=task, batchsize=8)
    with pytest.raises(ValueError, match="bf16-mixed"):
        zoo.train(model, bundle, task=task, precision="bf16")
    with pytest.raises(RunError, match="not a run directory"):
        zoo.load_run(tmp_path)
    assert not list(Path(tmp_path).iterdir())


def test_without_validation_the_last_weights_are_kept(model, tmp_path):
    bundle = Bundle.from_arrays(torch.randn(20, 6), torch.arange(20) % 3, task="vision/classification", validation=0.0)
    task = ImageClassification.from_bundle(bundle)
    run = zoo.train(model, bundle, task=task, epochs=2, out=tmp_path / "run", progress=False, accelerator="cpu")
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["model"]
    assert all(torch.equal(saved[name], value) for name, value in run.model.state_dict().items())
    with pytest.raises(ValueError, match="patience"):
        zoo.train(model, bundle, task=task, epochs=2, out=tmp_path / "two", patience=2, accelerator="cpu")
