"""From columns to the numbers and categories that a model takes, fitted on training rows alone.

Source of entity categories and of the parts of dates: Howard and Gugger 2020, doi:10.3390/info11020108, section 3.4;
quantile transform to a normal distribution as in Gorishniy et al. 2021, arXiv:2106.11959, section 4.2.
Differs from the paper: equal values take the middle of their ranks (the paper adds noise to tell them apart), and the
lowest and highest ranks are half a step off 0 and 1 (scikit-learn's transform, which it uses, puts them at +-5.2).
Shapes: N rows, F continuous inputs, K categorical ones, Q quantiles.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from tabular.data.schema import FIRST, MISSING, UNKNOWN, Column, Scale, ScaleMethod, TableSchema, check_columns
from tabular.data.source import TableBatch
from tabular.data.values import Array, dates, numbers, texts
from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MOST_QUANTILES = 1000
MOSTLY_UNKNOWN = 0.5
SECONDS_PER_DAY = 86_400
MONTHS = tuple(str(month) for month in range(1, 13))
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def fit_number(name: str, values: Array, *, method: ScaleMethod) -> Column:
    """The column of a number from its training values [N], NaN where missing."""
    return Column(name=name, kind="continuous", scales={"": fit_scale(values, method=method)})


def fit_categories(name: str, series: "pd.Series", *, min_frequency: int) -> Column:
    """The column of a category from its training rows; texts in fewer than `min_frequency` rows stay unknown."""
    codes, names = texts(series)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    known = sorted(text for text, count in zip(names, counts, strict=True) if count >= min_frequency)
    return Column(name=name, kind="categorical", categories={"": tuple(known)})


def fit_dates(name: str, values: Array, *, format: str | None, method: ScaleMethod) -> Column:
    """The column of a date from its training values [N]: days since 1970, year, day, hour if there are times; month
    and day of the week as categories."""
    parts = date_numbers(values)
    hours = parts["hour"]
    timed = bool((hours[~np.isnan(hours)] != 0).any())
    scales = {part: fit_scale(found, method=method) for part, found in parts.items() if timed or part != "hour"}
    only_once = {  # one indicator will do
        part: Scale(
            method=scale.method, fill=scale.fill, indicator=scale.indicator and part == "elapsed",
            mean=scale.mean, std=scale.std, quantiles=scale.quantiles,
        )
        for part, scale in scales.items()
    }  # fmt: skip
    return Column(
        name=name, kind="date", scales=only_once, categories={"month": MONTHS, "weekday": WEEKDAYS}, format=format
    )


def fit_scale(values: Array, *, method: ScaleMethod) -> Scale:
    """The scale of a number from its training values [N], NaN where missing.

    Raises: DataError if there is none.
    """
    lost = np.isnan(values)
    seen = values[~lost]
    if not len(seen):
        raise DataError("A column without any value in the training rows cannot be encoded; leave it out: ignore=.")
    fill = float(np.median(seen))
    if method == "standard":
        filled = np.where(lost, fill, values)
        std = float(filled.std())
        return Scale(
            method=method, fill=fill, indicator=bool(lost.any()), mean=float(filled.mean()), std=std if std > 0 else 1.0
        )
    if method == "min_max":
        low, width = float(seen.min()), float(seen.max() - seen.min())
        return Scale(method=method, fill=fill, indicator=bool(lost.any()), mean=low, std=width if width > 0 else 1.0)
    steps = np.linspace(0, 1, min(MOST_QUANTILES, max(len(seen), 2)))
    return Scale(
        method=method, fill=fill, indicator=bool(lost.any()), quantiles=tuple(np.quantile(seen, steps).tolist())
    )


def scaled(values: Array, scale: Scale) -> Array:
    """Values [N], NaN where missing, to float32 [N] about standard normal, or from 0 to 1 on the training rows."""
    filled = np.where(np.isnan(values), scale.fill, values)
    if scale.method != "quantile":
        return ((filled - scale.mean) / scale.std).astype(np.float32)
    quantiles = np.asarray(scale.quantiles)
    steps = np.linspace(0, 1, len(quantiles))
    # Upwards gives equal values their last rank, downwards their first; the mean is the middle one.
    upper = np.interp(filled, quantiles, steps)
    lower = 1 - np.interp(-filled, -quantiles[::-1], steps)
    half_step = 0.5 / len(quantiles)
    ranks = ((upper + lower) / 2).clip(half_step, 1 - half_step)
    return torch.special.ndtri(torch.from_numpy(ranks)).float().numpy()


def date_numbers(values: Array) -> dict[str, Array]:
    """Dates datetime64[s] [N] to the numbers that they give, NaN where missing."""
    lost = np.isnat(values)
    days = values.astype("datetime64[D]")
    parts = {
        "elapsed": values.astype(np.float64) / SECONDS_PER_DAY,
        "year": values.astype("datetime64[Y]").astype(np.float64) + 1970,
        "day": (days - days.astype("datetime64[M]")).astype(np.float64) + 1,
        "hour": (values - days).astype(np.float64) / 3600,
    }
    return {part: np.where(lost, np.nan, found) for part, found in parts.items()}


def date_categories(values: Array) -> dict[str, Array]:
    """Dates datetime64[s] [N] to the category numbers that they give."""
    lost = np.isnat(values)
    months = values.astype("datetime64[M]").astype(np.int64) % 12
    weekdays = (values.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday
    return {
        "month": np.where(lost, MISSING, FIRST + months),
        "weekday": np.where(lost, MISSING, FIRST + weekdays),
    }


def category_numbers(series: "pd.Series", known: Sequence[str]) -> Array:
    """A column to category numbers int64 [N]: `UNKNOWN`, `MISSING`, or `FIRST` plus the place among `known`."""
    codes, names = texts(series)
    places = {text: FIRST + index for index, text in enumerate(known)}
    lookup = np.array([places.get(name, UNKNOWN) for name in names] + [MISSING], dtype=np.int64)
    return lookup[codes]  # -1, a missing value, is the last one


def encode(frame: "pd.DataFrame", schema: TableSchema, *, where: str = "the table") -> TableBatch:
    """The rows of a frame as a model takes them: continuous float32 [N, F], categories int64 [N, K].

    Columns that the schema does not know are not looked at.
    Raises: DataError naming every column that is missing, or one whose values are of the wrong kind.
    """
    check_columns([str(name) for name in frame.columns], schema.names, where=where)
    inputs: list[Array] = []
    categories: list[Array] = []
    for column in schema.columns:
        series = frame[column.name]
        if column.kind == "date":
            moments = dates(series, column.format, where=where)
            found = date_categories(moments)
            categories += [found[part] for part in column.categories]
            inputs += _scaled_parts(date_numbers(moments), column.scales)
        elif column.kind == "continuous":
            inputs += _scaled_parts({"": numbers(series, where=where)}, column.scales)
        else:
            categories.append(category_numbers(series, column.categories[""]))
    return TableBatch(
        torch.from_numpy(np.stack(inputs, axis=1)) if inputs else torch.zeros(len(frame), 0),
        torch.from_numpy(np.stack(categories, axis=1)) if categories else torch.zeros(len(frame), 0, dtype=torch.int64),
    )


def strangers(frame: "pd.DataFrame", schema: TableSchema) -> list[str]:
    """The categorical columns most of whose values training has not seen, so that another meaning is likely: each with
    a sentence that says so."""
    found = []
    for column in schema.columns:
        if column.kind != "categorical" or not column.categories[""]:
            continue
        codes = category_numbers(frame[column.name], column.categories[""])
        unknown, present = codes == UNKNOWN, int((codes != MISSING).sum())
        if unknown.sum() > MOSTLY_UNKNOWN * present:
            example = frame[column.name].iloc[int(unknown.argmax())]
            found.append(
                f"training has not seen {unknown.sum()} of {present} values of the column {column.name!r}, such as "
                f"{example!r} (it has, for one, {column.categories[''][0]!r}): they count as unknown"
            )
    return found


def _scaled_parts(parts: Mapping[str, Array], scales: Mapping[str, Scale]) -> list[Array]:
    """Each number that a column gives, followed by the indicator of its missing values where there is one."""
    found: list[Array] = []
    for part, scale in scales.items():
        found.append(scaled(parts[part], scale))
        if scale.indicator:
            found.append(np.isnan(parts[part]).astype(np.float32))
    return found
