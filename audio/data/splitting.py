"""Which clips are for training, which for judging: as the files say, by what their names say, by groups, or by draw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from zoo.data import stratified_split
from zoo.data.listing import Listing, Record
from zoo.data.randomness import mix
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, check_name, nearest

Split = Literal["stratified", "grouped"]


def with_test_part(
    listing: Listing, *, group_column: str, leave_out: Sequence[str] | None, test_where: Mapping[str, Any] | None
) -> list[Record]:
    """The records, those asked for marked as the test part and all others as the training part.

    leave_out:  values of `group_column` whose records are the test part, such as the names of speakers.
    test_where: values of any field, such as {"index": [0, 1]}; what has one of them in every field named is test.
    Raises:     UnknownNameError for a field or group that does not exist; DataError if parts are given twice, or the
                test part is empty or all there is.
    """
    wanted = {name: _texts(values) for name, values in (test_where or {}).items()}
    if leave_out:
        wanted[group_column] = _texts(leave_out)
    if not wanted:
        return listing.records
    if any(record.part for record in listing.records):
        raise DataError("These data name their parts themselves: leave out leave_out= and test_where=.")
    for name, values in wanted.items():
        _check_field(name, listing)
        known = {record.fields[name] for record in listing.records}
        for value in sorted(values):
            check_name(f"{name} of these files", value, known)
    marked = [
        replace(record, part=TEST if all(record.fields[name] in wanted[name] for name in wanted) else TRAIN)
        for record in listing.records
    ]
    count = sum(record.part == TEST for record in marked)
    if count in (0, len(marked)):
        raise DataError(f"{wanted} selects {'no' if count == 0 else 'every'} file as the test part.")
    return marked


def _texts(values: Any) -> set[str]:
    return {str(value) for value in ([values] if isinstance(values, str | int) else values)}


def _check_field(name: str, listing: Listing) -> None:
    if name not in listing.fields:
        hint = nearest(name, listing.fields) if listing.fields else "Give a pattern= or a table that says so."
        raise DataError(f"Nothing says the {name!r} of these files. {hint}")


def draw_parts(
    records: Sequence[Record],
    listing: Listing,
    *,
    names: Sequence[str],
    fractions: Mapping[str, float],
    split: Split,
    group_column: str,
    seed: int,
) -> dict[str, list[Record]]:
    """Records by part: as they say themselves, and by a draw from those of train or of none.

    fractions: share of each part that is to be drawn, train among them.
    split:     "stratified" gives every part the classes' shares; "grouped" keeps the records of a group together, so
               that no speaker is in two parts.
    """
    splittable = [record for record in records if record.part in (None, TRAIN)]
    if not splittable:
        raise DataError("There are no clips left to train on.")
    parts = {TRAIN: splittable}
    if len(fractions) > 1 and split == "grouped":
        _check_field(group_column, listing)
        rows = _grouped([record.fields[group_column] for record in splittable], fractions, group_column, seed)
        parts = {part: [splittable[row] for row in found] for part, found in rows.items()}
    elif len(fractions) > 1:
        codes = {name: code for code, name in enumerate(names)}
        drawn = stratified_split([codes[r.label] for r in splittable], fractions=fractions, seed=seed, names=names)
        parts = {part: [splittable[row] for row in found.tolist()] for part, found in drawn.items()}
    for part in (VALIDATION, TEST):
        own = [record for record in records if record.part == part]
        if own:
            parts[part] = own
    return parts


def _grouped(groups: Sequence[str], fractions: Mapping[str, float], column: str, seed: int) -> dict[str, list[int]]:
    """The group of each row to the rows of each part: whole groups, in random order, where most rows are missing.

    Parts other than train come first, so that each has one group at least.
    """
    names = sorted(set(groups))
    if len(names) < len(fractions):
        raise DataError(
            f"A grouped split into {' and '.join(fractions)} needs {len(fractions)} values of {column!r} at least; "
            f"there are {len(names)}: {', '.join(names)}."
        )
    shuffled = [names[index] for index in np.random.default_rng(mix(seed)).permutation(len(names))]
    missing = {part: share * len(groups) for part, share in fractions.items()}
    chosen: dict[str, str] = {}
    waiting = [part for part in fractions if part != TRAIN] + [TRAIN]
    for name in shuffled:
        part = waiting.pop(0) if waiting else max(missing, key=lambda part: missing[part])
        chosen[name] = part
        missing[part] -= groups.count(name)
    return {part: [row for row, name in enumerate(groups) if chosen[name] == part] for part in fractions}
