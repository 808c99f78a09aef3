"""Soups: means of weights, chosen on validation data, with statistics that fit."""

import json
import logging

import pytest
import torch
from ensemble_cases import QUIET, classes_bundle, new_model
from safetensors.torch import load_file
from torch.optim.swa_utils import update_bn

import zoo
from vision.classification.task import ImageClassification
from zoo.ensembles import greedy_soup, uniform_soup
from zoo.ensembles.soups import mean_weights, recompute_statistics
from zoo.errors import RunError
from zoo.training import load_run

OPTIONS = {"epochs": 2, "batch_size": 16, **QUIET}


@pytest.fixture(scope="module")
def bundle():
    return classes_bundle(90)


def trained(bundle, folder, *, norm=False, width=8, rates=(0.01, 0.03, 0.05)):
    """Runs from one start at several rates."""
    task = ImageClassification.from_bundle(bundle)
    return [
        zoo.train(
            new_model(norm=norm, width=width), bundle, task=task, out=folder / f"{width}-{rate}", lr=rate, **OPTIONS
        )
        for rate in rates
    ]


def weights_of(run):
    return load_file(run.directory / "model.safetensors")


def test_uniform_soup_is_the_mean(bundle, tmp_path):
    """Fails if weights are summed, or the soup is no run that can be used and judged."""
    runs = trained(bundle, tmp_path)
    soup = uniform_soup(runs, out=tmp_path / "soup", model=new_model())
    for name, value in weights_of(soup).items():
        torch.testing.assert_close(value, torch.stack([weights_of(run)[name] for run in runs]).mean(0))
    again = load_run(tmp_path / "soup", model=new_model(seed=5), data=bundle)
    assert again.evaluate() == soup.results["test"]
    assert again.predict(bundle.test.tensors[0]) == soup.predict(bundle.test.tensors[0])
    before = weights_of(again)
    assert again.resume(progress=False) is again  # finished: nothing is trained
    assert all(torch.equal(value, weights_of(again)[name]) for name, value in before.items())
    assert (tmp_path / "soup" / "curves.png").is_file()
    assert len(json.loads((tmp_path / "soup" / "soup.json").read_text())["runs"]) == 3


def test_greedy_soup_is_recipe_1(bundle, tmp_path):
    """Fails if the order, the comparison with >=, or the running mean differs from the paper's recipe."""
    runs = trained(bundle, tmp_path, rates=(0.001, 0.02, 0.05, 3.0))
    inputs, targets = bundle.validation.tensors

    def accuracy(states):
        net = new_model()
        net.load_state_dict(mean_weights(states))
        return float((net.eval()(inputs).argmax(1) == targets).float().mean())

    order = sorted(runs, key=lambda run: -accuracy([weights_of(run)]))
    chosen = []
    for run in order:
        if not chosen or accuracy([weights_of(one) for one in (*chosen, run)]) >= accuracy(
            [weights_of(one) for one in chosen]
        ):
            chosen.append(run)
    soup = greedy_soup(runs, out=tmp_path / "soup", model=new_model())
    record = json.loads((tmp_path / "soup" / "soup.json").read_text())
    assert record["runs"] == [str(run.directory) for run in chosen]
    assert len(record["steps"]) == 4
    assert soup.results["validation"]["accuracy"] >= max(run.results["validation"]["accuracy"] for run in runs)
    expected = mean_weights([weights_of(run) for run in chosen])
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(soup).items())


def test_statistics_are_computed_anew(bundle, tmp_path, caplog):
    """Fails if averaged statistics are kept without a word, or the new ones are not those of torch's own loop."""
    runs = trained(bundle, tmp_path, norm=True)
    soup = uniform_soup(runs, out=tmp_path / "soup", model=new_model(norm=True))
    net = new_model(norm=True)
    net.load_state_dict(mean_weights([weights_of(run) for run in runs]))
    batches = list(bundle.train.batches(batch_size=16, shuffle=True, seed=runs[0].recipe.seed, drop_last=True))
    update_bn([inputs for inputs, _ in batches], net)
    held = weights_of(soup)
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(held[name], net.state_dict()[name])
    with caplog.at_level(logging.WARNING):
        averaged = uniform_soup(runs, out=tmp_path / "other", batch_norm="average", model=new_model(norm=True))
    assert "fit none of its activations" in caplog.text
    expected = torch.stack([weights_of(run)["1.running_mean"] for run in runs]).mean(0)
    torch.testing.assert_close(weights_of(averaged)["1.running_mean"], expected)


def test_what_is_borrowed_is_given_back(bundle, tmp_path):
    (run, *_) = trained(bundle, tmp_path, norm=True, rates=(0.01,))
    model = new_model(norm=True)
    model[1].momentum = 0.3
    recompute_statistics(model, run)
    assert model[1].momentum == 0.3
    assert not any(module.training for module in model.modules())


def test_other_architectures_are_refused(bundle, tmp_path):
    (small, _), (wide, _) = (
        trained(bundle, tmp_path, rates=(0.01, 0.02)),
        trained(bundle, tmp_path, width=16, rates=(0.01, 0.02)),
    )
    with pytest.raises(RunError, match=r"another architecture.*0\.bias is \[8\] and \[16\]"):
        uniform_soup([small, wide], out=tmp_path / "soup")
    with pytest.raises(RunError, match="two runs or more"):
        uniform_soup([small])
    normed = trained(bundle, tmp_path / "norm", norm=True, rates=(0.01,))[0]
    with pytest.raises(RunError, match="only one of them has"):
        greedy_soup([small, normed])
    assert not (tmp_path / "soup").exists()


def test_inputs_are_prepared_as_the_runs_were(bundle, tmp_path):
    """Fails if a soup of runs with preprocessing sees raw rows, or runs of different preprocessing are mixed."""
    task = ImageClassification.from_bundle(bundle)
    runs = [
        zoo.train(
            new_model(), bundle, task=task, out=tmp_path / str(rate), lr=rate, preprocess="standardise", **OPTIONS
        )
        for rate in (0.02, 0.02001)
    ]
    soup = uniform_soup(runs, out=tmp_path / "soup", model=new_model())
    again = load_run(tmp_path / "soup", model=new_model(), data=bundle)
    assert again.evaluate() == soup.results["test"]
    said = [row["probability"] for row in again.predict(bundle.test.tensors[0])]
    assert said == pytest.approx([row["probability"] for row in runs[0].predict(bundle.test.tensors[0])], abs=1e-2)
    raw = trained(bundle, tmp_path, rates=(0.02,))[0]
    with pytest.raises(RunError, match="prepare their inputs in different ways"):
        uniform_soup([runs[0], raw])


def test_means_by_hand():
    """Fails if half precision is summed in half precision, or counts are averaged."""
    states = [{"w": torch.tensor([value], dtype=torch.bfloat16), "n": torch.tensor(7)} for value in (1.0, 1000.0, 2.0)]
    found = mean_weights(states)
    assert found["w"].dtype == torch.bfloat16
    assert float(found["w"]) == pytest.approx(1003 / 3, rel=4e-3)
    assert int(found["n"]) == 7
