"""Stacking: a model over models, fitted to what each said of rows that it had not seen.

Source: Wolpert 1992, Stacked Generalization, doi:10.1016/S0893-6080(05)80023-1; probabilities of classes as inputs from
        Ting and Witten 1999, doi:10.1613/jair.594. The steps are those of scikit-learn's StackingClassifier and
        StackingRegressor.
Differs from the paper: nothing known.
Shapes: M members, N rows, C classes, or numbers of one target, F inputs of the meta-model.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data import Bundle, folds
from zoo.data.bundle import fingerprint_of
from zoo.data.folds import FoldKind, joined
from zoo.ensembles.cross_validation import SETTINGS as FOLDS
from zoo.ensembles.cross_validation import run_folds
from zoo.ensembles.ensemble import FILE, Ensemble
from zoo.ensembles.outputs import check_kind
from zoo.errors import DataError, RunError
from zoo.lookup import check_arguments, import_object
from zoo.series import Plan, Start, claimed
from zoo.training.checkpoint import write_atomically
from zoo.training.directory import PathLike, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SETTINGS = "stacking.json"
FEATURES = "out_of_fold.npz"
DEFAULTS = {"classification": "sklearn.linear_model:LogisticRegression", "regression": "sklearn.linear_model:RidgeCV"}

Base = str | nn.Module | tuple[str | nn.Module, Mapping[str, Any]]


class MetaModel:
    """A fitted scikit-learn model over the answers of the members.

    estimator: what is fitted, a fresh copy of it.
    inputs:    [N, F] as `meta_inputs` gives them, of rows that the members had not seen; targets: [N] classes, or
               numbers.
    """

    def __init__(self, estimator: Any, inputs: "NDArray[Any]", targets: "NDArray[Any]", *, kind: str) -> None:
        from sklearn.base import clone

        self.kind = kind
        self.estimator = clone(estimator)
        if kind == "classification" and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(
                f"{type(estimator).__name__} gives no probabilities; take a meta-model that has predict_proba, such as "
                f"{DEFAULTS[kind]}."
            )
        self.estimator.fit(inputs, targets)

    def predict(self, answers: Sequence[Tensor]) -> Tensor:
        """Probabilities or values [N, C] of each member to those of the stack [N, C]."""
        inputs = meta_inputs(answers, self.kind)
        if self.kind == "regression":
            values = torch.from_numpy(np.asarray(self.estimator.predict(inputs), dtype=np.float64))
            return values.reshape(len(inputs), -1)
        probs = torch.zeros(len(inputs), answers[0].shape[1], dtype=torch.float64)
        known = torch.as_tensor(np.asarray(self.estimator.classes_).astype(np.int64))
        probs[:, known] = torch.from_numpy(np.asarray(self.estimator.predict_proba(inputs), dtype=np.float64))
        return probs

    @classmethod
    def load(cls, directory: Path, record: Mapping[str, Any], *, estimator: Any = None) -> "MetaModel":
        """The meta-model of an ensemble, fitted again to the out-of-fold answers that lie beside its directory.

        Nothing is unpickled, which could run code.
        estimator: in place of the one that the record names. Raises: RunError where that is needed, or files are gone.
        """
        if estimator is None:
            if record["options"] is None or not record["name"].startswith("sklearn."):
                raise RunError(
                    f"The meta-model {record['name']} cannot be made again from {directory}: it was given as an "
                    "object. Pass it: Ensemble.load(directory, meta=estimator)."
                )
            estimator = import_object(record["name"])(**record["options"])
        try:
            with np.load(directory.parent / FEATURES, allow_pickle=False) as held:
                return cls(estimator, held["inputs"], held["targets"], kind=record["kind"])
        except (OSError, KeyError, ValueError) as error:
            path = directory.parent / FEATURES
            raise RunError(f"{path} is missing or damaged: {error}. Make the stack again.") from error


def stack(
    models: Sequence[Base],
    data: PathLike | Bundle,
    *,
    k: int = 5,
    meta: Any = None,
    meta_options: Mapping[str, Any] | None = None,
    kind: FoldKind | None = None,
    groups: Any = None,
    start: Start = "train",
    seed: int = 0,
    out: PathLike | None = None,
    progress: bool = True,
    **options: Any,
) -> Ensemble:
    """Trains models on the same folds, a meta-model on what they said of the rows held out, and returns the stack.

    The training and validation rows are cut into folds; then each model is trained once more on all of them, and these
    answer in the stack. A test part is left to judge it. The last weights of each run are taken: the best would have
    been chosen by the rows that the meta-model learns from. The same call with the same `out` goes on where it was
    stopped.

    models:       names, modules, or pairs of one with options of training that go over the others.
    meta:         "module:Class" of scikit-learn, or an estimator; None takes logistic regression, or ridge regression.
    meta_options: of the class named.
    k, kind, groups: of the folds: see `zoo.data.folds`.
    start:        "train" or "fine_tune", whose options the others are.
    seed:         of the folds, and of every run.
    Raises:       DataError for a task whose answers do not add up, or models that do not read the same rows.
    """
    pairs = [base if isinstance(base, tuple) else (base, {}) for base in models]
    plans = _plans(pairs, data, start=start, options={**options, "seed": seed})
    problem = check_kind(plans[0].bundle, "Stacking")
    estimator, record = _estimator(meta, meta_options, problem)
    cuts = [folds(plan.bundle, k, kind=kind, seed=seed, groups=groups) for plan in plans]
    truth = cuts[0].targets()
    if any(not torch.equal(cut.targets(), truth) for cut in cuts[1:]):
        raise DataError("The models do not read the same rows of the data, so that they cannot be stacked.")
    settings = {
        "models": [plan.settings() for plan in plans], "k": k, "kind": kind, "seed": seed, "meta": record,
        "rows": fingerprint_of(*cuts[0].rows),
    }  # fmt: skip
    bundles = [plan.bundle for plan in plans]
    with claimed(out, name="stack", file=SETTINGS, settings=settings) as directory:
        answers, runs = [], []
        for index, (plan, cut) in enumerate(zip(plans, cuts, strict=True)):
            logger.info("model %d of %d", index + 1, len(plans))
            place = directory / "models" / str(index)
            write_json(place / FOLDS, {**plan.settings(), "k": k, "kind": kind, "selection": "last", "seed": seed})
            found = run_folds(plan, cut, place, selection="last", progress=progress)
            answers.append(found.out_of_fold()[0])
            runs.append(plan.run(place / "all", trained_on_all(plan.bundle), progress=progress))
        place = directory / "ensemble"
        if not (place / FILE).is_file():
            inputs = meta_inputs(answers, problem)
            MetaModel(estimator, inputs, truth.numpy(), kind=problem)  # for its checks, before anything is written
            _write_features(directory / FEATURES, inputs, truth)
            Ensemble.of(runs, method="stacking", out=place, data=bundles, record={"meta": record})
    modules = [model if isinstance(model, nn.Module) else None for model, _ in pairs]
    return Ensemble.load(place, data=bundles, meta=estimator, model=modules)


def meta_inputs(answers: Sequence[Tensor], kind: str) -> "NDArray[Any]":
    """Probabilities or values [N, C] of each member to what a meta-model takes [N, F].

    Of two classes the first column is left out, which the second says already.
    """
    columns = [found[:, 1:] if kind == "classification" and found.shape[1] == 2 else found for found in answers]
    return torch.cat([column.double() for column in columns], dim=1).numpy()


def _plans(
    pairs: Sequence[tuple[str | nn.Module, Mapping[str, Any]]],
    data: PathLike | Bundle,
    *,
    start: Start,
    options: Mapping[str, Any],
) -> list[Plan]:
    """What each model is trained by, checked. Raises: ValueError for no models, or options that leak."""
    if not pairs:
        raise ValueError("A stack needs models: give a name, or several.")
    if any({**options, **own}.get("patience") is not None for _, own in pairs):
        raise ValueError("patience stops by rows that the meta-model learns from: leave it out.")
    plans = [Plan.make(model, data, start=start, options={**options, **own}) for model, own in pairs]
    for plan in plans:
        plan.check_rows("Stacking")
    return plans


def trained_on_all(bundle: Bundle) -> Bundle:
    """A bundle that trains on its validation part too: a change that a run makes again when it is opened."""
    train = bundle.train if bundle.validation is None else joined(bundle.train, bundle.validation)
    return replace(
        bundle, train=train, validation=None, groups={}, changes=(*bundle.changes, {"change": "trained_on_all"}),
        fingerprint=bundle.fingerprint and fingerprint_of(bundle.fingerprint, "trained on all"),
    )  # fmt: skip


def _estimator(meta: Any, options: Mapping[str, Any] | None, kind: str) -> tuple[Any, dict[str, Any]]:
    """A meta-model as users name it: an estimator that is not fitted, and what makes it again.

    Where it draws random numbers and has no seed, it gets one, so that it is the same when it is fitted again.
    """
    if meta is None or isinstance(meta, str):
        name = meta or DEFAULTS[kind]
        builder = import_object(name if ":" in name else ":".join(name.rsplit(".", 1)))
        check_arguments(f"The meta-model {name}", builder, options or {})
        estimator = builder(**(options or {}))
    elif options:
        raise ValueError("meta_options are for a meta-model given by name; this one is made already.")
    else:
        estimator = meta
    if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
        raise TypeError(f"A meta-model is an estimator of scikit-learn, got {type(estimator).__name__}.")
    parameters = estimator.get_params(deep=False)
    if "random_state" in parameters and parameters["random_state"] is None:
        estimator = estimator.__class__(**{**parameters, "random_state": 0})
        parameters = estimator.get_params(deep=False)
    name = f"{type(estimator).__module__}:{type(estimator).__qualname__}"
    try:
        kept = json.loads(json.dumps(parameters))
    except TypeError:  # such as estimators inside a pipeline
        kept = None
    return estimator, {"name": name, "options": kept, "kind": kind}


def _write_features(path: Path, inputs: "NDArray[Any]", targets: Tensor) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, inputs=inputs, targets=targets.numpy())

    write_atomically(path, write)
