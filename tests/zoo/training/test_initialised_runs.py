"""Runs whose weights start by a named initialisation."""

import copy

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import UnknownNameError
from zoo.initialisation import initialise
from zoo.training import Callback, Recipe, Stage, Trainer


class Start(Callback):
    """Keeps the weights that the first step starts from, and their outputs on the first batch."""

    def on_fit_start(self, trainer):
        self.state = copy.deepcopy(trainer.model.state_dict())


def fit(model, task, bundle, *, epochs=1, directory=None, resume_from=None, **options) -> dict:
    start = Start()
    recipe = Recipe(
        stages=(Stage(epochs=epochs, schedule="constant"),), accelerator="cpu", seed=5, checkpoint_seconds=0, **options
    )
    Trainer(
        model=model, task=task, train=bundle.train, recipe=recipe, callbacks=[start], progress=False,
        directory=directory,
    ).fit(resume_from=resume_from)  # fmt: skip
    return start.state


def test_weights_start_as_named(model, task, bundle):
    """Fails if the initialisation comes after a step, or with another seed."""
    expected = copy.deepcopy(model)
    initialise(expected, "orthogonal", seed=5)
    state = fit(model, task, bundle, initialisation="orthogonal")
    assert all(torch.equal(state[name], value) for name, value in expected.state_dict().items())


def test_what_looks_at_data_sees_the_first_training_rows(model, task, bundle):
    state = fit(model, task, bundle, initialisation="lsuv", batch_size=64)
    other = copy.deepcopy(model)
    other.load_state_dict(state)
    inputs, _ = next(iter(bundle.train.batches(batch_size=64, shuffle=True, seed=5)))
    assert other[0](inputs).var(correction=0).item() == pytest.approx(1, abs=0.02)
    assert other(inputs).var(correction=0).item() == pytest.approx(1, abs=0.02)


def test_a_resumed_run_does_not_start_anew(model, task, bundle, tmp_path):
    """Fails if what was trained is thrown away."""
    whole = copy.deepcopy(model)
    fit(whole, task, bundle, epochs=2, initialisation="xavier")
    fit(model, task, bundle, epochs=1, initialisation="xavier", directory=tmp_path)
    fresh = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    fit(
        fresh, task, bundle, epochs=2, initialisation="xavier", resume_from=tmp_path / "checkpoints" / "last.pt"
    )  # fmt: skip
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in fresh.state_dict().items())


def test_trained_weights_are_refused(photos, cifar_weights, tmp_path):
    """Fails if weights are read and then drawn anew."""
    with pytest.raises(ValueError, match="training from scratch, and weights is"):
        zoo.train(
            "resnet20_cifar", photos, weights=cifar_weights, initialisation="kaiming", accelerator="cpu",
            out=tmp_path / "run",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'kaiming'"):
        Recipe(initialisation="kaimin")
