"""What was found in a table, as text for people: shown before training, so that a wrong guess is seen."""

from collections.abc import Mapping, Sequence

import numpy as np

from tabular.data.inference import Guess
from tabular.data.schema import TableSchema
from tabular.data.values import Array

MOST_CLASSES = 6


def describe(
    title: str,
    guesses: Sequence[Guess],
    schema: TableSchema,
    *,
    target: Array,
    parts: Mapping[str, int],
    leaks: Mapping[str, float],
) -> str:
    """A line for the target, one for the rows, and a table with a line for each column.

    target: class numbers int64 [N], or values [N].
    parts:  rows of each part of the data.
    leaks:  suspicious columns, with how much of the target each tells alone, 0..1.
    """
    counts = ", ".join(f"{count:,} {part}" for part, count in parts.items())
    lines = [f"{title}: {len(guesses)} columns; rows: {counts}", f"target {_target(schema, target)}"]
    rows = [("column", "kind", "values", "missing", "note")]
    for guess in guesses:
        note = guess.note
        if guess.name in leaks:
            note = f"! alone predicts the target ({leaks[guess.name]:.0%} of the way to perfect): known beforehand?"
        elif guess.warning:
            note = f"! {note}"
        missing = f"{guess.missing:.1%}" if guess.missing else ""
        rows.append((guess.name, guess.kind, f"{guess.num_values:,}", missing, note))
    widths = [max(len(row[index]) for row in rows) for index in range(4)]
    for row in rows:
        cells = [f"{row[0]:{widths[0]}}", f"{row[1]:{widths[1]}}", f"{row[2]:>{widths[2]}}", f"{row[3]:>{widths[3]}}"]
        lines.append(("  " + "  ".join([*cells, row[4]])).rstrip())
    return "\n".join(lines)


def warnings_of(guesses: Sequence[Guess], leaks: Mapping[str, float]) -> list[str]:
    """What the user should look at, a sentence each."""
    found = [
        f"the column {name!r} alone predicts the target: if it is not known beforehand, leave it out: ignore=[{name!r}]"
        for name in leaks
    ]
    return found + [f"the column {g.name!r}: {g.note}" for g in guesses if g.warning and g.name not in leaks]


def _target(schema: TableSchema, target: Array) -> str:
    if schema.classes is None:
        low, high = float(target.min()), float(target.max())
        return f"{schema.target!r}: values from {low:g} to {high:g}, mean {schema.target_mean:g} (regression)"
    counts = np.bincount(target, minlength=len(schema.classes))
    order = np.argsort(-counts, kind="stable")
    shares = [f"{schema.classes[index]} {counts[index] / counts.sum():.1%}" for index in order[:MOST_CLASSES]]
    more = [f"{len(order) - MOST_CLASSES} more"] if len(order) > MOST_CLASSES else []
    return f"{schema.target!r}: {len(order)} classes (classification): {', '.join(shares + more)}"
