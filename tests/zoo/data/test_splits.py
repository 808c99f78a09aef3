"""Splits: seeded, complete, and fair to every class."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit

from zoo.data import random_split, split_fractions, stratified_split
from zoo.errors import DataError

THREE = {"train": 0.7, "validation": 0.2, "test": 0.1}


def check_partition(parts, num_rows):
    rows = torch.cat(list(parts.values()))
    assert sorted(rows.tolist()) == list(range(num_rows))
    for part in parts.values():
        assert torch.equal(part, part.sort().values)


@pytest.mark.parametrize("trial", range(12))
def test_each_class_has_its_share_in_each_part(trial):
    """Fails if a remainder is always given to the same part: the totals would drift with the number of classes."""
    generator = np.random.default_rng(trial)
    labels = np.repeat(np.arange(30), generator.integers(10, 60, size=30))
    generator.shuffle(labels)
    parts = stratified_split(labels, fractions=THREE, seed=trial)
    check_partition(parts, len(labels))
    for name, rows in parts.items():
        assert abs(len(rows) - THREE[name] * len(labels)) <= 1
        exact = np.bincount(labels) * THREE[name]
        assert (np.abs(np.bincount(labels[rows], minlength=30) - exact) <= 1).all()


def test_proportions_are_scikit_learns():
    labels = np.random.default_rng(0).choice(4, size=503, p=[0.6, 0.25, 0.1, 0.05])
    ours = stratified_split(labels, fractions={"train": 0.8, "validation": 0.2}, seed=0)
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    (_, theirs) = next(splitter.split(labels, labels))
    difference = np.bincount(labels[ours["validation"]]) - np.bincount(labels[theirs])
    assert np.abs(difference).max() <= 1
    assert abs(len(theirs) - len(ours["validation"])) <= 1


@pytest.mark.parametrize(("count", "filled"), [(2, 2), (3, 3), (4, 3), (7, 3)])
def test_a_small_class_reaches_as_many_parts_as_it_has_rows_for(count, filled):
    labels = ["big"] * 100 + ["small"] * count
    parts = stratified_split(labels, fractions=THREE)
    held = {name: (rows >= 100).sum().item() for name, rows in parts.items()}
    assert sum(value > 0 for value in held.values()) == filled
    assert held["train"] >= 1
    assert sum(held.values()) == count


def test_the_seed_alone_decides():
    labels = torch.arange(100) % 3
    torch.manual_seed(0)
    first = stratified_split(labels, fractions=THREE, seed=1)
    torch.manual_seed(1)
    assert all(
        torch.equal(first[name], rows) for name, rows in stratified_split(labels, fractions=THREE, seed=1).items()
    )
    assert not torch.equal(first["test"], stratified_split(labels, fractions=THREE, seed=2)["test"])


def test_a_class_with_one_row_is_named():
    with pytest.raises(DataError, match="'owl' has one row only"):
        stratified_split(["cat", "cat", "owl"], fractions=THREE)
    with pytest.raises(DataError, match="'owl' has one row only"):
        stratified_split([0, 0, 1], fractions=THREE, names=["cat", "owl"])
    assert stratified_split(["cat", "owl"], fractions={"train": 1.0})["train"].tolist() == [0, 1]


@pytest.mark.parametrize("labels", [[], [[0, 1], [1, 0]]])
def test_labels_must_be_one_a_row(labels):
    with pytest.raises(DataError, match="One label a row"):
        stratified_split(labels, fractions=THREE)


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": 1.0, "b": 0.0}])
def test_fractions_must_add_up_to_one(fractions):
    with pytest.raises(ValueError, match="add up to 1"):
        random_split(10, fractions=fractions)


def test_random_split_is_complete_and_seeded():
    parts = random_split(101, fractions=THREE, seed=4)
    check_partition(parts, 101)
    assert [len(rows) for rows in parts.values()] == [71, 20, 10]
    assert torch.equal(parts["train"], random_split(101, fractions=THREE, seed=4)["train"])
    assert [len(rows) for rows in random_split(3, fractions=THREE).values()] == [1, 1, 1]
    with pytest.raises(DataError, match="2 rows cannot be split"):
        random_split(2, fractions=THREE)


def test_split_fractions_leave_out_empty_parts():
    assert split_fractions(validation=0.25, test=0.0) == {"train": 0.75, "validation": 0.25}
    with pytest.raises(ValueError, match="leave rows to train"):
        split_fractions(validation=0.5, test=0.5)
    with pytest.raises(ValueError, match="leave rows to train"):
        split_fractions(validation=-0.1, test=0.0)
