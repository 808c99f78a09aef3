"""Options of training: the user's, else the entry's, the task's, the defaults; weights of parts; runs compared."""

import json
from collections.abc import Iterator

import pytest
import torch
from torch import nn

import zoo
from vision.classification.task import ImageClassification
from zoo.data import Bundle
from zoo.errors import DataError, RunError
from zoo.heads import parts_above_body
from zoo.records import Catalog, Entry
from zoo.registry import registry
from zoo.training import compare, load_run
from zoo.training.choices import TRAINING, chosen_options, part_weights
from zoo.training.surgery import layer_groups

QUIET = {"progress": False, "accelerator": "cpu"}


class Composite(nn.Module):
    """A body that may have trained weights, and a head beside it."""

    body = "backbone.body"

    def __init__(self, *, num_classes: int = 3, body_weights: str | None = None) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"body": nn.Linear(6, 8), "neck": nn.Linear(8, 8)})
        self.head = nn.Linear(8, num_classes)
        self.scale = nn.Parameter(torch.ones(1))
        if body_weights is not None:
            nn.init.constant_(self.backbone["body"].weight, 0.25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone["neck"](self.backbone["body"](x).relu())) * self.scale


ENTRY = Entry(
    name="composite_for_tests",
    task="vision/classification",
    builder=Composite,
    summary="Body and head.",
    task_options={"label_smoothing": 0.1},
    recipe={"lr": 0.02, "epochs": 2, "optimizer": "momentum", "optimizer_options": {"momentum": 0.5}, "batch_size": 16},
    weight_arguments={"body_weights": "default"},
)


@pytest.fixture
def entry() -> Iterator[Entry]:
    registry().add(Catalog(models=(ENTRY,)))
    yield ENTRY
    del registry().models[ENTRY.name]


def chosen(**given):
    return chosen_options(given, model=ENTRY.name, task=None, data="somewhere", defaults=TRAINING)


def test_the_user_goes_over_the_entry_over_the_defaults(entry):
    """Fails if a paper's rate replaces the one that the user gave, or the default replaces the paper's."""
    found = chosen(lr=None, epochs=7)
    assert (found["lr"], found["epochs"], found["schedule"]) == (0.02, 7, "cosine")


def test_another_optimizer_does_not_inherit_options(entry):
    """Fails if Adam is given the momentum that the entry gives SGD."""
    assert chosen()["optimizer_options"] == {"momentum": 0.5}
    assert "optimizer_options" not in chosen(optimizer="adamw")
    assert chosen(optimizer="adamw", optimizer_options={"eps": 1.0})["optimizer_options"] == {"eps": 1.0}


def test_options_of_the_task(monkeypatch):
    """Fails if what a kind of problem needs is lost, or goes over what the user gives."""
    monkeypatch.setattr(ImageClassification, "recipe", {"clip_norm": 1.0, "epochs": 3})
    options = {"model": nn.Linear(1, 1), "task": "vision/classification", "data": "somewhere", "defaults": TRAINING}
    assert chosen_options({}, **options)["clip_norm"] == 1.0
    assert chosen_options({"clip_norm": None}, **options)["clip_norm"] is None
    assert chosen_options({"epochs": 4}, **options)["epochs"] == 4
    assert chosen_options({}, **options)["epochs"] == 3


def test_part_weights_are_for_fine_tuning_only(entry):
    """Fails if fine-tuning starts from random weights unasked, or a file of whole weights is left aside."""
    assert part_weights(ENTRY.name, "default") == (None, {"body_weights": "default"})
    assert part_weights(ENTRY.name, None) == (None, {})
    assert part_weights(ENTRY.name, "weights.pth") == ("weights.pth", {})
    assert part_weights("resnet18", "default") == ("default", {})
    assert part_weights("lstm_classifier", "default") == ("default", {})  # word vectors are for the user to name


def test_a_run_uses_what_the_entry_says_and_opens_without_part_weights(entry, bundle, tmp_path, monkeypatch):
    """Fails if the options do not reach recipe, task and builder, or a finished run asks for the part's weights."""
    run = zoo.fine_tune(ENTRY.name, bundle, strategy="full", out=tmp_path / "run", **QUIET)
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["batch_size"] == 16
    assert config["recipe"]["optimizer_options"] == {"momentum": 0.5}
    assert config["recipe"]["stages"][0]["lr"] == 0.02
    assert config["task"]["schema"]["label_smoothing"] == 0.1
    assert config["model"]["arguments"]["body_weights"] == "default"
    monkeypatch.setattr(nn.init, "constant_", lambda *values: pytest.fail("the part's weights were loaded"))
    again = load_run(tmp_path / "run", data=bundle)
    assert again.evaluate(split="validation") == run.results["validation"]


def test_all_beside_the_body_is_the_head():
    """Fails if the neck or the head trains with the body's rate, or the body is taken for new."""
    model = Composite()
    assert set(parts_above_body(model)) == {"head", "backbone.neck"}
    groups = layer_groups(model)
    assert len(groups) == 2
    above = [*model.head.parameters(), *model.backbone["neck"].parameters()]
    assert {id(parameter) for parameter in groups[1]} == {id(parameter) for parameter in above}
    assert any(parameter is model.scale for parameter in groups[0])


def test_a_model_without_layers_has_one_group():
    """Fails if a table of values, which has no linear layer, cannot be trained."""
    model = nn.ParameterDict({"table": nn.Parameter(torch.zeros(4, 2))})
    assert layer_groups(model) == [[model["table"]]]
    with pytest.raises(ValueError, match="head"):
        zoo.heads.head_path(model)


# -- Runs beside each other


@pytest.fixture
def two_runs(bundle, tmp_path):
    torch.manual_seed(0)
    runs = []
    for name, epochs in (("short", 1), ("long", 12)):
        module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        runs.append(zoo.train(module, bundle, epochs=epochs, lr=0.02, out=tmp_path / name, **QUIET))
    return runs


def test_runs_are_compared_best_first(two_runs):
    """Fails if the order or the part is wrong, or parameters are not counted."""
    part, lines = compare(two_runs)
    assert part == "validation"
    assert [line.name for line in lines] == ["long", "short"]
    assert lines[0].num_params == 6 * 16 + 16 + 16 * 3 + 3
    assert lines[0].values == two_runs[1].results["validation"]


def test_baselines_are_fitted_on_the_same_rows(two_runs, monkeypatch):
    """Fails if a baseline is judged on another part, or does not take its place in the order."""
    seen = []

    def majority(bundle: Bundle, part: str) -> dict[str, float]:
        seen.append((len(bundle.train), part))
        return {"accuracy": 2.0}

    monkeypatch.setattr(ImageClassification, "baselines", lambda self: {"majority": majority})
    _, lines = compare(two_runs, baselines=True)
    assert lines[0].name == "majority"
    assert lines[0].num_params is None
    assert seen == [(len(two_runs[0].bundle.train), "validation")]


def test_other_data_are_not_compared(two_runs, tmp_path, bundle):
    """Fails if figures of different rows stand in one table."""
    half = Bundle.from_arrays(*(tensor[::2] for tensor in bundle.train.tensors), task="vision/classification")
    other = zoo.train(nn.Linear(6, 3), half, epochs=1, out=tmp_path / "other", **QUIET)
    with pytest.raises(DataError, match="same data"):
        compare([two_runs[0], other])
    with pytest.raises(RunError, match="nothing to compare"):
        compare([])
    with pytest.raises(DataError, match="test"):
        compare(two_runs, split="test")


def test_entries_name_real_options():
    """Fails if a catalogue names an option of training, task or builder that does not exist."""
    from zoo.lookup import check_arguments, import_object
    from zoo.training import Recipe, train
    from zoo.training.choices import STAGE_OPTIONS, task_class

    for entry in registry().models.values():
        kind = task_class(entry.task)
        check_arguments(f"task of {entry.name}", kind, entry.task_options)
        check_arguments(f"builder of {entry.name}", import_object(entry.builder), entry.weight_arguments)
        for given in (entry.recipe, kind.recipe):
            own = {name: value for name, value in given.items() if name in STAGE_OPTIONS}
            check_arguments(f"recipe of {entry.name}", train, own)
            Recipe(**{name: value for name, value in given.items() if name not in STAGE_OPTIONS})
