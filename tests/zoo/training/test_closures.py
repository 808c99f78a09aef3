"""Second-order optimizers through the phases: what they see, what they refuse, that they resume exactly."""

import copy
import dataclasses
import os
import signal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.optim import make_optimizer
from zoo.training import Callback, Engine, Phase, Recipe, Share, load_run, run_step

QUIET = {"progress": False, "accelerator": "cpu", "weight_decay": 0.01}


class Stop(Callback):
    """Interrupts after a number of steps, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.position.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class Dropping(nn.Module):
    """Dropout and batch statistics, which make a loss that is not evaluated with the same draws another function."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(F.dropout(F.gelu(self.norm(self.first(x))), 0.2, self.training))


def batches(number=3, rows=20):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(rows, 6, generator=generator), torch.randint(0, 3, (rows,), generator=generator))
        for _ in range(number)
    ]


def one_phase(model, name, **options):
    optimizer = make_optimizer(name, model.parameters(), **options)
    return Phase(
        name="train", module=model, optimizer=optimizer,
        losses=lambda batch: {"loss": F.cross_entropy(model(batch[0]), batch[1])},
    )  # fmt: skip


def test_lbfgs_in_a_phase_is_lbfgs_alone():
    """Fails if a gradient is left from the evaluation before, or a step is taken beside the search."""
    own, bare = (nn.Linear(6, 3) for _ in range(2))
    bare.load_state_dict(own.state_dict())
    phase = one_phase(own, "lbfgs", lr=1.0, max_iter=8)
    reference = torch.optim.LBFGS(bare.parameters(), lr=1.0, max_iter=8, history_size=10, line_search_fn="strong_wolfe")
    for step, (x, y) in enumerate(batches()):
        logs = run_step([phase], [(x, y)], step=step, engine=Engine(Recipe(accelerator="cpu")))

        def closure(x=x, y=y):
            reference.zero_grad()
            loss = F.cross_entropy(bare(x), y)
            loss.backward()
            return loss

        first = reference.step(closure)
        torch.testing.assert_close(logs["loss"], first.detach())
        torch.testing.assert_close(own.weight, bare.weight)
    assert own.weight.grad is None


def test_several_batches_are_one_function():
    """Fails if the search sees the last batch alone, or weights a short batch as a full one."""
    x, y = batches(1, rows=30)[0]
    whole, parts = nn.Linear(6, 3), nn.Linear(6, 3)
    parts.load_state_dict(whole.state_dict())
    engine = Engine(Recipe(accelerator="cpu"))
    run_step([one_phase(whole, "lbfgs", lr=1.0)], [(x, y)], step=0, engine=engine)
    split = list(zip(x.split(20), y.split(20), strict=True))
    shares = [Share(2 / 3, 2 / 3), Share(1 / 3, 1 / 3)]
    run_step([one_phase(parts, "lbfgs", lr=1.0)], split, step=0, engine=engine, shares=shares)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-3, atol=1e-4)


def test_every_evaluation_draws_alike():
    """Fails if dropout differs from one evaluation to the next, or the generator is moved on once for each."""
    model = Dropping()
    seen = []
    phase = one_phase(model, "lbfgs", lr=1.0, max_iter=5)
    original = phase.losses
    phase.losses = lambda batch: seen.append(torch.get_rng_state()) or original(batch)
    torch.manual_seed(3)
    run_step([phase], batches(1), step=0, engine=Engine(Recipe(accelerator="cpu")))
    assert len(seen) > 2
    assert all(torch.equal(state, seen[0]) for state in seen)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    Dropping.forward(model.train(), batches(1)[0][0])
    assert torch.equal(after, torch.get_rng_state())


def test_adahessian_with_clipping_keeps_its_curvature():
    """Fails if the gradient's clipping reaches the curvature, or the graph behind the gradients is kept."""
    model = nn.Linear(6, 3)
    phase = one_phase(model, "adahessian", lr=0.1)
    free = copy.deepcopy(model)
    bare = one_phase(free, "adahessian", lr=0.1)
    phase.clip_norm = 1e-3
    engine = Engine(Recipe(accelerator="cpu"))
    for one in (phase, bare):
        torch.manual_seed(0)
        run_step([one], batches(1), step=0, engine=engine)
    states = [one.optimizer.state[one.module.weight] for one in (phase, bare)]
    torch.testing.assert_close(states[0]["square"], states[1]["square"])
    assert states[0]["mean"].norm() < states[1]["mean"].norm() / 10
    assert model.weight.grad is None


def test_adahessian_differentiates_attention_twice():
    """Fails if attention takes a kernel whose gradient has none."""

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(6, 12)

        def forward(self, x):
            heads = self.project(x).view(1, 2, -1, 6)
            return F.scaled_dot_product_attention(heads, heads, heads).reshape(len(x), 12)[:, :3]

    model = Attending()
    before = model.project.weight.detach().clone()
    run_step([one_phase(model, "adahessian", lr=0.1)], batches(1), step=0, engine=Engine(Recipe(accelerator="cpu")))
    assert model.project.weight.isfinite().all()
    assert not torch.equal(model.project.weight, before)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("name", "lr"), [("lbfgs", 0.5), ("adahessian", 0.1)])
def test_training_learns_and_resumes_exactly(tmp_path, bundle, task, name, lr, precision):
    """Fails if curvatures, directions or generators are lost in the middle of an epoch."""
    options = {
        **QUIET, "optimizer": name, "lr": lr, "epochs": 3, "batch_size": 16, "precision": precision, "accumulate": 2,
        "schedule": "constant", "ema": 0.5,
    }  # fmt: skip
    if name == "lbfgs":
        options["optimizer_options"] = {"max_iter": 4}
    whole = zoo.train(Dropping(), bundle, task=task, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt, match="zoo resume"):
        zoo.train(Dropping(), bundle, task=task, out=tmp_path / "broken", callbacks=[Stop(4)], **options)
    resumed = load_run(tmp_path / "broken", model=Dropping(), data=bundle).resume(progress=False)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    losses = [record["train_loss"] for record in whole.history]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lbfgs", "precision": "16-mixed"}, "lbfgs cannot take scaled gradients"),
        ({"optimizer": "adahessian", "precision": "16-mixed"}, "adahessian cannot take scaled gradients"),
        ({"optimizer": "lbfgs", "parallel": "fsdp"}, "whole parameters"),
        ({"optimizer": "lbfgs", "clip_norm": 1.0}, "leave clip_norm out"),
        ({"optimizer": "lbfgs", "l2": 0.1}, "weight_decay"),
        ({"optimizer": "adahessian", "compile": True}, "compile=False"),
        ({"optimizer": "lbfgs", "schedule": "one_cycle"}, "cycle_momentum=False"),
        ({"optimizer": "timm:kron"}, "no checkpoint holds"),
        ({"schedule": "plateau"}, "no validation data"),
    ],
)
def test_what_cannot_be_is_said_before_a_directory_is_made(tmp_path, bundle, task, options, message):
    if options.get("schedule") == "plateau":
        bundle = dataclasses.replace(bundle, validation=None)
    with pytest.raises(ValueError, match=message):
        zoo.train(Dropping(), bundle, task=task, out=tmp_path / "run", **{**QUIET, **options})
    assert not (tmp_path / "run").exists()


def test_lbfgs_refuses_rates_that_differ(tmp_path, bundle, task):
    with pytest.raises(ValueError, match="body_lr_ratio=1"):
        zoo.fine_tune(
            Dropping(), bundle, task=task, weights=None, out=tmp_path / "run", optimizer="lbfgs", schedule="constant",
            strategy="full", **QUIET,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stop", [7, 13])
def test_a_plateau_resumes_exactly(tmp_path, bundle, task, stop):
    """Fails if the level, the best value or the count is not in the checkpoint, or a warm-up ignores the level."""
    options = {
        **QUIET, "optimizer": "timm:nadamw", "lr": 0.05, "epochs": 8, "batch_size": 16, "schedule": "plateau",
        "schedule_options": {"patience": 0, "factor": 0.5, "threshold": 0.2, "metric": "loss", "mode": "min"},
        "warmup_steps": 3,
    }  # fmt: skip
    whole = zoo.train(Dropping(), bundle, task=task, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        zoo.train(Dropping(), bundle, task=task, out=tmp_path / "broken", callbacks=[Stop(stop)], **options)
    resumed = load_run(tmp_path / "broken", model=Dropping(), data=bundle).resume(progress=False)
    saved = [torch.load(tmp_path / run / "checkpoints" / "last.pt", weights_only=True) for run in ("whole", "broken")]
    assert saved[0]["schedule"] == saved[1]["schedule"]
    assert saved[0]["schedule"]["level"] < 1
    assert saved[0]["history"] == saved[1]["history"]
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
