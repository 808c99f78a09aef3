"""An ensemble: a directory that names its members and how they are combined, and is used as a run is.

Shapes: M members, N rows, C classes, or numbers of one target.
"""

import copy
import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.data import Bundle, load_data
from zoo.data.changes import replay
from zoo.ensembles.combining import average, vote
from zoo.ensembles.outputs import (
    as_answers,
    as_outputs,
    check_kind,
    metrics_of,
    outputs_of,
    predicted_answers,
    prepared_for,
    with_values,
)
from zoo.errors import DataError, RunError, check_name
from zoo.series import read_json
from zoo.training import Inputs, Item, Prediction, Recipe, Run, Task, load_run
from zoo.training.classification import ranked
from zoo.training.directory import PathLike, create_directory, write_json
from zoo.training.loggers import without_nan
from zoo.training.run import WEIGHTS, load_into
from zoo.training.test_time import Average, judged_as, with_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.ensembles.stacking import MetaModel

logger = logging.getLogger(__name__)

FILE = "ensemble.json"
FORMAT = 1
TOP = 5  # classes that a prediction lists

Method = Literal["averaging", "voting", "stacking"]
Kind = Literal["classification", "regression"]
Modules = nn.Module | Sequence[nn.Module | None] | None


class Member(Run):
    """A run with one of its files of weights.

    weights_file: within the run's directory: the best weights, or a snapshot.
    """

    def __init__(
        self,
        directory: PathLike,
        *,
        weights_file: str = WEIGHTS,
        model: nn.Module | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        super().__init__(directory, model=None if model is None else copy.deepcopy(model), bundle=bundle)
        self.weights_file = weights_file

    @cached_property
    def model(self) -> nn.Module:  # type: ignore[override]
        """The model with these weights, in evaluation mode."""
        model = self._build_model()
        load_into(model, self.directory / self.weights_file)
        return model.eval()

    @property
    def reading(self) -> str:
        """A text that is the same for members that read and prepare inputs in the same way."""
        return json.dumps([self.config["task"], None if self.fitted is None else str(self.directory)], sort_keys=True)


class MemberRows(list[Any]):
    """What each member takes for the same inputs, in the order of the members."""


class Ensemble:
    """Several runs of one task that answer together; `evaluate` and `predict` are those of a run.

    directory: holds `ensemble.json`, and `results.json` and pictures once it was judged. The runs stay where they are.
    """

    def __init__(
        self,
        directory: PathLike,
        *,
        model: Modules = None,
        data: Bundle | Sequence[Bundle] | None = None,
        meta: Any = None,
    ) -> None:
        self.directory = Path(directory)
        self.config = read_json(self.directory / FILE)
        if not isinstance(self.config, dict) or self.config.get("format") != FORMAT:
            raise RunError(f"{self.directory / FILE} is not of format {FORMAT}: make the ensemble anew.")
        self.method: Method = self.config["method"]
        self.kind: Kind = self.config["kind"]
        self._meta = meta
        made = self.config["members"]
        modules = [model] * len(made) if model is None or isinstance(model, nn.Module) else list(model)
        self.members = [
            Member(self.directory / member["run"], weights_file=member["weights_file"], model=module)
            for member, module in zip(made, modules, strict=True)
        ]
        self._bundles = [data] * len(made) if data is None or isinstance(data, Bundle) else list(data)

    def __repr__(self) -> str:
        return f"Ensemble({str(self.directory)!r})"

    @classmethod
    def load(
        cls,
        directory: PathLike,
        *,
        model: Modules = None,
        data: Bundle | Sequence[Bundle] | None = None,
        meta: Any = None,
    ) -> "Ensemble":
        """Opens the directory of an ensemble.

        model, data: only for what the runs were given as Python objects; one for all members, or one for each.
        meta:        the meta-model of a stack, if it was given as an object that its options do not make again.
        """
        return cls(directory, model=model, data=data, meta=meta)

    @classmethod
    def of(
        cls,
        runs: Sequence[Run | PathLike],
        *,
        method: Method = "averaging",
        weights: Sequence[float] | None = None,
        weights_files: Sequence[str] | None = None,
        out: PathLike | None = None,
        model: Modules = None,
        data: Bundle | Sequence[Bundle] | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> "Ensemble":
        """Makes an ensemble of trained runs.

        method:        "averaging" of probabilities or values, or "voting" for classes.
        weights:       what each run counts; None: all the same.
        weights_files: for each run the file with its weights, within its directory; None takes the best.
        out:           directory, new or empty; None takes the next free one under `runs/`.
        model:         only for runs of modules of your own: one for all, or one for each.
        data:          what the ensemble is judged on: one bundle, or for each run the same rows in its own form. None:
                       the data of the runs, which must be the same.
        record:        what else to keep in `ensemble.json`.
        Raises:        RunError for runs of different tasks or classes; DataError for answers that do not add up.
        """
        check_name("method", method, get_args(Method))
        opened = [run if isinstance(run, Run) else load_run(run) for run in runs]
        _check_members(opened)
        bundles = [data] * len(opened) if data is None or isinstance(data, Bundle) else list(data)
        kind = check_kind(bundles[0] or opened[0].bundle, "An ensemble")
        if method == "voting" and kind != "classification":
            raise DataError("Voting is for classes; numbers are averaged: method='averaging'.")
        if weights is not None:  # for its checks
            average(torch.zeros(len(opened), 1, 1), weights=weights)
        directory = create_directory(out, name=f"ensemble-{opened[0].directory.name}")
        files = weights_files or [WEIGHTS] * len(opened)
        members = [
            {"run": os.path.relpath(run.directory.absolute(), directory.absolute()), "weights_file": file}
            | ({} if own is None else _data_record(own))
            for run, file, own in zip(opened, files, bundles, strict=True)
        ]
        config = {
            "format": FORMAT, "method": method, "kind": kind, "members": members,
            "weights": None if weights is None else list(weights), **(record or {}),
        }  # fmt: skip
        write_json(directory / FILE, config)
        return cls(directory, model=model, data=data)

    @property
    def task(self) -> Task:
        """The task of the first member, which all others share but for how they read their inputs."""
        return self.members[0].task

    @property
    def recipe(self) -> Recipe:
        """How the first member was trained."""
        return self.members[0].recipe

    @property
    def bundle(self) -> Bundle:
        """The data that the ensemble is judged on, as the first member reads them."""
        return self._bundle_of(0)

    @cached_property
    def meta(self) -> "MetaModel":
        """The model that combines the members of a stack, fitted to what the fold models said."""
        from zoo.ensembles.stacking import MetaModel

        return MetaModel.load(self.directory, self.config["meta"], estimator=self._meta)

    def combine(self, answers: Sequence[Tensor]) -> Tensor:
        """Probabilities or values [N, C] of each member to those of the ensemble [N, C]."""
        if self.method == "stacking":
            return self.meta.predict(answers)
        stacked = torch.stack(list(answers))
        return (vote if self.method == "voting" else average)(stacked, weights=self.config["weights"])

    def evaluate(
        self,
        data: Bundle | PathLike | None = None,
        *,
        split: str | None = None,
        tta: str | None = None,
        average: Average = "probabilities",
    ) -> dict[str, float]:
        """Metrics of the ensemble on a part of the data; of its own it writes `results.json`, with pictures.

        All arguments are as of `Run.evaluate`.
        Raises:      DataError for members whose rows are not the same.
        """
        name, sources = self._sources(data, split)
        said = [
            outputs_of(member, source, title=f"member {number} of {len(self.members)}", tta=tta, average=average)
            for number, (member, source) in enumerate(zip(self.members, sources, strict=True), 1)
        ]
        first, truth = said[0]
        for member, (_, targets) in zip(self.members, said, strict=True):
            if not torch.equal(truth, targets):
                raise DataError(f"{member.directory} and {self.members[0].directory} do not hold the same rows.")
        combined = self.combine([as_answers(outputs, self.kind) for outputs, _ in said])
        values, metrics = metrics_of(self.task, as_outputs(combined, self.kind, first), truth)
        if data is None:
            name = judged_as(name, tta=tta, average=average)
            results = {**self.results, name: values}
            write_json(self.directory / "results.json", {part: without_nan(kept) for part, kept in results.items()})
            for title, figure in self.task.figures(metrics).items():
                figure.savefig(self.directory / f"{title}_{name.replace(' ', '_')}.png", dpi=120)
        return values

    @property
    def results(self) -> dict[str, dict[str, float]]:
        """What `evaluate` found, by part of the data."""
        path = self.directory / "results.json"
        held = read_json(path) if path.is_file() else {}
        return {
            part: {name: float("nan") if value is None else value for name, value in values.items()}
            for part, values in held.items()
        }

    @torch.no_grad()
    def predict(
        self, inputs: Item | Sequence[Item] | Any, *, tta: str | None = None, average: Average = "probabilities"
    ) -> list[Prediction]:
        """A readable prediction for each row of a file or of several, of texts, or of a batch of inputs."""
        given = self.read_inputs(inputs).rows
        rows = given if isinstance(given, MemberRows) else [given] * len(self.members)
        classes = getattr(self.task, "classes", None)
        every = {} if self.kind == "regression" else {"top": len(classes or ())}
        said = [
            member.task.predict(with_views(member.task, member.model, tta=tta, average=average), own, **every)
            for member, own in zip(self.members, rows, strict=True)
        ]
        combined = self.combine([predicted_answers(predictions, self.kind, classes) for predictions in said])
        if self.kind == "classification":
            return ranked(combined, classes or (), top=TOP)
        return [with_values(prediction, row) for prediction, row in zip(said[0], combined.tolist(), strict=True)]

    def read_inputs(self, inputs: Item | Sequence[Item] | Any) -> Inputs:
        """What the members predict for: files and texts are read once for members that read alike."""
        if isinstance(inputs, Inputs):
            return inputs
        read: dict[str, Inputs] = {}
        for member in self.members:
            if member.reading not in read:
                read[member.reading] = member.read_inputs(inputs)
        own = [read[member.reading] for member in self.members]
        return Inputs(rows=MemberRows(found.rows for found in own), names=own[0].names)

    def picture(
        self, inputs: Item | Sequence[Item] | Any, *, tta: str | None = None, average: Average = "probabilities"
    ) -> "Figure | None":
        """Inputs with what is predicted for them, as a picture; None where the task has nothing to draw."""
        read = self.read_inputs(inputs)
        rows = read.rows[0] if isinstance(read.rows, MemberRows) else read.rows
        return self.task.picture(self.members[0].model, rows, self.predict(read, tta=tta, average=average))

    def explain(self, *_: Any, **__: Any) -> Any:
        """Raises RunError: methods look into one model."""
        raise RunError(
            f"An ensemble cannot be explained; explain its members: zoo explain {self.members[0].directory}."
        )

    def _sources(self, data: Bundle | PathLike | None, split: str | None) -> tuple[str, list[Any]]:
        """The name of the part to judge, and each member's source of its rows."""
        read: dict[str, Bundle] = {}
        bundles = []
        for index, member in enumerate(self.members):
            made = self.config["members"][index].get("origin")
            key = json.dumps([member.reading, member.config["data"], made], sort_keys=True)
            if key not in read:
                read[key] = self._bundle_of(index) if data is None else prepared_for(member, data)
            bundles.append(read[key])
        parts = bundles[0].parts
        order = [name for name in ("test", "validation", "train") if name in parts and (data or name != "train")]
        name = split or next(iter(order), "validation")
        if any(name not in bundle.parts for bundle in bundles):
            raise DataError(f"There is no {name!r} part in these data; pass split= as one of {', '.join(parts)}.")
        return name, [bundle.parts[name] for bundle in bundles]

    def _bundle_of(self, index: int) -> Bundle:
        """What a member is judged on: as given, as the ensemble was made for, or the data that all were trained on."""
        member, made, given = self.members[index], self.config["members"][index], self._bundles[index]
        if given is not None:
            return prepared_for(member, given)
        if "origin" not in made:
            if len({other.config["data"]["fingerprint"] for other in self.members}) > 1:
                raise DataError(
                    "The members were trained on different rows, so that none of them are held out from all: pass data="
                )
            return member.bundle
        if not made["origin"]:
            raise RunError(f"The data of {self.directory} were given in memory. Pass them again: Ensemble.load(data=).")
        bundle = replay(load_data(task=member.config["task"]["name"], **made["origin"]), made["changes"])
        if made["fingerprint"] and bundle.fingerprint != made["fingerprint"]:
            raise DataError(f"The data at {made['origin'].get('path')} changed since the ensemble was made.")
        return prepared_for(member, bundle)


def open_run(directory: PathLike) -> Run | Ensemble:
    """Opens a directory that holds a run or an ensemble."""
    return Ensemble.load(directory) if (Path(directory) / FILE).is_file() else load_run(directory)


def _data_record(bundle: Bundle) -> dict[str, Any]:
    """Where data come from and what was done to them, as `Run` keeps it."""
    changes = [dict(change) for change in bundle.changes]
    return {"origin": dict(bundle.origin), "changes": changes, "fingerprint": bundle.fingerprint}


def _check_members(runs: Sequence[Run]) -> None:
    """Raises RunError unless the runs answer the same question."""
    if not runs:
        raise RunError("An ensemble needs members: name a run directory, or several.")
    first = runs[0]
    for other in runs[1:]:
        if other.task.name != first.task.name:
            raise RunError(f"{first.directory} is of {first.task.name}, {other.directory} of {other.task.name}.")
        classes, theirs = getattr(first.task, "classes", None), getattr(other.task, "classes", None)
        if classes != theirs:
            raise RunError(
                f"{first.directory} knows the classes {', '.join(classes or ['none'])}, {other.directory} "
                f"{', '.join(theirs or ['none'])}: they must be the same, in the same order."
            )
