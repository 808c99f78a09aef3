"""The search for a batch size: real memory of the process, and nothing changed."""

import copy
import json

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import zoo
from vision.classification.task import ImageClassification
from zoo.cli import app
from zoo.data import Bundle
from zoo.errors import UnknownArgumentError
from zoo.training.batch_size import GIB, PeakMemory, Trial, _must_exceed

CPU = torch.device("cpu")
OPTIONS = {"accelerator": "cpu", "weight_decay": 0.0}


class Wide(nn.Module):
    """Keeps some 5 MB a row for the backward pass, and has next to no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.repeat(1, 100_000).tanh().tanh()  # [B, 600 000]
        return self.head(wide.unflatten(1, (-1, 6)).mean(1))


@pytest.fixture
def rows() -> Bundle:
    """256 rows for training."""
    torch.manual_seed(0)
    return Bundle.from_arrays(torch.randn(256, 6), torch.arange(256) % 3, task="vision/classification", validation=0.0)


def peak_of(model: nn.Module, bundle: Bundle, size: int) -> float:
    memory = PeakMemory(CPU)
    memory.reset()
    zoo.training.Trainer(
        model=copy.deepcopy(model), task=ImageClassification.from_bundle(bundle), train=bundle.train, progress=False,
        recipe=zoo.training.Recipe(batch_size=size, max_steps=3, **OPTIONS),
    ).fit()  # fmt: skip
    return memory.read()


def test_the_size_fits_and_its_double_does_not(rows):
    """Fails if another memory is measured than training takes, or the search stops early. Measured anew beside it."""
    model, task = Wide(), ImageClassification.from_bundle(rows)
    limit = peak_of(model, rows, 2) + 0.12
    found = zoo.find_batch_size(model, rows, task=task, memory_gib=limit, **OPTIONS)
    assert found.ended_by == "memory"
    assert found.batch_size in (8, 16, 32)
    assert peak_of(model, rows, found.batch_size) < limit + 0.02
    assert peak_of(model, rows, 2 * found.batch_size) > limit
    assert [trial.batch_size for trial in found.trials] == [2 * 2**index for index in range(len(found.trials))]
    assert max(trial.memory_gib for trial in found.trials if trial.fits) <= limit
    assert "too many" in found.describe()


def test_nothing_of_the_callers_changes(rows):
    model, task = Wide().train(), ImageClassification.from_bundle(rows)
    model.head.bias.requires_grad_(False)
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = zoo.find_batch_size(model, rows, task=task, memory_gib=64, largest=8, **OPTIONS)
    assert (found.batch_size, found.ended_by) == (8, "rows")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training
    assert not model.head.bias.requires_grad
    assert model.head.weight.grad is None


def test_no_more_rows_than_there_are(model, task, bundle):
    """72 rows: the last trial takes them all."""
    found = zoo.find_batch_size(model, bundle, task=task, memory_gib=64, start=16, accelerator="cpu")
    assert [trial.batch_size for trial in found.trials] == [16, 32, 64, 72]


def test_the_peak_is_that_of_the_process():
    """Fails if what was freed again is not seen, or an older peak is."""
    memory = PeakMemory(CPU)
    torch.ones(GIB // 8).sum()  # half a GiB
    memory.reset()
    before = memory.read()
    torch.ones(GIB // 16).sum()  # a quarter
    assert 0.2 < memory.read() - before < 0.3


def test_a_size_that_must_exceed_the_limit_is_not_tried():
    """Fails if a CPU's memory is filled to find its end: 2 and 4 rows take 1.2 and 1.4 GiB, so 8 take 1.8."""
    trials = [
        Trial(batch_size=size, memory_gib=memory, seconds=1.0, fits=True) for size, memory in ((2, 1.2), (4, 1.4))
    ]
    assert _must_exceed(trials, 8, 1.79)
    assert not _must_exceed(trials, 8, 1.81)
    assert not _must_exceed(trials[:1], 4, 1.2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "give memory_gib"),
        ({"memory_gib": 0.01}, ValueError, "Not even 2 rows"),
        ({"memory_gib": 1, "start": 0}, ValueError, "start is 0"),
        ({"memory_gib": 1, "devices": 2}, ValueError, "devices=1"),
        ({"memory": 1}, UnknownArgumentError, "memory_gib"),
    ],
)
def test_mistakes_are_named(model, task, bundle, options, error, message):
    with pytest.raises(error, match=message):
        zoo.find_batch_size(model, bundle, task=task, accelerator="cpu", **options)


def test_what_learns_by_acting_is_refused():
    with pytest.raises(ValueError, match="learns by acting"):
        zoo.find_batch_size("dqn", "CartPole-v1", memory_gib=64, accelerator="cpu")


def test_command(photos):
    arguments = ["find-batch-size", "resnet20_cifar", "--data", str(photos), "--from-scratch", "--memory", "64"]
    done = CliRunner().invoke(app, [*arguments, "--largest", "4", "--set", "accelerator=cpu", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["batch_size"], found["limit_gib"]) == (4, 64)
    assert [trial["batch_size"] for trial in found["trials"]] == [2, 4]
