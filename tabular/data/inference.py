"""What the columns of a table are, guessed from their values; the user's word goes over every guess."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tabular.data.values import guess_date_format, numbers, texts
from zoo.errors import DataError, check_name

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["continuous", "categorical", "date", "dropped"]

TARGET_NAMES = ("target", "label", "class", "y", "outcome")
MOST_INTEGER_CATEGORIES = 10
ROWS_PER_INTEGER_CATEGORY = 5
# -- A text column is taken for identifiers or free text from this share of different values, and this many, on.
IDENTIFIER_SHARE, IDENTIFIER_VALUES = 0.95, 50
MOSTLY_NUMBERS = 0.9
MUCH_MISSING = 0.5
IDENTIFIER_NAME = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|index|unnamed: \d+)$)|[a-z]I[Dd]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a column is taken to be.

    num_values: different values, without missing ones.
    missing:    share of the rows without a value, 0..1.
    note:       why it is dropped, or what to look at; empty where there is nothing to say.
    warning:    whether the note is one to act on.
    """

    name: str
    kind: Kind
    num_values: int
    missing: float
    note: str = ""
    warning: bool = False
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of columns, by name."""

    categorical: Sequence[str] = ()
    continuous: Sequence[str] = ()
    dates: Sequence[str] = ()
    ignore: Sequence[str] = ()
    kinds: Mapping[str, Kind] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        given: dict[str, Kind] = {}
        groups: tuple[tuple[Kind, Sequence[str]], ...] = (
            ("categorical", self.categorical), ("continuous", self.continuous), ("date", self.dates),
            ("dropped", self.ignore),
        )  # fmt: skip
        for kind, names in groups:
            for name in names:
                if name in given:
                    raise ValueError(f"The column {name!r} cannot be {given[name]} and {kind} both.")
                given[name] = kind
        object.__setattr__(self, "kinds", given)

    def check(self, columns: Sequence[str], *, target: str) -> None:
        """Raises UnknownNameError for a column that is not there; DataError for a wish about the target."""
        for name in self.kinds:
            check_name("column", name, columns)
            if name == target:
                raise DataError(f"The target {name!r} is no input: leave it out of categorical, continuous and ignore.")


def find_target(columns: Sequence[str], target: str | None) -> str:
    """The column to predict: the one named, else the only one whose name says so.

    Raises: DataError with all columns where no name says so, or several do; UnknownNameError for a wrong one.
    """
    if target is not None:
        check_name("column", target, columns)
        return target
    found = [name for name in columns if name.lower() in TARGET_NAMES]
    if len(found) == 1:
        return found[0]
    which = f"{' and '.join(map(repr, found))} could be it" if found else "no column is called so"
    raise DataError(
        f"Which column is to be predicted? None was named, and {which}. Pass target= (on the command line "
        f"--data-set target=NAME) as one of: {', '.join(columns)}."
    )


def guess_columns(frame: "pd.DataFrame", *, target: str, wishes: Wishes) -> list[Guess]:
    """A guess for each column but the target, in the order of the table.

    Raises: DataError if no column is left to predict from.
    """
    wishes.check([str(name) for name in frame.columns], target=target)
    found = [
        _guess(frame[name], wishes.kinds.get(str(name)), rows=len(frame)) for name in frame.columns if name != target
    ]
    if all(guess.kind == "dropped" for guess in found):
        raise DataError(f"No column is left to predict {target!r} from: {', '.join(g.name for g in found) or 'none'}.")
    return found


def _guess(series: "pd.Series", wish: Kind | None, *, rows: int) -> Guess:
    name, missing = str(series.name), float(series.isna().mean())
    if wish == "dropped":
        return Guess(name=name, kind="dropped", num_values=0, missing=missing, note="ignored as asked")
    num_values = int(_count(series))
    base: dict[str, Any] = {"name": name, "num_values": num_values, "missing": missing}
    if num_values == 0:
        if wish is not None:
            raise DataError(f"The column {name!r} is to be {wish}, but it holds no value at all.")
        return Guess(**base, kind="dropped", note="empty")
    if wish is not None:
        format = _date_format(series) if wish == "date" else None
        if wish == "continuous":
            numbers(series, where="the table")  # for its check
        return Guess(**base, kind=wish, note="as asked", format=format)
    if num_values == 1 and not missing:
        return Guess(**base, kind="dropped", note=f"constant: always {_short(str(series.iloc[0]))}")
    kind, note, warning, format = _kind_of(series, num_values, rows=rows)
    if kind != "dropped" and missing > MUCH_MISSING and not note:
        note, warning = "more than half is missing", True
    return Guess(**base, kind=kind, note=note, warning=warning, format=format)


def _kind_of(series: "pd.Series", num_values: int, *, rows: int) -> tuple[Kind, str, bool, str | None]:
    """Kind, note, whether that warns, and how dates are written."""
    import pandas as pd

    dtype, name = series.dtype, str(series.name)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "date", "", False, None
    if pd.api.types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return "categorical", "", False, None
    if pd.api.types.is_integer_dtype(dtype):
        return _kind_of_integers(series, num_values, rows=rows)
    if pd.api.types.is_numeric_dtype(dtype):
        return "continuous", "", False, None
    values = texts(series)[1]
    format = guess_date_format(values)
    if format is not None:
        return "date", "", False, format
    is_number = pd.to_numeric(pd.Series(values), errors="coerce").notna().to_numpy()
    if len(values) > MOST_INTEGER_CATEGORIES and is_number.mean() > MOSTLY_NUMBERS:
        if is_number.all():
            return "categorical", f"numbers written as text; if it measures: continuous={[name]}", True, None
        stray = _short(values[int(is_number.argmin())])
        return "categorical", f"numbers but for {stray}; if that means missing: missing=[{stray}]", True, None
    if len(values) >= IDENTIFIER_VALUES and len(values) > IDENTIFIER_SHARE * int(series.notna().sum()):
        return "dropped", f"identifier or free text; to keep it: categorical={[name]}", True, None
    return "categorical", "", False, None


def _kind_of_integers(series: "pd.Series", num_values: int, *, rows: int) -> tuple[Kind, str, bool, None]:
    name, present = str(series.name), series.dropna()
    if num_values <= MOST_INTEGER_CATEGORIES and rows >= ROWS_PER_INTEGER_CATEGORY * num_values:
        return "categorical", "", False, None
    if num_values == len(present) and num_values >= IDENTIFIER_VALUES:
        steps = present.diff().dropna()
        if IDENTIFIER_NAME.search(name) or bool((steps == 1).all()):
            return "dropped", f"numbers the rows; to keep it: continuous={[name]}", True, None
        return "continuous", "different in every row: an identifier?", True, None
    if IDENTIFIER_NAME.search(name):
        return "categorical", f"numbers of things, by its name; if it measures: continuous={[name]}", False, None
    return "continuous", "", False, None


def _date_format(series: "pd.Series") -> str | None:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return None
    format = guess_date_format(texts(series)[1])
    if format is None:
        raise DataError(
            f"The column {str(series.name)!r} is to be dates, but no one way of writing them fits all its values, such "
            f"as {_short(str(series.dropna().iloc[0]))}. Write them as 2024-12-31."
        )
    return format


def _count(series: "pd.Series") -> int:
    """How many different values there are, without missing ones."""
    try:
        return int(series.nunique())
    except TypeError as error:
        raise DataError(
            f"The column {str(series.name)!r} holds values that cannot be compared ({error}); leave it out: ignore=."
        ) from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 20 else text[:19] + "…")
