"""Bagging: draws with replacement, and the rows that were left out."""

import csv
import json

import pytest
import torch
from ensemble_cases import QUIET, classes_bundle, new_model
from safetensors.torch import load_file

from vision.classification.task import ImageClassification
from zoo.ensembles import bag, bootstrap_rows

OPTIONS = {"epochs": 3, "lr": 0.05, "batch_size": 16, **QUIET}


def test_draws_are_with_replacement_and_seeded():
    """Fails if rows are drawn without replacement, or two members draw the same."""
    rows = bootstrap_rows(20_000, seed=1)
    assert len(rows) == 20_000
    assert len(rows.unique()) / 20_000 == pytest.approx(1 - 1 / 2.718281828, abs=0.01)
    assert torch.equal(rows, bootstrap_rows(20_000, seed=1))
    assert not torch.equal(rows, bootstrap_rows(20_000, seed=1, index=1))
    assert not torch.equal(rows, bootstrap_rows(20_000, seed=2))
    assert bootstrap_rows(1, seed=0).tolist() == [0]


def test_out_of_bag_rows_are_judged_by_who_did_not_see_them(model, bundle, task, tmp_path):
    """Fails if a member votes on a row that it drew."""
    found = bag(model, bundle, members=4, task=task, out=tmp_path / "bag", seed=2, **OPTIONS)
    inputs, targets = bundle.train.tensors
    nets, draws = [], [set(bootstrap_rows(len(inputs), seed=2, index=index).tolist()) for index in range(4)]
    for index in range(4):
        net = new_model()
        net.load_state_dict(load_file(tmp_path / "bag" / "members" / str(index) / "model.safetensors"))
        nets.append(net.eval()(inputs).softmax(1).detach().clone())
    with open(tmp_path / "bag" / "out_of_bag.csv", newline="") as file:
        lines = {int(line["row"]): line for line in csv.DictReader(file)}
    right = []
    for row in range(len(inputs)):
        judges = [net[row] for net, drawn in zip(nets, draws, strict=True) if row not in drawn]
        if not judges:
            assert row not in lines
            continue
        probs = torch.stack(judges).mean(0)
        assert int(lines[row]["fold"]) == len(judges)
        assert [float(lines[row][f"p({index})"]) for index in range(3)] == pytest.approx(probs.tolist(), abs=1e-6)
        right.append(int(probs.argmax()) == int(targets[row]))
    results = json.loads((tmp_path / "bag" / "out_of_bag.json").read_text())
    assert results["rows_left_out"] == len(inputs) - len(right)
    assert results["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right))
    assert set(found.evaluate()) >= {"accuracy"}
    assert len(found.members) == 4
    again = bag(model, bundle, members=4, task=task, out=tmp_path / "bag", seed=2, **OPTIONS)
    assert again.evaluate() == found.evaluate()


def test_members_train_on_their_own_draw(model, tmp_path):
    """Fails if all members see the same rows, so that they come out equal."""
    bundle = classes_bundle(test=0.0)
    task = ImageClassification.from_bundle(bundle)
    bag(model, bundle, members=2, task=task, out=tmp_path / "bag", **OPTIONS)
    first, second = (load_file(tmp_path / "bag" / "members" / name / "model.safetensors") for name in "01")
    assert not any(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ValueError, match="at least 2"):
        bag(model, bundle, members=1, task=task)
