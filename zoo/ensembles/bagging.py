"""Bagging: the same training on rows drawn with replacement, and an estimate from the rows that were not drawn.

Source: Breiman 1996, Bagging Predictors, doi:10.1007/BF00058655; out-of-bag estimates from Breiman 1996, Out-of-bag
        Estimation, technical report, Statistics Department, University of California, Berkeley.
Shapes: N training rows, C classes, or numbers of one target.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data import Bundle, mix
from zoo.data.bundle import fingerprint_of
from zoo.data.folds import select
from zoo.data.splits import TRAIN
from zoo.ensembles.ensemble import FILE, Ensemble
from zoo.ensembles.outputs import as_answers, as_outputs, check_kind, metrics_of, outputs_of, prepared_for
from zoo.ensembles.rows_file import write_rows_file
from zoo.series import Plan, Start, claimed
from zoo.training import Run
from zoo.training.directory import PathLike, write_json
from zoo.training.loggers import without_nan

logger = logging.getLogger(__name__)

SETTINGS = "bagging.json"
ROWS = "out_of_bag.csv"
RESULTS = "out_of_bag.json"


def bootstrap_rows(num_rows: int, *, seed: int, index: int = 0) -> Tensor:
    """As many rows as there are, drawn with replacement, ascending, int64 [num_rows].

    About 37% are not drawn, (1 - 1 / N)^N.
    seed, index: of the ensemble, and which of its members it is for.
    """
    generator = torch.Generator().manual_seed(mix(seed, index))
    return torch.randint(num_rows, (num_rows,), generator=generator).sort().values


def bag(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    members: int = 10,
    start: Start = "train",
    seed: int = 0,
    out: PathLike | None = None,
    progress: bool = True,
    **options: Any,
) -> Ensemble:
    """Trains each member on its own draw of the training rows, and returns their average.

    The rows that a member did not draw judge it: each row is predicted by the members that did not see it, and
    `out_of_bag.json` holds the metrics of these predictions, `out_of_bag.csv` the predictions, whose column "fold"
    says how many members made them. Rows that every member drew are left out and counted as "rows_left_out". The same
    call with the same `out` goes on where it was stopped.

    model, data: as for `zoo.train`. A module of your own is copied for each member.
    start:       "train" or "fine_tune", whose options the others are.
    seed:        of the draws, and of every run.
    """
    if members < 2:
        raise ValueError(f"members is {members}; at least 2 are needed.")
    plan = Plan.make(model, data, start=start, options={**options, "seed": seed})
    plan.check_rows("Bagging")
    check_kind(plan.bundle, "Bagging")
    settings = {**plan.settings(), "members": members, "seed": seed}
    title = model if isinstance(model, str) else type(model).__name__
    with claimed(out, name=f"{title}-bag", file=SETTINGS, settings=settings) as directory:
        draws = [bootstrap_rows(len(plan.bundle.train), seed=seed, index=index) for index in range(members)]
        runs = []
        for index in range(members):
            logger.info("member %d of %d", index + 1, members)
            drawn = bootstrap(plan.bundle, seed=seed, index=index)
            place = directory / "members" / str(index)
            runs.append(plan.run(place, drawn, progress=progress))
        _judge_out_of_bag(plan, runs, draws, directory)
        if not (directory / "ensemble" / FILE).is_file():
            Ensemble.of(runs, out=directory / "ensemble", data=plan.bundle)
        return Ensemble.load(
            directory / "ensemble", data=plan.bundle, model=model if isinstance(model, nn.Module) else None
        )


def bootstrap(bundle: Bundle, *, seed: int, index: int) -> Bundle:
    """A bundle whose training part is a draw of its rows: a change that a run makes again when it is opened."""
    rows = bootstrap_rows(len(bundle.train), seed=seed, index=index)
    groups = {**bundle.groups, TRAIN: bundle.groups[TRAIN][rows]} if bundle.groups else {}
    return replace(
        bundle, train=select(bundle.train, rows), groups=groups,
        changes=(*bundle.changes, {"change": "bootstrap", "seed": seed, "index": index}),
        fingerprint=bundle.fingerprint and fingerprint_of(bundle.fingerprint, rows),
    )  # fmt: skip


def _judge_out_of_bag(plan: Plan, runs: list[Run], draws: list[Tensor], directory: Path) -> None:
    """Predicts each training row by the members that did not draw it, and writes predictions and metrics."""
    source, kind = plan.bundle.train, str(plan.bundle.kind)
    said = [
        outputs_of(run, prepared_for(run, plan.bundle).train, title=f"member {number}")
        for number, run in enumerate(runs, 1)
    ]
    like, truth = said[0]
    unseen = torch.ones(len(runs), len(source), dtype=torch.bool)
    for number, rows in enumerate(draws):
        unseen[number, rows] = False
    count = unseen.sum(0)
    known = count > 0
    every = torch.stack([as_answers(outputs, kind) for outputs, _ in said])  # [M, N, C]
    answers = every.where(unseen[:, :, None], 0.0).sum(0)[known] / count[known, None]
    results: dict[str, Any] = {"rows_left_out": int((~known).sum()), "metrics": {}}
    if known.any():
        numbers, _ = metrics_of(plan.task, as_outputs(answers, kind, like[known]), truth[known])
        results["metrics"] = without_nan(numbers)
        write_rows_file(
            directory / ROWS, answers, truth[known], groups=count[known], classes=plan.bundle.classes,
            rows=known.nonzero()[:, 0],
        )  # fmt: skip
    write_json(directory / RESULTS, results)
