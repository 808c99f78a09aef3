"""What the readers of tables may be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tabular.data.schema import ScaleMethod, TableSchema, schema_from
from tabular.data.targets import ProblemChoice
from zoo.errors import check_name

COLUMN_LISTS = ("categorical", "continuous", "dates", "ignore")


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """The options of `read_table` and `table_bundle`, checked.

    target:        column to predict; None takes the one that is called target, label, class, y or outcome.
    categorical:   columns that are categories whatever they look like; `continuous`, `dates` and `ignore` (not to be
                   looked at) likewise. A text is a list with commas.
    problem:       "auto" takes an integer or text target for classes and a float one for a value to regress.
    classes:       names in the order of the outputs; None: the texts of the target, sorted (numbers by size).
    encoding:      how numbers become inputs: "quantile" by their rank to a normal distribution, "standard" by mean and
                   standard deviation, "min_max" from 0 to 1 by least and largest. All of it is fitted on the training
                   rows alone.
    min_frequency: training rows in which a category must occur; rarer ones, and those that training has not seen, share
                   the category "unknown".
    missing:       texts of a file that stand for a missing value, beside the usual ones. In a number it is taken as the
                   median, with an input that says so; in a category it is one of its own.
    validation:    share of the rows to split off, by class; `test` likewise. A column `split_column` of the values
                   train, validation and test goes before it.
    group_column:  column whose values are groups, such as a patient's number: no group is in two parts, and the column
                   is no input. The groups serve folds too.
    time_column:   column of times, numbers or dates: the latest rows are the test part, those before them validate. It
                   stays an input, unless `ignore` names it.
    schema:        of a trained run, to read other rows in its form; it decides all that follows from the columns.
    show:          whether to log what was found.
    """

    target: str | None
    categorical: str | Sequence[str]
    continuous: str | Sequence[str]
    dates: str | Sequence[str]
    ignore: str | Sequence[str]
    problem: ProblemChoice
    classes: Sequence[str] | None
    encoding: ScaleMethod
    min_frequency: int
    missing: str | Sequence[str]
    validation: float
    test: float
    split_column: str
    group_column: str | None
    time_column: str | None
    seed: int
    schema: TableSchema | Mapping[str, Any] | None
    show: bool

    def __post_init__(self) -> None:
        for name in COLUMN_LISTS:
            object.__setattr__(self, name, listed(getattr(self, name)))
        check_name("encoding", self.encoding, get_args(ScaleMethod))
        check_name("problem", self.problem, ("auto", "classification", "regression"))
        if self.group_column is not None and self.time_column is not None:
            raise ValueError("Rows are dealt out by group_column or by time_column, not by both: leave one out.")
        if self.min_frequency < 1:
            raise ValueError(f"min_frequency is {self.min_frequency}; at least 1 is needed.")

    @property
    def known(self) -> TableSchema | None:
        """The schema of a trained run, if one is given."""
        return None if self.schema is None else schema_from(self.schema)

    @property
    def left_out(self) -> list[str]:
        """The columns that are no inputs as the user says."""
        group = [] if self.group_column is None or self.group_column in self.ignore else [self.group_column]
        return [*self.ignore, *group]

    @property
    def missing_texts(self) -> list[str]:
        """The texts that stand for a missing value: those of the trained run, if there is one."""
        return listed(self.missing) if self.known is None else list(self.known.missing)

    def as_plain(self) -> dict[str, Any]:
        """All of them as JSON gives them back, to read the same again without showing it."""
        known = self.known
        return {
            **vars(self), "classes": None if self.classes is None else [str(name) for name in self.classes],
            "missing": self.missing_texts, "schema": None if known is None else known.as_dict(), "show": False,
        }  # fmt: skip


def listed(value: str | Sequence[str]) -> list[str]:
    """["a", "b"] from itself or from "a, b"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value]
