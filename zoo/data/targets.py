"""Targets as users have them, in the form that losses take: codes of classes, or values.

The kind of the problem is read from them as fast.ai reads it: integers and strings are classes, floating point
numbers are values to regress. Source: Howard and Gugger 2020, doi:10.3390/info11020108, section 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.data.splits import TRAIN
from zoo.errors import DataError, nearest

Kind = Literal["classification", "regression"]


def encode_targets(
    targets: Any, classes: Sequence[str] | None, *, part: str = TRAIN
) -> tuple[Kind, Tensor, tuple[str, ...] | None]:
    """Targets as the user has them to what a loss takes.

    classes: names in the order of the outputs; None: the sorted values that occur.
    part:    what to call the data in errors.
    Returns: (kind, int64 codes [N] or float32 values [N, ...], class names or None).
    Raises:  DataError for no targets, mixed types, values that are not finite, and unknown names.
    """
    device = targets.device if isinstance(targets, Tensor) else torch.device("cpu")
    values = targets.detach().cpu().numpy() if isinstance(targets, Tensor) else np.asarray(targets)
    if values.ndim == 0 or len(values) == 0:
        raise DataError(f"There are no rows: the targets of {part} are empty.")
    if values.dtype.kind == "O":
        values = _plain_strings(values, part)
    if values.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(bad):
            raise DataError(
                f"{len(bad)} of {len(values)} targets of {part} are NaN or infinite, the first in row {bad[0]}."
            )
        return (
            "regression",
            torch.as_tensor(values.astype(np.float32), device=device),
            None,
        )
    if values.ndim != 1:
        raise DataError(
            f"Class targets must be one a row [N], got the shape {list(values.shape)}; take argmax of one-hot."
        )
    codes, names = _class_codes(values, classes, part)
    return "classification", torch.as_tensor(codes, device=device), names


def _plain_strings(values: np.ndarray, part: str) -> np.ndarray:
    kinds = {type(value).__name__ for value in values.ravel()}
    if kinds != {"str"}:
        raise DataError(f"The targets of {part} must be all strings or all numbers, got {', '.join(sorted(kinds))}.")
    return values.astype(str)


def _class_codes(values: np.ndarray, classes: Sequence[str] | None, part: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.dtype.kind not in "biuUS":
        raise DataError(f"The targets of {part} must be integers, strings or floats, got {values.dtype}.")
    if classes is None:
        found, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64), tuple(str(value) for value in found.tolist())
    names = tuple(str(name) for name in classes)
    if len(set(names)) != len(names):
        raise DataError(f"The class names must differ, got {names}.")
    if values.dtype.kind in "US":
        codes_of = {name: code for code, name in enumerate(names)}
        unknown = sorted(set(values.tolist()) - set(names))
        if unknown:
            raise DataError(
                f"{part} has the class {unknown[0]!r}, which is not among the classes. {nearest(unknown[0], names)}"
            )
        return np.array([codes_of[value] for value in values.tolist()], dtype=np.int64), names
    return values.astype(np.int64), names


def check_classes(targets: Mapping[str, Tensor], kind: Kind | None, names: Sequence[str] | None) -> None:
    """Raises DataError unless every part holds known classes only and train holds two and all that others hold."""
    if kind != "classification" or names is None:
        return
    known = {name: set(codes.unique().tolist()) for name, codes in targets.items()}
    for part, codes in known.items():
        strange = sorted(codes - set(range(len(names))))
        if strange:
            raise DataError(
                f"{part} has the target {strange[0]}, but the {len(names)} classes are 0..{len(names) - 1}."
            )
        untrained = sorted(codes - known[TRAIN])
        if untrained:
            raise DataError(f"{part} has the class {names[untrained[0]]!r}, which is missing in train.")
    if len(known[TRAIN]) < 2:
        only = names[next(iter(known[TRAIN]))]
        raise DataError(f"Classification needs two classes at least; train holds {only!r} only.")
