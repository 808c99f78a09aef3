"""Checks of constructor arguments that the classifiers share: what came, what is valid, the remedy."""

from collections.abc import Iterable


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raises ValueError with the valid values unless `value` is one of `choices`."""
    valid = tuple(choices)
    if value not in valid:
        raise ValueError(f"{name}={value!r} is not valid: pass one of {', '.join(map(repr, valid))}.")


def check_counts(**counts: int) -> None:
    """Raises ValueError for the first of the named numbers that is not a whole number of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}={count!r} is not valid: pass a whole number of at least 1.")


def check_probabilities(**probabilities: float) -> None:
    """Raises ValueError for the first of the named numbers that is outside [0, 1)."""
    for name, probability in probabilities.items():
        if not 0 <= probability < 1:
            raise ValueError(f"{name}={probability!r} is not valid: pass a number from 0 up to, not including, 1.")
