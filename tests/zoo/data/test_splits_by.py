"""Splits by group, by time and by the user's column, and all of them by name."""

import itertools

import numpy as np
import pytest
import torch

from zoo.data import SPLITS, column_split, group_split, make_split, stratified_split, time_split
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError

THREE = {"train": 0.7, "validation": 0.2, "test": 0.1}
TWO = {"train": 0.75, "validation": 0.25}


def check_partition(parts, num_rows):
    assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(num_rows))
    assert all(torch.equal(rows, rows.sort().values) for rows in parts.values())


@pytest.mark.parametrize("trial", range(8))
def test_no_group_is_in_two_parts_and_shares_are_near(trial):
    """A part is never given a group once it has its share, so it has less than one group too many."""
    generator = np.random.default_rng(trial)
    groups = generator.integers(0, 40, size=500)
    parts = group_split(groups, fractions=THREE, seed=trial)
    check_partition(parts, 500)
    held = [set(groups[rows]) for rows in parts.values()]
    assert not any(one & other for one, other in itertools.combinations(held, 2))
    for name, rows in parts.items():
        assert abs(len(rows) - 500 * THREE[name]) < np.bincount(groups).max()


def test_of_the_draws_the_nearest_is_kept():
    """By hand: of 6, 3, 2 and 1 rows only the 3, or 2 and 1, are a quarter. Fails if one draw is taken as it comes."""
    groups = np.repeat(["ann", "ben", "cid", "dot"], [6, 3, 2, 1])
    found = {tuple(sorted(set(groups[group_split(groups, fractions=TWO, seed=s)["validation"]]))) for s in range(20)}
    assert found <= {("ben",), ("cid", "dot")}
    assert len(found) == 2  # and the seed decides which


def test_groups_by_the_seed_alone():
    groups = torch.arange(300) // 3
    first = group_split(groups, fractions=TWO, seed=1)
    assert torch.equal(first["validation"], group_split(groups, fractions=TWO, seed=1)["validation"])
    assert not torch.equal(first["validation"], group_split(groups, fractions=TWO, seed=2)["validation"])
    assert len(group_split(["a", "b", "c"], fractions=THREE)["train"]) == 1
    with pytest.raises(DataError, match="needs 3 groups at least; there are 2: a, b"):
        group_split(["a", "b", "b"], fractions=THREE)


def test_the_latest_rows_are_for_the_test():
    times = np.random.default_rng(0).permutation(100)
    parts = time_split(times, fractions=THREE)
    check_partition(parts, 100)
    assert [len(rows) for rows in parts.values()] == [70, 20, 10]
    assert times[parts["train"]].max() == 69
    assert times[parts["test"]].min() == 90
    dates = np.datetime64("2021-03-01") + times
    assert torch.equal(time_split(dates, fractions=THREE)["test"], parts["test"])


def test_rows_of_one_time_stay_together():
    """By hand: days of 4, 4, 1 and 1 rows, three quarters to train: 8 are nearer than 4 or 9."""
    days = [0] * 4 + [1] * 4 + [2, 3]
    assert time_split(days, fractions=TWO)["validation"].tolist() == [8, 9]
    assert time_split([0] * 8 + [1, 2], fractions=THREE)["test"].tolist() == [9]
    assert time_split([0, 1, 2, 2, 2, 2, 2], fractions=THREE)["train"].tolist() == [0]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 0, 1], "needs 3 different times, got 2"),
        ([0.0, float("nan"), 2.0], "1 of 3 rows have no time, the first row 1"),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), "1 of 2 rows have no time"),
        (["monday", "tuesday", "friday"], "turn texts into dates first"),
    ],
)
def test_times_must_be_there(times, message):
    with pytest.raises(DataError, match=message):
        time_split(times, fractions=THREE)


def test_the_users_own_column():
    parts = column_split(["Train", "test", "train", "val ", "dev"])
    assert {name: rows.tolist() for name, rows in parts.items()} == {
        "train": [0, 2],
        "validation": [3, 4],
        "test": [1],
    }
    with pytest.raises(DataError, match=r"Row 1 is for the part 'tset'\. Did you mean 'test'"):
        column_split(["train", "tset"])
    with pytest.raises(DataError, match="No row is for train, only for test"):
        column_split(["test", "test"])


def test_every_split_by_name():
    """Fails if a name leads to another function, or an option is swallowed."""
    labels = torch.arange(30) % 3
    parts = make_split("stratified", labels, fractions=TWO, seed=5)
    assert torch.equal(parts["train"], stratified_split(labels, fractions=TWO, seed=5)["train"])
    assert len(make_split("random", 32, fractions=TWO)["train"]) == 24
    assert len(make_split("group", labels, fractions=THREE)["train"]) == 10
    assert make_split("time", list(range(32)), fractions=TWO)["train"].tolist() == list(range(24))
    assert make_split("column", ["train"])["train"].tolist() == [0]
    for name, rows in {"k_fold": 30, "stratified_k_fold": labels, "group_k_fold": labels}.items():
        assert [len(fold["validation"]) for fold in make_split(name, rows, k=3)] == [10] * 3
    assert len(make_split("stratified_group_k_fold", labels, groups=torch.arange(30) // 2, k=3)) == 3
    assert len(make_split("time_series_k_fold", list(range(30)), k=3)) == 3
    assert len(SPLITS) == 10
    with pytest.raises(UnknownNameError, match="Did you mean 'stratified'"):
        make_split("stratifed", labels)
    with pytest.raises(UnknownArgumentError, match="fraction"):
        make_split("random", 30, fraction=0.5)
