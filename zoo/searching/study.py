"""What a search found: its trials, kept in an SQLite file by Optuna, and the best run.

Source: Akiba et al. 2019, arXiv:1907.10902 (Optuna); the tree-structured Parzen estimator of Bergstra et al. 2011,
        Algorithms for Hyper-Parameter Optimization, NeurIPS 24, section 4; a median rule after Golovin et al. 2017,
        Google Vizier, doi:10.1145/3097983.3098043.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.data import mix
from zoo.errors import RunError
from zoo.series import read_json
from zoo.training import Run, load_run
from zoo.training.checkpoint import write_atomically
from zoo.training.directory import PathLike

if TYPE_CHECKING:
    import optuna

SETTINGS = "search.json"
STORAGE = "search.db"
TABLE = "trials.csv"
TRIALS = "trials"
NAME = "search"

State = Literal["complete", "pruned", "failed", "running"]
Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "none"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of a search.

    value:  of the searched metric, at its best epoch; of a pruned trial the last one seen; None if there is none.
    reason: why it was not completed; empty for one that was.
    """

    number: int
    state: State
    value: float | None
    parameters: Mapping[str, Any]
    reason: str
    seconds: float | None
    directory: Path


class Search:
    """The directory of a search.

    directory: holds `search.json`, `search.db`, `trials.csv`, pictures, and a run for each trial in `trials/`.
    """

    def __init__(self, directory: PathLike) -> None:
        self.directory = Path(directory)
        self.settings: dict[str, Any] = read_json(self.directory / SETTINGS)

    def __repr__(self) -> str:
        return f"Search({str(self.directory)!r})"

    @property
    def metric(self) -> str:
        """The validation metric by which trials are compared."""
        return str(self.settings["metric"])

    @property
    def mode(self) -> str:
        """Whether more of the metric is better ("max") or less ("min")."""
        return str(self.settings["mode"])

    @property
    def trials(self) -> list[Trial]:
        """All trials in the order they began, killed ones too."""
        with opened(self) as study:
            return [self._trial(frozen) for frozen in study.get_trials(deepcopy=False)]

    @property
    def best(self) -> Trial:
        """The completed trial of the best value. Raises: RunError if no trial was completed."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        if not complete:
            raise RunError(f"No trial of {self.directory} was completed, so there is no best one. Run more of them.")
        sign = -1 if self.mode == "max" else 1
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    @property
    def best_run(self) -> Run:
        """The run of the best trial."""
        return load_run(self.best.directory)

    def write_table(self) -> None:
        """Writes the trials to `trials.csv`, a row for each."""
        names = list(self.settings["space"])
        header = ["trial", "state", self.metric, *names, "seconds", "reason"]
        rows = [
            [trial.number, trial.state, trial.value, *(trial.parameters.get(name) for name in names), trial.seconds,
             trial.reason]
            for trial in self.trials
        ]  # fmt: skip

        def write(path: Path) -> None:
            with open(path, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([header, *rows])

        write_atomically(self.directory / TABLE, write, flush=False)

    def _trial(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        states: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        state = states.get(frozen.state.name, "running")
        reason = frozen.user_attrs.get("reason", "killed" if state == "failed" else "")
        return Trial(
            number=frozen.number, state=state, value=frozen.value, parameters=frozen.params, reason=reason,
            seconds=None if frozen.duration is None else round(frozen.duration.total_seconds(), 3),
            directory=self.directory / TRIALS / f"{frozen.number:04d}",
        )  # fmt: skip


@contextmanager
def opened(search: Search) -> Iterator["optuna.Study"]:
    """The study of a search, made if there is none yet; the file is closed afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{(search.directory / STORAGE).absolute()}")
    try:
        yield optuna.create_study(
            storage=storage, study_name=NAME, direction="maximize" if search.mode == "max" else "minimize",
            pruner=_pruner(search.settings["pruner"]), load_if_exists=True,
        )  # fmt: skip
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(before)


def mark_killed(study: "optuna.Study") -> int:
    """Marks the trials that a killed process left behind as failed, and returns how many there were."""
    import optuna

    left = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for trial in left:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return len(left)


def counted(study: "optuna.Study") -> int:
    """How many trials came to an end: completed or pruned, not those that failed or were killed."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def asked(study: "optuna.Study", sampler: Sampler, *, seed: int, done: int) -> "optuna.Trial":
    """The next trial, whose parameters depend on the seed and the finished trials alone.

    A sampler is made anew for each trial: one that went on from its own state would, after a kill, begin again with
    the parameters that it began with.
    """
    import optuna

    own = mix(seed, done) % 2**32
    if sampler == "random":
        study.sampler = optuna.samplers.RandomSampler(seed=own)
    else:
        study.sampler = optuna.samplers.TPESampler(seed=own, constant_liar=False)
    return study.ask()


def _pruner(name: Pruner) -> "optuna.pruners.BasePruner":
    import optuna

    return optuna.pruners.MedianPruner() if name == "median" else optuna.pruners.NopPruner()
