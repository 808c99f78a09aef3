"""Which rows train, validate and test: as the table says itself, else drawn by the seed.

Shapes: N rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabular.data.files import SPLIT_NAMES
from tabular.data.targets import Target
from zoo.data import random_split, split_fractions, stratified_split
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


def split_rows(target: Target, given: Array | None, *, validation: float, test: float, seed: int) -> dict[str, Array]:
    """Part names to their rows int64: as `given` [N], the rest drawn from those of train, stratified by class.

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
        if target.classes is None:
            drawn = random_split(len(splittable), fractions=fractions, seed=seed)
        else:
            labels = torch.from_numpy(target.values[splittable])
            drawn = stratified_split(labels, fractions=fractions, seed=seed, names=target.classes)
        parts = {part: splittable[rows.numpy()] for part, rows in drawn.items()}
    for part in (VALIDATION, TEST):
        if part in own:
            parts[part] = np.flatnonzero(given == part)
    return parts
