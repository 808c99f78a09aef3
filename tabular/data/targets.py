"""The column to predict: classes from integers and texts, a value to regress from floats.

Source of that rule: Howard and Gugger 2020, doi:10.3390/info11020108, section 3.
Shapes: N rows.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tabular.data.schema import TableSchema
from tabular.data.values import Array, numbers, texts
from zoo.errors import DataError, check_name, nearest

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

ProblemChoice = Literal["auto", "classification", "regression"]
MANY_CLASSES = 100


@dataclass(frozen=True, slots=True)
class Target:
    """values: class numbers int64 [N], or float32 [N] in the target's unit; classes: their names, None for values."""

    values: Array
    classes: tuple[str, ...] | None

    def of(self, rows: Array) -> "Target":
        """Some of the rows."""
        return Target(self.values[rows], self.classes)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the values; 0 and 1 for classes, and 1 for values that are all equal."""
        if self.classes is not None:
            return 0.0, 1.0
        values = self.values.astype(np.float64)
        return float(values.mean()), float(values.std()) or 1.0


def read_target(series: "pd.Series", *, problem: ProblemChoice, classes: Sequence[str] | None) -> Target:
    """The target without missing values, as classes or as values.

    Raises: DataError for one class only, values that are no numbers, or classes that are not among those named.
    """
    import pandas as pd

    check_name("problem", problem, ("auto", "classification", "regression"))
    name = str(series.name)
    is_float = pd.api.types.is_float_dtype(series.dtype)
    if problem == "regression" or (problem == "auto" and is_float):
        if classes is not None:
            raise DataError(f"The target {name!r} is a number to regress, which has no classes: leave classes out.")
        return Target(_finite(numbers(series, where="the target"), name), None)
    codes, found = texts(series)
    if classes is not None:
        return Target(_codes(codes, found, classes, name), tuple(str(text) for text in classes))
    if len(found) < 2:
        raise DataError(f"Classification needs two classes at least; the target {name!r} is always {found[0]!r}.")
    if len(found) > MANY_CLASSES:
        logger.warning(
            "the target %r has %d different values, each taken for a class; if it is a number to regress: "
            "problem='regression'", name, len(found),
        )  # fmt: skip
    by_number = all(_is_number(text) for text in found)
    names = sorted(found, key=float) if by_number else sorted(found)
    return Target(_codes(codes, found, names, name), tuple(names))


def known_target(frame: "pd.DataFrame", schema: TableSchema) -> Target:
    """The target of other rows, as the schema has it.

    Raises: DataError for a class that training has not seen.
    """
    series = frame[schema.target]
    if schema.classes is None:
        return Target(_finite(numbers(series, where="the target"), schema.target), None)
    codes, found = texts(series)
    return Target(_codes(codes, found, schema.classes, schema.target), schema.classes)


def _codes(codes: Array, found: Sequence[str], classes: Sequence[str], name: str) -> Array:
    places = {str(text): index for index, text in enumerate(classes)}
    unknown = [text for text in found if text not in places]
    if unknown:
        raise DataError(f"The target {name!r} holds {unknown[0]!r}, which is no class. {nearest(unknown[0], places)}")
    return np.array([places[text] for text in found], dtype=np.int64)[codes]


def _finite(values: Array, name: str) -> Array:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"The target {name!r} is not finite in {len(bad)} rows, the first of which is {bad[0] + 1}.")
    return values.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
