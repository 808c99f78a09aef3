"""Predictions by row, as a CSV file that people and programs read.

Shapes: N rows, C classes, or numbers of one target.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import RunError
from zoo.training.checkpoint import write_atomically

FIXED = ("row", "fold", "target", "prediction")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What such a file holds: numbers of rows [N], folds [N], and probabilities or values float32 [N, C]."""

    rows: Tensor
    folds: Tensor
    answers: Tensor


def write_rows_file(
    path: Path,
    answers: Tensor,
    targets: Tensor,
    *,
    groups: Tensor,
    classes: Sequence[str] | None,
    rows: Tensor | None = None,
) -> None:
    """Writes probabilities or values [N, C] with their targets, nine digits of each: float32 comes back exactly.

    groups: the fold of each row [N].
    rows:   the number of each [N]; None for 0, 1, 2 and so on.
    """
    numbers = range(len(answers)) if rows is None else rows.tolist()
    if classes is None:
        width = answers.shape[1]
        names = ["prediction"] if width == 1 else [f"prediction_{index}" for index in range(width)]
        goals = ["target"] if width == 1 else [f"target_{index}" for index in range(width)]
        header = ["row", "fold", *goals, *names]
        wanted = targets.reshape(len(answers), -1)
    else:
        header = [*FIXED, *(f"p({name})" for name in classes)]
        wanted = targets

    def cells(place: int) -> list[str]:
        values = [f"{value:.9g}" for value in answers[place].tolist()]
        if classes is None:
            return [*(f"{value:.9g}" for value in wanted[place].tolist()), *values]
        return [classes[int(wanted[place])], classes[int(answers[place].argmax())], *values]

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([number, int(groups[place]), *cells(place)] for place, number in enumerate(numbers))

    write_atomically(path, write)


def read_rows_file(path: Path) -> Rows:
    """What `write_rows_file` wrote. Raises: RunError if there is no such file, or it is damaged."""
    if not path.is_file():
        raise RunError(f"There is no {path}: only classes and numbers are kept row by row.")
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file))
    wanted = [place for place, name in enumerate(header) if name.startswith(("p(", "prediction"))]
    wanted = [place for place in wanted if header[place] != "prediction" or len(wanted) == 1]
    try:
        return Rows(
            rows=torch.tensor([int(line[0]) for line in lines]), folds=torch.tensor([int(line[1]) for line in lines]),
            answers=torch.tensor([[float(line[place]) for place in wanted] for line in lines]),
        )  # fmt: skip
    except (ValueError, IndexError) as error:
        raise RunError(f"{path} is damaged: {error}. Make it again by the same call.") from error
