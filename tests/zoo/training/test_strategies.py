"""The stages of fine-tuning, as they are planned and as they train."""

import copy

import pytest
import torch
from torch import nn

import zoo
from vision.classification.task import ImageClassification
from zoo.training import Callback, Recipe, Stage
from zoo.training.strategies import fine_tuning_stages
from zoo.training.surgery import layer_groups

PLAIN = {"epochs": 5, "head_epochs": 2, "lr": 0.1, "body_lr_ratio": 0.01, "schedule": "cosine"}


def body_and_head() -> nn.Module:
    """Five layer groups, a BatchNorm in each of the body."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()) for _ in range(4)]
    return nn.Sequential(*blocks, nn.Linear(6, 3))


class Watch(Callback):
    """Copies the model at the start of each stage and at the end, and notes the rates of the first step."""

    def __init__(self):
        self.states, self.rates = [], []

    def on_stage_start(self, trainer):
        self.states.append(copy.deepcopy(trainer.model.state_dict()))
        self.rates.append([])

    def on_step_end(self, trainer):
        if not self.rates[-1]:
            self.rates[-1] = [group["lr"] for group in trainer.phases[0].optimizer.param_groups]

    def on_log(self, trainer, record):
        if record["event"] == "end":
            self.states.append(copy.deepcopy(trainer.model.state_dict()))

    def changed(self) -> list[set[str]]:
        """Per stage, the blocks of the model that changed in any tensor."""
        pairs = zip(self.states[:-1], self.states[1:], strict=True)
        return [
            {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
            for before, after in pairs
        ]


def fine_tune(bundle, tmp_path, **options):
    model, watch = body_and_head(), Watch()
    task = ImageClassification.from_bundle(bundle)
    options = {"progress": False, "accelerator": "cpu", "out": tmp_path / "run", **options}
    run = zoo.fine_tune(model, bundle, task=task, callbacks=[watch], **options)
    return run, watch


def test_the_stages_of_two_steps():
    head, everything = fine_tuning_stages("two_stage", num_groups=5, **PLAIN)
    assert (head.epochs, head.trainable) == (2, 1)
    assert (everything.epochs, everything.trainable) == (5, None)
    assert everything.lr * everything.lr_decay**4 == pytest.approx(0.001)


@pytest.mark.parametrize("num_groups", [1, 2, 3, 5, 17, 60])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 20])
def test_gradual_unfreezing_adds_up(num_groups, epochs):
    """Fails if epochs get lost, a stage is empty, or a stage frees no more than the one before it."""
    stages = fine_tuning_stages("gradual", num_groups=num_groups, **{**PLAIN, "epochs": epochs})
    assert sum(stage.epochs for stage in stages) == epochs
    assert min(stage.epochs for stage in stages) >= 1
    freed = [num_groups if stage.trainable is None else stage.trainable for stage in stages]
    assert freed == sorted(set(freed))
    assert freed[-1] == num_groups
    assert stages[-1].trainable is None
    if len(stages) > 1:
        assert freed[0] == 1


def test_one_group_has_the_full_rate():
    """Fails where the root over no intervals is taken."""
    [stage] = fine_tuning_stages("full", num_groups=1, **PLAIN)
    assert stage.lr == 0.1


@pytest.mark.parametrize(
    ("strategy", "wrong", "remedy"),
    [
        ("tow_stage", {}, "two_stage, head, gradual, full"),
        ("two_stage", {"epochs": 0}, "at least 1"),
        ("gradual", {"epochs": 0}, "at least 1"),
        ("two_stage", {"head_epochs": 0}, "strategy='full'"),
        ("full", {"body_lr_ratio": 0.0}, r"\(0, 1\]"),
        ("full", {"body_lr_ratio": 1.5}, r"\(0, 1\]"),
        ("head", {"lr": 0.0}, "above 0"),
        ("head", {"lr": float("nan")}, "above 0"),
        ("full", {"cache_features": True}, "frozen body"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_read(strategy, wrong, remedy, tmp_path, monkeypatch):
    """Fails if the missing data are noticed first."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=remedy):
        zoo.fine_tune("resnet18", tmp_path / "missing", strategy=strategy, **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Stage, {"trainable": 0}),
        (Stage, {"lr": float("inf")}),
        (Stage, {"cache_features": True}),
        (Recipe, {"clip_norm": 0.0}),
        (Recipe, {"weight_decay": -0.1}),
        (Recipe, {"weight_decay": float("nan")}),
        (Recipe, {"num_workers": -1}),
        (Recipe, {"ema": 1.0}),
        (Recipe, {"stages": ()}),
    ],
)
def test_wrong_recipes_are_refused(kind, wrong):
    """Fails if no layer group, written as 0, trains all of them."""
    with pytest.raises(ValueError, match=r"is|needs|need"):
        kind(**wrong)


def test_recipes_survive_json():
    stages = fine_tuning_stages("gradual", num_groups=5, **PLAIN)
    recipe = Recipe(stages=stages, ema=0.9, optimizer_options={"betas": [0.8, 0.9]})
    assert Recipe.from_dict(recipe.as_dict()) == recipe


def test_gradual_unfreezing_trains_what_it_says(bundle, tmp_path):
    """Fails if a stage trains too much or too little, BatchNorm statistics included."""
    run, watch = fine_tune(bundle, tmp_path, strategy="gradual", epochs=5, lr=0.01)
    assert watch.changed() == [{"4"}, {"2", "3", "4"}, {"1", "2", "3", "4"}, {"0", "1", "2", "3", "4"}]
    assert [record["stage"] for record in run.history] == ["last 1", "last 3", "last 4", "all", "all"]


def test_rates_fall_towards_the_input(bundle, tmp_path):
    """Fails if the rates are turned round, or the head does not get `lr`."""
    _, watch = fine_tune(
        bundle, tmp_path, strategy="full", epochs=1, lr=0.08, body_lr_ratio=1 / 16, schedule="constant"
    )
    expected = [0.08 / 2**index for index in (4, 3, 2, 1, 0)]
    assert sorted(set(watch.rates[0])) == pytest.approx(expected)
    assert watch.rates[0] == sorted(watch.rates[0])
    assert len(watch.rates[0]) == 10  # norms and biases apart from matrices


@pytest.mark.parametrize(("strategy", "stages"), [("head", [{"4"}]), ("two_stage", [{"4"}, set("01234")])])
def test_the_body_stays_as_it_is_while_the_head_trains(bundle, tmp_path, strategy, stages):
    _, watch = fine_tune(bundle, tmp_path, strategy=strategy, epochs=1, lr=0.01)
    assert watch.changed() == stages


def test_weight_decay_spares_what_is_frozen(bundle, tmp_path):
    """Fails if the decay of 1 at a step shrinks the body of the first stage."""
    _, watch = fine_tune(bundle, tmp_path, strategy="head", epochs=1, lr=1.0, weight_decay=1.0, optimizer="sgd",
                         schedule="constant")  # fmt: skip
    assert watch.changed() == [{"4"}]


def test_a_model_of_one_layer_fine_tunes(bundle, tmp_path):
    task = ImageClassification.from_bundle(bundle)
    run = zoo.fine_tune(
        nn.Sequential(nn.Linear(6, 3)), bundle, task=task, epochs=1, out=tmp_path / "run", progress=False,
        accelerator="cpu", strategy="gradual",
    )  # fmt: skip
    assert len(run.history) == 1
    assert len(layer_groups(run.model)) == 1
