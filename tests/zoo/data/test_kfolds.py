"""Folds of rows: each row validated once, whole groups, no look into the future."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

from zoo.data.kfolds import group_k_fold, k_fold, stratified_group_k_fold, stratified_k_fold, time_series_k_fold
from zoo.errors import DataError

LABELS = np.random.default_rng(0).choice(3, size=101, p=[0.7, 0.2, 0.1])
GROUPS = np.random.default_rng(1).integers(0, 17, size=101)


def check_folds(folds, num_rows):
    """Every row is validated once, and trained on by all other folds."""
    held_out = torch.cat([fold["validation"] for fold in folds])
    assert sorted(held_out.tolist()) == list(range(num_rows))
    for fold in folds:
        assert sorted(torch.cat(list(fold.values())).tolist()) == list(range(num_rows))
        assert all(torch.equal(rows, rows.sort().values) for rows in fold.values())


EVERY = {
    "random": lambda seed: k_fold(101, k=4, seed=seed),
    "stratified": lambda seed: stratified_k_fold(LABELS, k=4, seed=seed),
    "group": lambda seed: group_k_fold(GROUPS, k=4, seed=seed),
    "stratified_group": lambda seed: stratified_group_k_fold(LABELS, groups=GROUPS, k=4, seed=seed),
}


@pytest.mark.parametrize("kind", EVERY)
def test_folds_are_complete_and_seeded(kind):
    folds = EVERY[kind](3)
    check_folds(folds, 101)
    again, other = EVERY[kind](3), EVERY[kind](4)
    assert all(torch.equal(a["validation"], b["validation"]) for a, b in zip(folds, again, strict=True))
    assert not all(torch.equal(a["validation"], b["validation"]) for a, b in zip(folds, other, strict=True))


@pytest.mark.parametrize("kind", ["group", "stratified_group"])
def test_no_group_is_in_two_folds(kind):
    for fold in EVERY[kind](0):
        assert not set(GROUPS[fold["train"]]) & set(GROUPS[fold["validation"]])


def test_groups_are_dealt_out_evenly():
    """By hand: 5, 4, 3, 3, 2 and 1 rows in three folds are 6 each. Fails if the largest do not come first."""
    groups = np.repeat(list("abcdef"), [5, 4, 3, 3, 2, 1])
    for seed in range(5):
        assert [len(fold["validation"]) for fold in group_k_fold(groups, k=3, seed=seed)] == [6, 6, 6]


def test_folds_are_scikit_learns():
    theirs = KFold(5, shuffle=True, random_state=7).split(np.zeros(101))
    for ours, (_, rows) in zip(k_fold(101, k=5, seed=7), theirs, strict=True):
        assert ours["validation"].tolist() == sorted(rows)
    theirs = StratifiedKFold(5, shuffle=True, random_state=7).split(LABELS, LABELS)
    for ours, (_, rows) in zip(stratified_k_fold(LABELS, k=5, seed=7), theirs, strict=True):
        assert ours["validation"].tolist() == sorted(rows)


def test_each_fold_has_the_classes_shares():
    for fold in stratified_k_fold(LABELS, k=4):
        counts = np.bincount(LABELS[fold["validation"]])
        assert (np.abs(counts - np.bincount(LABELS) / 4) < 1).all()


def test_time_goes_forwards():
    """Fails if rows are taken in the order of the table: the times are shuffled."""
    times = np.random.default_rng(2).permutation(60)
    folds = time_series_k_fold(times, k=5, gap=2)
    order = np.argsort(times)
    for fold, (train, held_out) in zip(folds, TimeSeriesSplit(5, gap=2).split(times), strict=True):
        assert fold["train"].tolist() == sorted(order[train])
        assert fold["validation"].tolist() == sorted(order[held_out])
        assert times[fold["train"]].max() + 2 < times[fold["validation"]].min()
    dates = np.datetime64("2020-01-01") + times
    assert torch.equal(time_series_k_fold(dates, k=5, gap=2)[3]["train"], folds[3]["train"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: k_fold(3, k=4), "3 rows cannot be cut into 4 folds"),
        (lambda: stratified_k_fold([0] * 9 + [1] * 2, k=3, names=["cat", "owl"]), "'owl' has 2 rows, too few for 3"),
        (lambda: stratified_k_fold(["cat"] * 9 + ["owl"], k=3), "'owl' has 1 rows"),
        (lambda: group_k_fold(["ann"] * 5 + ["ben"] * 5, k=3), "3 folds need 3 groups at least; there are 2: ann, ben"),
        (lambda: stratified_group_k_fold([0, 1], groups=[0], k=2), "2 labels do not go with 1 groups"),
        (lambda: stratified_k_fold([[0, 1]], k=2), "One label a row"),
        (lambda: time_series_k_fold(["2020", "2021"], k=2), "turn texts into dates"),
        (lambda: time_series_k_fold([0.0, np.nan, 1.0, 2.0], k=2), "1 of 4 rows have no time, the first row 1"),
        (lambda: time_series_k_fold([0, 1], k=2), "too few for 2 folds"),
    ],
)
def test_faults_are_named(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_one_fold_is_none():
    with pytest.raises(ValueError, match="at least 2 folds"):
        k_fold(10, k=1)
