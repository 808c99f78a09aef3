"""Stochastic weight averaging beside torch's own on the same weights."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn

import zoo
from zoo.training import Callback, Recipe, Stage, StochasticWeightAveraging, Trainer, evaluate
from zoo.training.averaging import measure_batch_norm


class Watch(Callback):
    """Keeps the weights, the rates and the history of each epoch's end."""

    def __init__(self):
        self.models, self.rates = [], []

    def on_epoch_end(self, trainer):
        self.models.append(copy.deepcopy(trainer.model))
        self.rates.append([group["lr"] for group in trainer.phases[0].optimizer.param_groups])


@pytest.fixture
def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def fit(model, task, bundle, *, directory=None, validation=True, **options):
    watch = Watch()
    stages = options.pop("stages", (Stage(epochs=options.pop("epochs", 4), lr=0.05),))
    recipe = Recipe(stages=stages, batch_size=16, accelerator="cpu", **options)
    trainer = Trainer(
        model=model, task=task, train=bundle.train, validation=bundle.validation if validation else None, recipe=recipe,
        directory=directory, callbacks=[watch], progress=False,
    )  # fmt: skip
    trainer.fit()
    return trainer, watch


def averaged(trainer) -> StochasticWeightAveraging:
    return next(callback for callback in trainer.callbacks if isinstance(callback, StochasticWeightAveraging))


def test_the_average_is_torchs(normed, task, bundle):
    """Fails if an epoch too many or too few counts, or weights count unequally. Bit for bit."""
    reference = AveragedModel(normed, multi_avg_fn=get_swa_multi_avg_fn())  # which torch takes on GPUs by itself
    trainer, watch = fit(normed, task, bundle, epochs=5, swa=0.4)
    for model in watch.models[2:]:
        reference.update_parameters(model)
    assert averaged(trainer).num_averaged == 3
    for name, value in reference.module.named_parameters():
        assert torch.equal(averaged(trainer).average[name], value), name


def test_batch_norm_is_measured_as_torch_does(normed, task, bundle):
    """Fails if statistics of the last weights are kept, or batches count by a running mean."""
    trainer, watch = fit(normed, task, bundle, epochs=4, swa=0.5)
    reference = AveragedModel(normed)
    for model in watch.models[2:]:
        reference.update_parameters(model)
    batches = bundle.train.batches(batch_size=16, shuffle=True, seed=0, epoch=4)
    update_bn([inputs for inputs, _ in batches], reference)
    for name, value in reference.module.state_dict().items():
        torch.testing.assert_close(averaged(trainer).average[name], value, rtol=0, atol=1e-6)
    assert not torch.equal(normed[1].running_mean, reference.module[1].running_mean)


@pytest.mark.parametrize("validation", [True, False], ids=["validated", "not validated"])
def test_the_average_is_what_is_judged_and_kept(normed, task, bundle, tmp_path, validation):
    """Fails if the run's file holds the last weights, or the model is left with the average while it trains."""
    trainer, watch = fit(normed, task, bundle, epochs=6, swa=0.0, directory=tmp_path, validation=validation)
    assert torch.equal(normed[0].weight, watch.models[-1][0].weight)
    kept = copy.deepcopy(normed)
    zoo.training.run.load_into(kept, tmp_path / "model.safetensors")
    if validation:
        values, _ = evaluate(kept, task, bundle.validation.batches(batch_size=64))
        assert values["accuracy"] == max(record["accuracy"] for record in trainer.history)
    else:
        for name, value in averaged(trainer).average.items():
            assert torch.equal(kept.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 8, "swa": 0.75}, 2),
        ({"epochs": 1, "swa": 0.75}, 1),
        ({"epochs": 100, "swa": 0.5, "max_steps": 18}, 2),
        ({"stages": (Stage(name="head", epochs=3, trainable=1), Stage(name="all", epochs=2)), "swa": 0.5}, 1),
    ],
    ids=["a quarter", "at least one epoch", "fewer steps than the epochs have", "the last of two stages"],
)
def test_which_epochs_count(normed, task, bundle, options, expected):
    """72 rows in batches of 16 make 5 steps: 18 steps are 4 epochs, of which the last half counts."""
    trainer, _ = fit(normed, task, bundle, **options)
    assert averaged(trainer).num_averaged == expected


def test_the_constant_rate_keeps_the_ratios_of_the_groups(normed, task, bundle):
    """Fails if the schedule goes on, or every layer gets the head's rate."""
    stage = Stage(epochs=4, lr=0.1, lr_decay=0.5, schedule="cosine")
    _, watch = fit(normed, task, bundle, stages=(stage,), swa=0.5, swa_lr=0.02, weight_decay=0.0)
    assert watch.rates[1][-1] == pytest.approx(0.1 * 0.5, rel=0.2)
    assert watch.rates[2] == pytest.approx([0.01, 0.02])
    assert watch.rates[3] == pytest.approx([0.01, 0.02])


def test_before_it_begins_the_moving_average_is_judged(normed, task, bundle):
    """Fails if the two averages overwrite each other."""
    trainer, _ = fit(normed, task, bundle, epochs=4, ema=0.5, swa=0.5)
    exponential = trainer.callbacks[0].average
    with trainer.callbacks[0].evaluation_weights(trainer):
        assert torch.equal(normed[0].weight, exponential["0.weight"])
    assert not torch.equal(exponential["0.weight"], averaged(trainer).average["0.weight"])
    history = fit(copy.deepcopy(normed), task, bundle, epochs=2, ema=0.5, swa=0.9)[0].history
    assert len(history) == 2


def test_measuring_leaves_random_numbers_and_dropout_alone(task, bundle):
    """Fails if a run that measures draws other random numbers afterwards, or frozen layers are measured."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)
    )
    checked = []

    class Check(Callback):
        def on_epoch_end(self, trainer):
            before, modes = torch.get_rng_state(), [module.training for module in model.modules()]
            frozen, free, count = (model[1].running_mean.clone(), model[3].running_mean.clone(), model[3].momentum)
            measure_batch_norm(trainer)
            assert torch.equal(torch.get_rng_state(), before)
            assert [module.training for module in model.modules()] == modes
            assert torch.equal(model[1].running_mean, frozen)
            assert not torch.equal(model[3].running_mean, free)
            assert model[3].momentum == count
            checked.append(True)

    recipe = Recipe(stages=(Stage(epochs=1, trainable=2),), batch_size=16, accelerator="cpu")
    Trainer(model=model, task=task, train=bundle.train, recipe=recipe, callbacks=[Check()], progress=False).fit()
    assert checked


def test_a_model_without_batch_norm_costs_no_pass(model, task, bundle):
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    trainer, _ = fit(model, task, bundle, epochs=2, swa=0.0, validation=False)
    assert len(calls) == trainer.position.step


@pytest.mark.parametrize(
    ("options", "message"),
    [({"swa": 1.0}, "swa is 1.0"), ({"swa_lr": 0.1}, "give swa too"), ({"swa": 0.5, "swa_lr": 0.0}, "swa_lr is 0")],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)
