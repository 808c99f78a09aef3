"""Splits of rows into named parts: plain, stratified by class, by group, by time, or as the user says.

Every function returns a mapping of the parts' names to their rows, ascending, int64; each row is in one part.
Shapes: N rows, K classes, G groups, P parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.randomness import mix
from zoo.errors import DataError, nearest
from zoo.parts.splits import SPLITS

TRAIN, VALIDATION, TEST = "train", "validation", "test"
DRAWS = 64  # of the groups' order, of which the one nearest to the shares is kept
MOST_STEPS = 200_000  # of them all together, so that very many groups, for which one draw will do, take no time

Column = Sequence[Any] | np.ndarray | Tensor


def make_split(name: str, rows: Any, **options: Any) -> Any:
    """The rows of each part, or of each fold, by the split called `name`: `zoo list-parts --kind split`.

    rows:    their number for "random" and "k_fold"; for all others one value a row [N]: its class, group, time or part.
    options: of the split, checked by name: fractions, seed, k and so on.
    Returns: a mapping of part names to rows; of folds a list of such mappings.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names; else as the split.
    """
    return SPLITS.make(name, rows, **options)


def split_fractions(*, validation: float, test: float) -> dict[str, float]:
    """Shares of validation and test, each in [0, 1), to the shares of all parts that are not empty, train first."""
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"validation and test must be shares that leave rows to train, got {validation} and {test}.")
    fractions = {TRAIN: 1 - validation - test, VALIDATION: validation, TEST: test}
    return {name: share for name, share in fractions.items() if share > 0}


def stratified_split(
    labels: Column,
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
    values = one_a_row(labels, "label")
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


def group_split(groups: Column, *, fractions: Mapping[str, float], seed: int = 0) -> dict[str, Tensor]:
    """One group a row [N], integers or strings, to the rows of each part, so that no group is in two parts.

    Groups are dealt out in random order, each to the part that lacks most rows; of several orders that one is kept
    whose parts are nearest to their shares. Every part has one group at least.

    fractions: share of the rows of each part, in (0, 1], adding up to 1.
    Raises:    DataError if there are fewer groups than parts.
    """
    shares = _checked_shares(fractions)
    names, codes, counts = np.unique(one_a_row(groups, "group"), return_inverse=True, return_counts=True)
    if len(names) < len(shares):
        shown = ", ".join(map(str, names.tolist()))
        raise DataError(
            f"A split by group into {' and '.join(fractions)} needs {len(shares)} groups at least; there are "
            f"{len(names)}: {shown}. Leave a part out, or split in another way."
        )
    generator = np.random.default_rng(mix(seed))
    exact = shares * len(codes)
    best, least = np.zeros(len(names), dtype=np.int64), np.inf
    for _ in range(max(1, min(DRAWS, MOST_STEPS // len(names)))):
        places = _dealt_out(counts, exact, generator.permutation(len(names)))
        off = np.abs(np.bincount(places, weights=counts, minlength=len(shares)) - exact).sum()
        if off < least - 1e-9:
            best, least = places, off
    return {name: torch.from_numpy(np.flatnonzero(best[codes] == part)) for part, name in enumerate(fractions)}


def time_split(times: Column, *, fractions: Mapping[str, float]) -> dict[str, Tensor]:
    """One time a row [N], numbers or dates, to the rows of each part, each part later than the one before it.

    Rows of one time stay together, so shares are met as near as the times allow.

    fractions: share of each part, in (0, 1], adding up to 1, the earliest part first: train, validation, test.
    Raises:    DataError for times that are missing or texts, and too few different ones.
    """
    shares = _checked_shares(fractions)
    values = times_of(times)
    found, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(found) < len(shares):
        raise DataError(
            f"A split by time into {' and '.join(fractions)} needs {len(shares)} different times, got {len(found)}."
        )
    ends = np.cumsum(counts)  # rows up to each time
    bounds = [0]
    for part, share in enumerate(np.cumsum(shares)[:-1]):
        first, last = bounds[-1], len(found) - len(shares) + part  # each part gets one time at least
        bounds.append(first + 1 + int(np.abs(ends[first : last + 1] - share * len(values)).argmin()))
    bounds.append(len(found))
    return {
        name: torch.from_numpy(np.flatnonzero((codes >= bounds[part]) & (codes < bounds[part + 1])))
        for part, name in enumerate(fractions)
    }


def column_split(parts: Column) -> dict[str, Tensor]:
    """The name of its part for each row [N], "train", "val" or "test" for instance, to the rows of each part.

    Returns: the parts that occur, train first.
    Raises:  DataError for a name that is none of a part, and no rows to train on.
    """
    from zoo.data.listing import PARTS

    texts = np.array([str(name).strip().lower() for name in one_a_row(parts, "part").tolist()])
    strange = sorted(set(texts.tolist()) - set(PARTS))
    if strange:
        row = int((texts == strange[0]).argmax())
        raise DataError(f"Row {row} is for the part {strange[0]!r}. {nearest(strange[0], PARTS)}")
    names = np.array([PARTS[text] for text in texts.tolist()])
    if TRAIN not in names:
        raise DataError(f"No row is for train, only for {', '.join(sorted(set(names.tolist())))}.")
    return {
        name: torch.from_numpy(np.flatnonzero(names == name)) for name in (TRAIN, VALIDATION, TEST) if name in names
    }


def one_a_row(values: Column, what: str) -> np.ndarray:
    """A column as an array [N].

    what:   its name in errors.
    Raises: DataError for no rows, and more than one value a row.
    """
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if found.ndim != 1 or len(found) == 0:
        raise DataError(f"One {what} a row is needed, got {what}s of the shape {list(found.shape)}.")
    return found


def times_of(times: Column) -> np.ndarray:
    """One time a row [N] as what can be put in order: numbers, or datetime64.

    Raises: DataError for texts, and times that are missing.
    """
    values = one_a_row(times, "time")
    if values.dtype.kind not in "biufM":
        raise DataError(f"Times must be numbers or dates, got {values.dtype}; turn texts into dates first.")
    lost = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    if lost.any():
        raise DataError(f"{int(lost.sum())} of {len(values)} rows have no time, the first row {int(lost.argmax())}.")
    return values


def _dealt_out(counts: np.ndarray, exact: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows of each group [G], rows wanted of each part [P] and an order of the groups to the part of each [G]."""
    missing = exact.copy()
    places = np.zeros(len(counts), dtype=np.int64)
    waiting = [*range(1, len(exact)), 0]  # each part gets one group first, the smaller ones before train
    for group in order:
        part = waiting.pop(0) if waiting else int(missing.argmax())
        places[group] = part
        missing[part] -= counts[group]
    return places


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
