"""The errors a user can cause, each with what was expected, what came and the remedy."""

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Base of every error the zoo raises on purpose."""


class UnknownNameError(ZooError, LookupError):
    """A name that no catalogue holds."""


class DuplicateNameError(ZooError, ValueError):
    """A name that is taken already."""


class CatalogError(ZooError, ImportError):
    """A catalogue of an installed package that cannot be read or added."""


class UnknownArgumentError(ZooError, TypeError):
    """An argument that the builder of a model or part does not take."""


class WeightsError(ZooError, RuntimeError):
    """Weights that are missing, damaged, unsafe to read, or do not fit the model."""


class DataError(ZooError, ValueError):
    """Data that cannot be used, with the file or column at fault."""


class RunError(ZooError, RuntimeError):
    """A run that cannot be created, opened or resumed as asked."""


class NonFiniteLossError(ZooError, ArithmeticError):
    """A loss that became NaN or infinite; the last good checkpoint is kept."""


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """A sentence with the names in `known` closest to `name`, or with all of them where they are few."""
    names = sorted(set(known))
    likeness = {known_name: difflib.SequenceMatcher(None, name, known_name).ratio() for known_name in names}
    close = sorted((other for other in names if likeness[other] >= 0.5), key=lambda other: (-likeness[other], other))
    close = close[:count]
    if close:
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    if not names:
        return "There is none to choose from."
    if len(names) <= 12:
        return f"Known: {', '.join(names)}."
    return f"{len(names)} are known, {names[0]!r} and {names[-1]!r} among them."


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises UnknownNameError with the nearest names unless `name` is in `known`."""
    names = list(known)
    if name not in names:
        raise UnknownNameError(f"No {kind} is called {name!r}. {nearest(name, names)}")
