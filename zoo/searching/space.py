"""The space of a search: for each option a range of numbers or a list of values.

An option is named as `zoo.train` names it; an entry of an option that holds several is named with a dot between:
"lr", "batch_size", "optimizer_options.weight_decay", "model_options.width".
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import UnknownArgumentError, nearest

if TYPE_CHECKING:
    import optuna

Value = None | bool | int | float | str
WORDS: Mapping[str, Value] = {"none": None, "null": None, "true": True, "false": False}
FORMS = "LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP, or values with commas between"


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both ends are int.

    log:  whether each factor is as likely as any other, rather than each difference.
    step: between two values; None allows any, or every whole number.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"A range runs from a lower to a higher number, got {self.low}..{self.high}.")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(f"A logarithmic range has ends above 0 and no step, got {self.low}..{self.high}.")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step is {self.step}; it must be above 0 and fit into {self.low}..{self.high}.")

    def suggest(self, trial: "optuna.Trial", name: str) -> Value:
        """The value of a trial."""
        if isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None):
            return trial.suggest_int(name, self.low, self.high, log=self.log, step=self.step or 1)
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values, none of them nearer to another."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2 or len(set(map(repr, self.values))) < len(self.values):
            raise ValueError(f"A choice is of two different values or more, got {list(self.values)}.")
        strange = [value for value in self.values if not isinstance(value, Value)]
        if strange:
            raise ValueError(f"A choice is of numbers, texts, True, False and None, got {strange[0]!r}.")

    def suggest(self, trial: "optuna.Trial", name: str) -> Value:
        """The value of a trial."""
        value: Value = trial.suggest_categorical(name, self.values)
        return value


Space = Mapping[str, Range | Choice]


def read_space(given: Mapping[str, Any]) -> Space:
    """A space as users write it: by name a Range, a Choice, a list of values, a tuple (low, high), or a text.

    A text is "1e-4..1e-1:log", "1..8", "0.0..0.5:0.1", or "adam,sgd".
    Raises: ValueError for anything else, naming the option.
    """
    if not given:
        raise ValueError(f"There is nothing to search over: give the space of an option as {FORMS}.")
    return {name: _read(name, value) for name, value in given.items()}


def described(space: Space) -> dict[str, Any]:
    """The space as JSON can keep it."""
    return {name: asdict(part) for name, part in space.items()}


def check_space(space: Space, options: Mapping[str, Any], known: Sequence[str], mappings: Sequence[str]) -> None:
    """Raises UnknownArgumentError for what training does not take, ValueError for what is given and searched both.

    options:  that are given to every trial.
    known:    all options of training; mappings: those of them that hold several by name.
    """
    for name in space:
        option, dot, entry = name.partition(".")
        if option not in known:
            raise UnknownArgumentError(f"There is no option {option!r} to search over. {nearest(option, known)}")
        if dot and option not in mappings:
            raise UnknownArgumentError(f"{option} has no entries: search over {option}, not {name}.")
        if option in mappings and not entry:
            raise ValueError(f"{option} holds several options: name the one to search over, as {option}.NAME.")
        fixed = entry in (options.get(option) or {}) if dot else options.get(option) is not None
        if fixed:
            raise ValueError(f"{name} is both given and searched over: leave one of the two out.")


def applied(options: Mapping[str, Any], parameters: Mapping[str, Value]) -> dict[str, Any]:
    """Options of training with the parameters of a trial in them."""
    chosen = dict(options)
    for name, value in parameters.items():
        option, dot, entry = name.partition(".")
        chosen[option] = {**(chosen.get(option) or {}), entry: value} if dot else value
    return chosen


def _read(name: str, value: Any) -> Range | Choice:
    try:
        if isinstance(value, Range | Choice):
            return value
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, tuple) and len(value) == 2 and all(type(end) in (int, float) for end in value):
            return Range(low=value[0], high=value[1])
        if isinstance(value, Sequence):
            return Choice(values=tuple(value))
    except ValueError as error:
        raise ValueError(f"The space of {name}: {error}") from None
    raise ValueError(f"The space of {name} must be a list of values, (low, high), a Range or a text, got {value!r}.")


def _from_text(text: str) -> Range | Choice:
    ends, separator, rest = text.partition("..")
    if not separator:
        return Choice(values=tuple(_value(part.strip()) for part in text.split(",")))
    high, colon, kind = rest.partition(":")
    numbers = [_value(ends), _value(high), *([_value(kind)] if colon and kind != "log" else [])]
    if any(type(number) not in (int, float) for number in numbers):
        raise ValueError(f"expected {FORMS}, got {text!r}.")
    low, top, *step = numbers
    if any(isinstance(number, float) for number in numbers):
        low, top, step = float(low), float(top), [float(number) for number in step]  # type: ignore[arg-type]
    return Range(low=low, high=top, log=kind == "log", step=step[0] if step else None)  # type: ignore[arg-type]


def _value(text: str) -> Value:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, Value) else text
