"""What a run knows of its table: the columns, what they mean, and the numbers that encode them.

A schema is plain data: it is saved with the run as JSON, and the encoding of any later row follows from it alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from zoo.errors import DataError

ColumnKind = Literal["continuous", "categorical", "date"]
Problem = Literal["classification", "regression"]
ScaleMethod = Literal["quantile", "standard", "min_max"]

UNKNOWN, MISSING, FIRST = 0, 1, 2
"""Category numbers: of what training has not seen (or too rarely), of a missing value, of the first known category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How the values of a number become about standard normal.

    fill:      median of the training rows, taken for a missing value, in the column's unit.
    indicator: whether an input of its own says that the value is missing: where training rows lack some.
    mean, std: of the training rows, for the method "standard"; for "min_max" their least value and their range.
    quantiles: at equal steps from the lowest to the highest training value, for the method "quantile".
    """

    method: ScaleMethod
    fill: float
    indicator: bool
    mean: float = 0.0
    std: float = 1.0
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column that the model sees.

    scales:     of the numbers that it gives, by part: "" for itself, "year" and so on for those of a date.
    categories: known texts of the categories that it gives, by part, in the order of their numbers from `FIRST` on.
    format:     how dates are written, as strptime takes it, or "ISO8601"; None for those that are dates already.
    """

    name: str
    kind: ColumnKind
    scales: Mapping[str, Scale] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    format: str | None = None

    @property
    def num_inputs(self) -> int:
        """How many continuous inputs it gives, indicators of missing values among them."""
        return sum(1 + scale.indicator for scale in self.scales.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """All that turns a row of a table into a model's inputs, and a model's output into an answer.

    target:  name of the column that is predicted.
    classes: names in the order of the outputs; None for a value.
    target_mean, target_std: of the training rows, in the target's unit; 0 and 1 for classes.
    dropped: columns that the model does not see, with the reason.
    missing: texts that stand for a missing value in files, beside the usual ones.
    """

    columns: tuple[Column, ...]
    target: str
    problem: Problem
    classes: tuple[str, ...] | None = None
    target_mean: float = 0.0
    target_std: float = 1.0
    dropped: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the model sees."""
        return tuple(column.name for column in self.columns)

    @property
    def num_continuous(self) -> int:
        """Continuous inputs of the model, F."""
        return sum(column.num_inputs for column in self.columns)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Categories of each categorical input, K numbers; unknown and missing count as two of them."""
        return tuple(FIRST + len(known) for column in self.columns for known in column.categories.values())

    @property
    def inputs_of(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """For each column, which of the continuous and of the categorical inputs it gives."""
        found, number, category = [], 0, 0
        for column in self.columns:
            numbers = tuple(range(number, number + column.num_inputs))
            categories = tuple(range(category, category + len(column.categories)))
            number, category = number + len(numbers), category + len(categories)
            found.append((numbers, categories))
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data; `from_dict` reads it back."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TableSchema":
        """The schema that `as_dict` wrote."""
        columns = tuple(
            Column(
                name=column["name"], kind=column["kind"], format=column["format"],
                scales={
                    part: Scale(**{**scale, "quantiles": tuple(scale["quantiles"])})
                    for part, scale in column["scales"].items()
                },
                categories={part: tuple(known) for part, known in column["categories"].items()},
            )
            for column in values["columns"]
        )  # fmt: skip
        classes = values["classes"]
        made = {"columns": columns, "classes": None if classes is None else tuple(classes)}
        return cls(**{**values, **made, "missing": tuple(values["missing"])})

    def differences(self, other: "TableSchema") -> list[str]:
        """What of `other` does not fit this schema, in words; empty where both encode alike."""
        own, theirs = {column.name: column for column in self.columns}, {c.name: c for c in other.columns}
        found = [f"it lacks the column {name!r}" for name in own if name not in theirs]
        found += [f"it has the column {name!r} too" for name in theirs if name not in own]
        for name in own:
            if name not in theirs or own[name] == theirs[name]:
                continue
            if own[name].kind == theirs[name].kind:
                found.append(f"the column {name!r} is encoded by other numbers")
            else:
                found.append(f"the column {name!r} is {theirs[name].kind}, not {own[name].kind}")
        if (self.target, self.problem, self.classes) != (other.target, other.problem, other.classes):
            found.append(f"its target is {other.describe_target()}, not {self.describe_target()}")
        return found

    def describe_target(self) -> str:
        """The target in words, such as "income (<=50K or >50K)"."""
        return f"{self.target} ({' or '.join(self.classes)})" if self.classes else f"{self.target} (a number)"


def schema_from(schema: TableSchema | Mapping[str, Any]) -> TableSchema:
    """The schema itself, or the one that a mapping from JSON holds."""
    return schema if isinstance(schema, TableSchema) else TableSchema.from_dict(schema)


def check_columns(present: Sequence[str], wanted: Sequence[str], *, where: str) -> None:
    """Raises DataError naming every column that is wanted and not there, with one that may be meant."""
    import difflib

    lost = [name for name in wanted if name not in present]
    if not lost:
        return
    hints = []
    for name in lost:
        close = difflib.get_close_matches(name, [other for other in present if other not in wanted], n=1, cutoff=0.75)
        hints.append(f"{name!r}" + (f" (is it {close[0]!r}?)" if close else ""))
    raise DataError(
        f"{where} lacks {'the column' if len(lost) == 1 else 'the columns'} {', '.join(hints)}. "
        f"It has {', '.join(map(repr, present)) or 'no columns'}."
    )


def _plain(value: Any) -> Any:
    """Tuples to lists and mappings to dicts, as JSON gives them back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
