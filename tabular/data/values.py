"""A column of a data frame as numbers, as texts of categories, or as dates; what does not fit is named.

Shapes: N rows.
"""

import logging
import re
import warnings
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]
ISO = "ISO8601"
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d.*)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d.*)?")


def numbers(series: "pd.Series", *, where: str) -> Array:
    """A column to float64 [N], NaN where there is no value.

    Raises: DataError naming the column, the first value that is no number and its row.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        _check_read(series, np.isnan(values), where=where, wanted="numbers")
    infinite = np.isinf(values)
    if infinite.any():
        logger.warning("%s: %d infinite values of %r count as missing", where, infinite.sum(), series.name)
        values = np.where(infinite, np.nan, values)
    return values


def texts(series: "pd.Series") -> tuple[Array, list[str]]:
    """A column to codes [N] of its different texts, -1 where there is no value, and those texts.

    Whole numbers read the same whatever their type: 1 and 1.0 are "1".
    Raises: DataError for values that are neither texts, numbers nor dates.
    """
    import pandas as pd

    try:
        codes, values = pd.factorize(series)
    except TypeError as error:
        raise DataError(
            f"The column {series.name!r} holds values that are no categories ({error}); leave it out: ignore=."
        ) from error
    names = [_text(value, series.name) for value in values.tolist()]
    unique = {name: index for index, name in enumerate(dict.fromkeys(names))}
    if len(unique) < len(names):  # such as 1 and "1" in one column
        merged = np.array([unique[name] for name in names], dtype=np.int64)
        codes = np.where(codes < 0, -1, merged[codes])
    return codes.astype(np.int64), list(unique)


def dates(series: "pd.Series", format: str | None, *, where: str) -> Array:
    """A column to datetime64[s] [N] in UTC, NaT where there is no value.

    format: as strptime takes it, or "ISO8601"; None for what is dates already.
    Raises: DataError naming the column, the first value that is no such date and its row.
    """
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(series.dtype):
        if pd.api.types.is_numeric_dtype(series.dtype):
            raise DataError(f"{where}: the column {series.name!r} holds numbers, and dates are wanted.")
        found = pd.to_datetime(series.astype("string"), errors="coerce", format=format or ISO, utc=True)
        wanted = "dates" if format in (None, ISO) else f"dates like {_example(str(format))}"
        _check_read(series, found.isna().to_numpy(), where=where, wanted=wanted)
    else:
        found = pd.to_datetime(series, utc=True)
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[s]")


def guess_date_format(values: Sequence[Any]) -> str | None:
    """The one format in which all of these texts are dates; None if there is none."""
    import pandas as pd
    from pandas.tseries.api import guess_datetime_format

    sample = [str(value) for value in values]
    if not sample or not all(DATE.fullmatch(value) for value in sample):
        return None
    if all(ISO_DATE.fullmatch(value) for value in sample):
        formats: list[str | None] = [ISO]
    else:
        with warnings.catch_warnings():  # of days that cannot be months, which is what is tried out here
            warnings.simplefilter("ignore", UserWarning)
            formats = [guess_datetime_format(sample[0], dayfirst=first) for first in (False, True)]
    for format in formats:
        if format is not None and pd.to_datetime(pd.Series(sample), errors="coerce", format=format).notna().all():
            return format
    return None


def _text(value: Any, column: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool | int | float | date | np.generic):
        return str(value)
    raise DataError(
        f"The column {column!r} holds {type(value).__name__} values, which are no categories; leave it out: ignore=."
    )


def _check_read(series: "pd.Series", unread: Array, *, where: str, wanted: str) -> None:
    """Raises DataError if a value that is there could not be read."""
    bad = np.flatnonzero(unread & series.notna().to_numpy())
    if len(bad):
        raise DataError(
            f"{where}: the column {series.name!r} must hold {wanted}, but {len(bad)} of {len(series)} values do not, "
            f"the first {series.iloc[bad[0]]!r} in row {bad[0] + 1}."
        )


def _example(format: str) -> str:
    from datetime import datetime

    return datetime(2024, 12, 31, 18, 30).strftime(format)
