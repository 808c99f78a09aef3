"""Seeded splits of rows into named parts: stratified by class, or plain.

Shapes: N rows, K classes, P parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.randomness import mix
from zoo.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def split_fractions(*, validation: float, test: float) -> dict[str, float]:
    """Shares of validation and test, each in [0, 1), to the shares of all parts that are not empty, train first."""
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"validation and test must be shares that leave rows to train, got {validation} and {test}.")
    fractions = {TRAIN: 1 - validation - test, VALIDATION: validation, TEST: test}
    return {name: share for name, share in fractions.items() if share > 0}


def stratified_split(
    labels: Sequence[Any] | np.ndarray | Tensor,
    *,
    fractions: Mapping[str, float],
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """One label a row [N], integers or strings, to the rows of each part, so that each part has the classes' shares.

    Every row is in one part. A class has within one row of its exact share in each part, except that it goes to as
    many parts as it has rows for, those with the largest share first.

    fractions: share of each part, in (0, 1], adding up to 1.
    names:     what to call the classes 0, 1, ... in errors.
    Returns:   part name to its rows in ascending order, int64.
    Raises:    DataError naming a class with one row, if there are two parts or more.
    """
    shares = _checked_shares(fractions)
    values = np.asarray(labels)
    if values.ndim != 1 or len(values) == 0:
        raise DataError(f"One label a row is needed, got labels of the shape {list(values.shape)}.")
    classes, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(shares) > 1 and counts.min() == 1:
        lonely = classes[counts.argmin()]
        name = lonely if names is None else names[int(lonely)]
        raise DataError(
            f"The class {str(name)!r} has one row only, which cannot be in {' and '.join(fractions)} both. "
            "Add rows, leave the class out, or give the parts yourself."
        )
    takes = _allocate(counts, shares)
    parts: list[list[Tensor]] = [[] for _ in shares]
    for code, take in enumerate(takes):
        rows = torch.from_numpy(np.flatnonzero(codes == code))
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(mix(seed, code)))]
        for part, piece in zip(parts, rows.split(take.tolist()), strict=True):
            part.append(piece)
    return {name: torch.cat(part).sort().values for name, part in zip(fractions, parts, strict=True)}


def random_split(num_rows: int, *, fractions: Mapping[str, float], seed: int = 0) -> dict[str, Tensor]:
    """The rows 0..num_rows-1 to the rows of each part, ascending; for targets that are no classes.

    fractions: share of each part, in (0, 1], adding up to 1; every part gets at least one row.
    Raises:    DataError if there are fewer rows than parts.
    """
    shares = _checked_shares(fractions)
    if num_rows < len(shares):
        raise DataError(f"{num_rows} rows cannot be split into {' and '.join(fractions)}.")
    take = _allocate(np.array([num_rows]), shares)[0]
    rows = torch.randperm(num_rows, generator=torch.Generator().manual_seed(mix(seed)))
    return {name: part.sort().values for name, part in zip(fractions, rows.split(take.tolist()), strict=True)}


def _checked_shares(fractions: Mapping[str, float]) -> np.ndarray:
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if len(shares) == 0 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be above 0 and add up to 1, got {dict(fractions)}.")
    return shares


def _allocate(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Rows of each class [K] and shares of the parts [P] to the rows of each class in each part, int64 [K, P].

    Largest remainders, where what one class is owed is carried on to the next: so the parts' totals come out right
    too. A part that is owed a class's only rows gets one first.
    """
    by_size = np.argsort(-shares, kind="stable")
    takes = np.zeros((len(counts), len(shares)), dtype=np.int64)
    owed = np.zeros(len(shares))
    for code, count in enumerate(counts):
        exact = count * shares
        least = np.zeros(len(shares), dtype=np.int64)
        least[by_size[:count]] = 1
        take = np.maximum(np.floor(exact + 1e-9).astype(np.int64), least)
        while take.sum() > count:
            take[np.argmax(np.where(take > least, take - exact, -np.inf))] -= 1
        wanting = np.where(take < exact + 1, exact - take + owed, -np.inf)
        take[np.argsort(-wanting, kind="stable")[: count - take.sum()]] += 1
        owed += exact - take
        takes[code] = take
    return takes
