"""Search of any option of training: trials one after the other, each a run, ended early where they fall behind."""

import importlib.util
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from zoo.data import Bundle
from zoo.errors import DataError, NonFiniteLossError, ZooError, check_name
from zoo.searching.pictures import draw
from zoo.searching.space import Space, applied, check_space, described, read_space
from zoo.searching.study import (
    SETTINGS,
    TRIALS,
    Pruner,
    Sampler,
    Search,
    asked,
    counted,
    mark_killed,
    opened,
)
from zoo.series import STARTS, Plan, Start, claimed, option_names
from zoo.training import Callback, Task, Trainer
from zoo.training.directory import PathLike

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")
# -- Options that decide how the data are read.
READING = ("data_options", "weights", "task")


class TrialEnded(Exception):  # noqa: N818  no error: how a callback leaves the training loop
    """A trial that falls behind the others and is ended here."""


class Reporting(Callback):
    """Tells the study the metric of each epoch, and ends the trial where the study's pruner says so.

    stopping: False lets every trial run to its end.
    """

    def __init__(self, trial: "optuna.Trial", *, metric: str, stopping: bool) -> None:
        self.trial = trial
        self.metric = metric
        self.stopping = stopping

    def on_validation_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        if self.metric not in metrics:
            raise DataError(
                f"There is no validation metric {self.metric!r} to search by; there are {', '.join(metrics)}."
            )
        self.trial.report(metrics[self.metric], step=len(trainer.history) + 1)
        if self.stopping and self.trial.should_prune():
            raise TrialEnded


def search(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    space: Mapping[str, Any],
    trials: int = 20,
    start: Start = "train",
    metric: str | None = None,
    sampler: Sampler = "tpe",
    pruner: Pruner = "median",
    seed: int = 0,
    out: PathLike | None = None,
    progress: bool = True,
    **options: Any,
) -> Search:
    """Looks for the options of training that do best on the validation data, and returns the search.

    The same call with the same `out` goes on where a search was stopped, and more `trials` make it longer. A trial that
    was killed is kept, marked, not counted, and made again. The best value was chosen among many on the validation
    data, so it is too good: judge the best run on a test part.

    model, data: as for `zoo.train`. A module of your own is copied for each trial.
    space:    by option its values: [values], (low, high), a `zoo.searching.Range`, or a text such as "1e-4..1e-1:log",
              "1..8", "adam,sgd". An entry of an option is named as "optimizer_options.weight_decay".
    trials:   that come to an end in all, the pruned ones among them.
    start:    "train" or "fine_tune", whose options the others are.
    metric:   of validation, as the task names it; None takes the one by which the task chooses its best weights.
    sampler:  "tpe" learns from the trials so far; "random" does not.
    pruner:   "median" ends a trial whose best value so far is worse than the median of others at the same epoch.
    seed:     of the sampler, and of every trial unless it is searched over.
    out:      directory of the search; None takes the next free one under `runs/`.
    options:  of every trial.
    Raises:   UnknownArgumentError for an option that does not exist; RunError for an `out` of another search; DataError
              without validation data.
    """
    _check_choices(trials, sampler, pruner)
    check_name("way to start a run", start, STARTS)
    wanted = read_space(space)
    known = [name for name in option_names(start) if name != "callbacks"]
    mappings = [name for name in known if name.endswith("_options")]
    check_space(wanted, options, known, mappings)
    plan = Plan.make(model, data, start=start, options={"seed": seed, **options})
    if plan.bundle.validation is None:
        raise DataError("A search compares trials on validation data, and there are none. Give the data such a part.")
    settings = {
        **plan.settings(), "space": described(wanted), "metric": metric or plan.task.monitor,
        "mode": _mode(plan.task, metric), "sampler": sampler, "pruner": pruner, "seed": seed,
    }  # fmt: skip
    title = model if isinstance(model, str) else type(model).__name__
    rereads = any(name.partition(".")[0] in READING for name in wanted)
    if rereads and isinstance(data, Bundle) and any(name.startswith("data_options") for name in wanted):
        raise ValueError("data_options can be searched over for data at a path; this bundle is read already.")
    source = data if rereads else plan.bundle
    with claimed(out, name=f"{title}-search", file=SETTINGS, settings=settings) as directory:
        found = Search(directory)
        _go_on(found, plan, wanted, source, trials=trials, seed=seed, progress=progress, given=options)
        found.write_table()
        draw(found)
    return found


def _go_on(
    search: Search,
    plan: Plan,
    space: Space,
    data: PathLike | Bundle,
    *,
    trials: int,
    seed: int,
    progress: bool,
    given: Mapping[str, Any],
) -> None:
    with opened(search) as study:
        killed = mark_killed(study)
        if killed:
            logger.info("%d trials were cut short by a kill; they are marked as failed and made again", killed)
        while (done := counted(study)) < trials:
            trial = asked(study, search.settings["sampler"], seed=seed, done=done)
            parameters = {name: part.suggest(trial, name) for name, part in space.items()}
            words = "  ".join(f"{name} {_short(value)}" for name, value in parameters.items())
            logger.info("trial %d (%d of %d): %s", trial.number, done + 1, trials, words)
            _run_trial(search, study, trial, plan, applied({"seed": seed, **given}, parameters), data, progress)
            search.write_table()


def _run_trial(
    search: Search,
    study: "optuna.Study",
    trial: "optuna.Trial",
    plan: Plan,
    options: dict[str, Any],
    data: PathLike | Bundle,
    progress: bool,
) -> None:
    """Trains one trial and tells the study how it ended."""
    import optuna

    states = optuna.trial.TrialState
    directory = search.directory / TRIALS / f"{trial.number:04d}"
    reporting = Reporting(trial, metric=search.metric, stopping=search.settings["pruner"] != "none")
    options.pop("callbacks", None)  # the plan hands them over
    if isinstance(data, Bundle):
        options.pop("data_options", None)
    state, value, reason = states.PRUNED, None, ""
    try:
        run = plan.run(directory, data, callbacks=[reporting], progress=progress, **options)
        value = run.results["validation"].get(search.metric, math.nan)
        state = states.COMPLETE
        if not math.isfinite(value):
            state, value, reason = states.PRUNED, None, f"{search.metric} is not finite"
    except TrialEnded:
        reason = "behind the median of the others"
    except NonFiniteLossError as error:
        reason = f"diverged: {error}"
    except BaseException as error:
        trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        study.tell(trial, state=states.FAIL)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"the search in {search.directory} was stopped; the same call goes on") from error
        raise
    if reason:
        trial.set_user_attr("reason", reason)
    study.tell(trial, values=value, state=state)
    outcome = f"{search.metric} {value:.4g}" if value is not None else f"ended early, {reason}"
    logger.info("trial %d: %s", trial.number, outcome)


def _check_choices(trials: int, sampler: str, pruner: str) -> None:
    if importlib.util.find_spec("optuna") is None:
        raise ZooError("A search needs Optuna, which is not installed: pip install 'optuna>=4'.")
    if trials < 1:
        raise ValueError(f"trials is {trials}; at least 1 is needed.")
    check_name("sampler", sampler, SAMPLERS)
    check_name("pruner", pruner, PRUNERS)


def _mode(task: Task, metric: str | None) -> str:
    """Whether more of a validation metric is better ("max") or less ("min").

    Raises: UnknownNameError for none of the task's; ValueError for one of which neither is better.
    """
    if metric in (None, task.monitor):
        return task.mode
    metrics = task.metrics()
    check_name("metric of the task", str(metric), metrics)
    higher = metrics[str(metric)].higher_is_better
    if higher is None:
        raise ValueError(f"Neither more nor less {metric} is better: search by another metric.")
    return "max" if higher else "min"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
