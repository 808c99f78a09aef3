"""Which rows train, validate and test: as the table says itself, else drawn by the seed.

Shapes: N rows.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabular.data.files import SPLIT_NAMES
from tabular.data.options import TableOptions
from tabular.data.schema import check_columns
from tabular.data.targets import Target
from tabular.data.values import dates, guess_date_format, numbers, texts
from zoo.data import group_split, random_split, split_fractions, stratified_split, time_split
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]


def explicit_parts(
    frame: "pd.DataFrame", parts: Sequence[str] | None, *, split_column: str
) -> "tuple[pd.DataFrame, Array | None]":
    """The table without its column of parts, and the part of each row [N]; None where the table does not say.

    Raises: DataError for a column of parts that holds anything but the names of parts.
    """
    if parts is not None:
        return frame, np.asarray(parts)
    if split_column not in frame.columns:
        return frame, None
    texts = [str(value).strip().lower() for value in frame[split_column].tolist()]
    strange = sorted({text for text in texts if text not in SPLIT_NAMES})
    if strange:
        raise DataError(
            f"The column {split_column!r} says which rows are for train, validation and test, but holds "
            f"{strange[0]!r}. If it is an ordinary column, name another one: split_column=."
        )
    return frame.drop(columns=split_column), np.array([SPLIT_NAMES[text] for text in texts])


def parts_of(
    frame: "pd.DataFrame", target: Target, given: Array | None, options: TableOptions, *, where: str
) -> tuple[dict[str, Array], torch.Tensor | None]:
    """Part names to their rows int64, as the table or the options say, and the group of each row int64 [N] if there is
    a column of groups.

    where:  the table, in errors.
    Raises: DataError as `split_rows`, and for a column that is missing, empty in a row, or holds no times; for a group
            that the table itself puts into two parts, and a class of which training gets no row.
    """
    groups, times = None, None
    if options.group_column is not None and (options.known is None or options.group_column in frame.columns):
        check_columns(list(frame.columns), [options.group_column], where=where)
        groups = _group_numbers(frame[options.group_column], where)
    if options.time_column is not None and options.known is None:
        check_columns(list(frame.columns), [options.time_column], where=where)
        times = _times(frame[options.time_column], where)
    rows = split_rows(
        target, given, validation=options.validation, test=options.test, seed=options.seed, groups=groups, times=times
    )
    if groups is not None:
        _check_groups(groups, rows, frame[options.group_column])
    if groups is not None or times is not None:
        _check_trained(target, rows)
    return rows, None if groups is None else torch.from_numpy(groups)


def split_rows(
    target: Target,
    given: Array | None,
    *,
    validation: float,
    test: float,
    seed: int,
    groups: Array | None = None,
    times: Array | None = None,
) -> dict[str, Array]:
    """Part names to their rows int64: as `given` [N], the rest drawn from those of train, stratified by class, or by
    the `groups` [N] or `times` [N] of the rows.

    Raises: DataError if the table names parts but no rows to train on, or a class has too few rows.
    """
    own = set() if given is None else set(given.tolist())
    if given is not None and TRAIN not in own:
        raise DataError("The table names the parts of its rows, but none is for train.")
    fractions = split_fractions(validation=0.0 if VALIDATION in own else validation, test=0.0 if TEST in own else test)
    splittable = np.arange(len(target.values)) if given is None else np.flatnonzero(given == TRAIN)
    if len(fractions) == 1:
        parts = {TRAIN: splittable}
    else:
        if groups is not None:
            drawn = group_split(groups[splittable], fractions=fractions, seed=seed)
        elif times is not None:
            drawn = time_split(times[splittable], fractions=fractions)
        elif target.classes is None:
            drawn = random_split(len(splittable), fractions=fractions, seed=seed)
        else:
            labels = torch.from_numpy(target.values[splittable])
            drawn = stratified_split(labels, fractions=fractions, seed=seed, names=target.classes)
        parts = {part: splittable[rows.numpy()] for part, rows in drawn.items()}
    for part in (VALIDATION, TEST):
        if part in own:
            parts[part] = np.flatnonzero(given == part)
    return parts


def _group_numbers(series: "pd.Series", where: str) -> Array:
    """The groups of all rows as numbers int64 [N]."""
    if series.isna().any():
        lost = series.isna().to_numpy()
        raise DataError(
            f"{where}: {int(lost.sum())} rows have no {series.name!r}, the first row {int(lost.argmax())}, so it is "
            "unknown which others they belong to. Fill it in, or leave these rows out."
        )
    codes, _ = texts(series)
    return codes.astype(np.int64)


def _times(series: "pd.Series", where: str) -> Array:
    """The times of all rows, float64 or datetime64 [N]."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return numbers(series, where=where)
    moments = pd.api.types.is_datetime64_any_dtype(series.dtype)
    return dates(series, None if moments else guess_date_format(texts(series)[1]), where=where)


def _check_groups(groups: Array, rows: Mapping[str, Array], names: "pd.Series") -> None:
    """Raises DataError for a group in two parts, which only a table that names its parts can do."""
    held = {part: set(groups[index].tolist()) for part, index in rows.items()}
    for one, other in itertools.combinations(held, 2):
        both = held[one] & held[other]
        if both:
            name = names.iloc[int((groups == min(both)).argmax())]
            raise DataError(
                f"The table puts rows of the {names.name} {str(name)!r} into both {one} and {other}, and {len(both)} "
                "groups in all into two parts. Leave group_column out, or let the parts be drawn."
            )


def _check_trained(target: Target, rows: Mapping[str, Array]) -> None:
    """Raises DataError for a class that a part has and training has not."""
    if target.classes is None:
        return
    trained = set(target.values[rows[TRAIN]].tolist())
    for part, index in rows.items():
        strange = sorted(set(target.values[index].tolist()) - trained)
        if strange:
            raise DataError(
                f"Every row of the class {target.classes[strange[0]]!r} is in {part}, none in train: the class has too "
                "few groups or comes too late. Take another seed=, or split in another way."
            )
