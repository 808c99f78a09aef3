"""Runs beside each other, and beside classical models fitted on the same rows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.data.balancing import unbalanced
from zoo.errors import DataError, RunError
from zoo.training.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One line of a comparison.

    name:       of the run's directory, or of the classical model.
    model:      name of the run's model, None for a classical one.
    num_params: None where there are none to count.
    values:     metrics by name, on the same part of the data for all.
    """

    name: str
    model: str | None
    num_params: int | None
    values: dict[str, float]


def compare(runs: Sequence[Run], *, split: str | None = None, baselines: bool = False) -> tuple[str, list[Contestant]]:
    """The metrics of several runs of one task on the same part of the same data, the best first.

    split:     "test", "validation" or "train"; None takes the first of the first two that the runs' data have.
    baselines: whether to fit the task's classical models too, on the training part of the first run's data.
    Returns:   the part, and a line for each.
    Raises:    RunError for runs of different tasks; DataError for runs of different data, or a part that is not there.
    """
    if not runs:
        raise RunError("There is nothing to compare: name a run directory, or several.")
    first = runs[0]
    for other in runs[1:]:
        if other.task.name != first.task.name:
            raise RunError(f"{first.directory} is of {first.task.name}, {other.directory} of {other.task.name}.")
        if other.config["data"]["fingerprint"] != first.config["data"]["fingerprint"]:
            raise DataError(
                f"{first.directory} and {other.directory} were not trained and judged on the same data: their figures "
                "do not compare."
            )
    parts = first.bundle.parts
    part = split or next((name for name in ("test", "validation") if name in parts), "train")
    if part not in parts:
        raise DataError(f"There is no {part!r} part in these data; pass split= as one of {', '.join(parts)}.")
    lines = [_line(run, part) for run in runs]
    if baselines:
        fitted, rows = first.task.baselines(), unbalanced(first.bundle)
        if not fitted:
            logger.warning("the task %s has no classical models to compare with", first.task.name)
        for name, fit in fitted.items():
            logger.info("fitting %s on %d rows", name, len(rows.train))
            lines.append(Contestant(name=name, model=None, num_params=None, values=fit(rows, part)))
    monitor, sign = first.task.monitor, -1 if first.task.mode == "max" else 1
    worst = float("inf")
    lines.sort(key=lambda line: sign * line.values[monitor] if monitor in line.values else worst)
    return part, lines


def _line(run: Run, part: str) -> Contestant:
    values = run.results.get(part) or run.evaluate(split=part)
    return Contestant(
        name=run.directory.name, model=run.config["model"]["name"], values=values,
        num_params=sum(parameter.numel() for parameter in run.model.parameters()),
    )  # fmt: skip
