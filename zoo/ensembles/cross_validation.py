"""Cross-validation: every row is judged once, by a model that was not trained on it.

Source: Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; Kohavi 1995, IJCAI 14, section 3, for stratified folds.
Shapes: N rows of the pool, k folds, C classes, or numbers of one target.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.data import Bundle, Folds, folds
from zoo.data.bundle import fingerprint_of
from zoo.data.folds import FoldKind, fold_as_test
from zoo.data.splits import TEST, VALIDATION
from zoo.ensembles.outputs import KINDS, as_answers, metrics_of, outputs_of
from zoo.ensembles.rows_file import read_rows_file, write_rows_file
from zoo.errors import check_name
from zoo.series import Plan, Start, claimed, read_json
from zoo.training import Run, load_run
from zoo.training.directory import PathLike, write_json
from zoo.training.loggers import without_nan

logger = logging.getLogger(__name__)

SETTINGS = "cross_validation.json"
RESULTS = "results.json"
ROWS = "out_of_fold.csv"

Selection = Literal["last", "best"]


class CrossValidation:
    """The directory of a cross-validation.

    directory: holds `cross_validation.json`, a run for each fold in `folds/`, `results.json`, and `out_of_fold.csv`:
               for each row its number in the pool (the training rows in their order, then those of validation), its
               fold, target and prediction, and of classes the probability of each.
    """

    def __init__(self, directory: PathLike) -> None:
        self.directory = Path(directory)
        self.settings: dict[str, Any] = read_json(self.directory / SETTINGS)
        self._results: dict[str, Any] = read_json(self.directory / RESULTS)

    def __repr__(self) -> str:
        return f"CrossValidation({str(self.directory)!r})"

    @property
    def folds(self) -> list[dict[str, float]]:
        """The metrics of each fold, on the rows that it held out."""
        return [_with_nan(values) for values in self._results["folds"]]

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each metric over the folds."""
        return _with_nan(self._results["mean"])

    @property
    def standard_error(self) -> dict[str, float]:
        """The standard error of each mean: the folds' standard deviation over the root of their number.

        It takes the folds for independent. They share training rows, so it is too small by what no one can tell from
        them: Bengio and Grandvalet 2004, JMLR 5, pages 1089-1105.
        """
        return _with_nan(self._results["standard_error"])

    @property
    def pooled(self) -> dict[str, float]:
        """The metrics of all rows together, each predicted by the model that did not see it; empty for other tasks."""
        return _with_nan(self._results["pooled"])

    @property
    def runs(self) -> list[Run]:
        """The run of each fold."""
        return [load_run(fold_directory(self.directory, index)) for index in range(self.settings["k"])]

    def out_of_fold(self) -> tuple[Tensor, Tensor]:
        """Probabilities or values [N, C] of the rows of the pool in their order, and the fold [N] of each."""
        found = read_rows_file(self.directory / ROWS)
        return found.answers, found.folds


def cross_validate(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    k: int = 5,
    kind: FoldKind | None = None,
    groups: Any = None,
    start: Start = "train",
    selection: Selection = "last",
    seed: int = 0,
    out: PathLike | None = None,
    progress: bool = True,
    **options: Any,
) -> CrossValidation:
    """Trains on all folds but one and judges on that one, k times, and returns metrics and out-of-fold predictions.

    The training and validation rows are cut into folds; a test part is left alone. The same call with the same `out`
    goes on where it was stopped: finished folds are not trained again.

    model, data: as for `zoo.train`. A module of your own is copied for each fold.
    kind, groups: of the folds: see `zoo.data.folds`.
    start:       "train" or "fine_tune", whose options the others are.
    selection:   which weights are judged: the "last", so that nothing of a fold is chosen by the rows that judge it,
                 or the "best" on these rows, as a single run keeps them, which flatters.
    seed:        of the folds, and of every run.
    out:         directory; None takes the next free one under `runs/`.
    Raises:      DataError for data that cannot be cut; RunError for an `out` of other settings.
    """
    check_name("selection", selection, get_args(Selection))
    if selection == "last" and options.get("patience") is not None:
        raise ValueError("patience stops by the rows that are to judge: leave it out, or take selection='best'.")
    plan = Plan.make(model, data, start=start, options={**options, "seed": seed})
    plan.check_rows("Cross-validation")
    cuts = folds(plan.bundle, k, kind=kind, seed=seed, groups=groups)
    settings = {
        **plan.settings(), "k": k, "kind": kind, "selection": selection, "seed": seed,
        "rows": fingerprint_of(*cuts.rows),
    }  # fmt: skip
    title = model if isinstance(model, str) else type(model).__name__
    with claimed(out, name=f"{title}-folds", file=SETTINGS, settings=settings) as directory:
        return run_folds(plan, cuts, directory, selection=selection, progress=progress)


def run_folds(plan: Plan, cuts: Folds, directory: Path, *, selection: Selection, progress: bool) -> CrossValidation:
    """Trains the folds that are not finished, and writes what they found into a directory."""
    values, outputs, targets = [], [], []
    for index in range(len(cuts)):
        logger.info("fold %d of %d", index + 1, len(cuts))
        bundle = judged_fold(cuts[index], selection)
        part = TEST if selection == "last" else VALIDATION
        run = plan.run(fold_directory(directory, index), bundle, progress=progress)
        values.append(run.results[part])
        if bundle.kind in KINDS:
            output, target = outputs_of(run, run.bundle.parts[part], title=f"fold {index + 1}")
            outputs.append(output)
            targets.append(target)
    results: dict[str, Any] = {"folds": values, **summary(values), "pooled": {}}
    if outputs:
        ordered, truth = cuts.in_order(outputs), cuts.in_order(targets)
        results["pooled"] = metrics_of(plan.task, ordered, truth)[0]
        numbers = cuts.in_order([torch.full((len(rows),), index) for index, rows in enumerate(cuts.rows)])
        answers = as_answers(ordered, str(plan.bundle.kind))
        write_rows_file(directory / ROWS, answers, truth, groups=numbers, classes=plan.bundle.classes)
    write_json(directory / RESULTS, _without_nan(results))
    return CrossValidation(directory)


def judged_fold(bundle: Bundle, selection: Selection) -> Bundle:
    """A fold whose held-out rows are its test part, out of sight of training; or its validation part as it was."""
    return bundle if selection == "best" else fold_as_test(bundle)


def fold_directory(directory: Path, index: int) -> Path:
    """Where the run of a fold is."""
    return directory / "folds" / str(index)


def summary(values: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """The "mean" and the "standard_error" of each metric over k folds; NaN where a fold has none, or k is 1."""
    names = list(dict.fromkeys(name for row in values for name in row))
    table = {name: torch.tensor([row.get(name, math.nan) for row in values], dtype=torch.float64) for name in names}
    alone = len(values) < 2
    return {
        "mean": {name: float(column.mean()) for name, column in table.items()},
        "standard_error": {
            name: math.nan if alone else float(column.std(correction=1)) / math.sqrt(len(values))
            for name, column in table.items()
        },
    }


def _without_nan(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [without_nan(row) for row in value] if isinstance(value, list) else without_nan(value)
        for name, value in results.items()
    }


def _with_nan(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}
