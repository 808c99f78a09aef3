"""Rows cut into k folds, each of which is judged once by a model that was trained on the others.

Every function returns k mappings of "train" and "validation" to their rows, ascending, int64.
Shapes: N rows, K classes, k folds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.randomness import mix
from zoo.data.splits import TRAIN, VALIDATION, Column, one_a_row, times_of
from zoo.errors import DataError

Fold = dict[str, Tensor]
Labels = Column  # one value a row: classes, groups or times


def k_fold(num_rows: int, *, k: int, seed: int = 0) -> list[Fold]:
    """The rows 0..num_rows-1 in k folds drawn by the seed, whose sizes differ by one row at most.

    Raises: DataError if there are fewer rows than folds.
    """
    from sklearn.model_selection import KFold

    _check_k(k, num_rows)
    return _folds(KFold(k, shuffle=True, random_state=_state(seed)).split(np.zeros(num_rows)))


def stratified_k_fold(labels: Column, *, k: int, seed: int = 0, names: Sequence[str] | None = None) -> list[Fold]:
    """One label a row [N] to k folds drawn by the seed, each with the classes' shares.

    names:  what to call the classes 0, 1, ... in errors.
    Raises: DataError naming a class with fewer rows than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    values = one_a_row(labels, "label")
    _check_k(k, len(values))
    _check_classes(values, k, names)
    splitter = StratifiedKFold(k, shuffle=True, random_state=_state(seed))
    return _folds(splitter.split(np.zeros(len(values)), values))


def group_k_fold(groups: Column, *, k: int, seed: int = 0) -> list[Fold]:
    """One group a row [N], integers or strings, to k folds of whole groups, with about as many rows in each.

    The largest groups are dealt out first, each to the smallest fold; the seed decides among groups of one size.
    Raises: DataError if there are fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    values = one_a_row(groups, "group")
    _check_k(k, len(values))
    names, codes = np.unique(values, return_inverse=True)
    _check_groups(names, k)
    shuffled = np.random.default_rng(mix(seed)).permutation(len(names))[codes]
    return _folds(GroupKFold(k).split(np.zeros(len(values)), groups=shuffled))


def stratified_group_k_fold(
    labels: Column, *, groups: Column, k: int, seed: int = 0, names: Sequence[str] | None = None
) -> list[Fold]:
    """One label and one group a row [N] to k folds of whole groups, each as near the classes' shares as these allow.

    names:  what to call the classes 0, 1, ... in errors.
    Raises: DataError naming a class with fewer rows than folds; for fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    values, members = one_a_row(labels, "label"), one_a_row(groups, "group")
    if len(values) != len(members):
        raise DataError(f"{len(values)} labels do not go with {len(members)} groups; give one of each for every row.")
    _check_k(k, len(values))
    _check_groups(np.unique(members), k)
    _check_classes(values, k, names)
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=_state(seed))
    return _folds(splitter.split(np.zeros(len(values)), values, members))


def time_series_k_fold(times: Column, *, k: int, gap: int = 0) -> list[Fold]:
    """One time a row [N], numbers or dates, to k folds that each validate on rows later than all they train on.

    Rows are put in order of time and cut into k + 1 stretches; fold i trains on the first i + 1 and validates on the
    next. Rows of one time are kept in the order that they have; those of the first stretch are never validated on.
    gap:    rows left out between training and validation, for targets that look ahead.
    Raises: DataError if there are too few rows.
    """
    from sklearn.model_selection import TimeSeriesSplit

    values = times_of(times)
    if k < 2 or gap < 0:
        raise ValueError(f"k must be at least 2 and gap not negative, got {k} and {gap}.")
    if len(values) // (k + 1) <= gap:
        raise DataError(f"{len(values)} rows are too few for {k} folds with a gap of {gap}; ask for fewer folds.")
    order = np.argsort(values, kind="stable")
    found = TimeSeriesSplit(k, gap=gap).split(order)
    return _folds((order[train], order[held_out]) for train, held_out in found)


def _check_k(k: int, num_rows: int) -> None:
    if k < 2:
        raise ValueError(f"k is {k}; at least 2 folds are needed.")
    if num_rows < k:
        raise DataError(f"{num_rows} rows cannot be cut into {k} folds; ask for fewer.")


def _check_classes(values: np.ndarray, k: int, names: Sequence[str] | None) -> None:
    classes, counts = np.unique(values, return_counts=True)
    if counts.min() < k:
        rare = classes[counts.argmin()]
        name = rare if names is None else names[int(rare)]
        raise DataError(
            f"The class {str(name)!r} has {counts.min()} rows, too few for {k} folds with one in each. "
            f"Ask for {max(2, int(counts.min()))} folds, add rows, leave the class out, or cut without regard to the "
            f'classes: "random".'
        )


def _check_groups(names: np.ndarray, k: int) -> None:
    if len(names) < k:
        shown = ", ".join(map(str, names[:8].tolist()))
        raise DataError(f"{k} folds need {k} groups at least; there are {len(names)}: {shown}. Ask for fewer folds.")


def _state(seed: int) -> int:
    return seed & 0xFFFFFFFF


def _folds(pairs: Any) -> list[Fold]:
    return [
        {TRAIN: torch.from_numpy(np.sort(train)), VALIDATION: torch.from_numpy(np.sort(held_out))}
        for train, held_out in pairs
    ]
