"""What a run is made of, found from what the user names: data, task, options, trainer."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from zoo.data import Bundle, fit_preprocessing, load_data
from zoo.data import balance as balanced
from zoo.data.balancing import Balancing
from zoo.errors import UnknownNameError
from zoo.lookup import check_arguments, import_object
from zoo.records import Entry
from zoo.registry import model_info, task_info
from zoo.training.callbacks import Callback
from zoo.training.directory import PathLike
from zoo.training.engine import Engine
from zoo.training.frozen import data_key
from zoo.training.recipe import Recipe
from zoo.training.task import Task
from zoo.training.trainer import Trainer

TRAINING: Mapping[str, Any] = MappingProxyType({"epochs": 10, "lr": 1e-3, "schedule": "cosine"})
FINE_TUNING: Mapping[str, Any] = MappingProxyType({"epochs": 5, "lr": 1e-3, "schedule": "one_cycle"})
STAGE_OPTIONS = ("epochs", "lr", "schedule", "schedule_options", "warmup_steps")
# -- Options that mean nothing without the choice that they are of.
BELONGS_TO = {"schedule_options": "schedule", "optimizer_options": "optimizer"}


def task_class(name: str) -> type[Task]:
    """The class that trains the task `name`."""
    found: type[Task] = import_object(task_info(name).builder)
    return found


def chosen_options(
    given: Mapping[str, Any],
    *,
    model: str | nn.Module,
    task: str | Task | None,
    data: PathLike | Bundle,
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Options of training: what is `given`, else what the model's entry says, its task, or `defaults`.

    None is no choice for what `train` takes by name, and a choice for all else, such as clip_norm. Options of a
    schedule or an optimizer are taken over only together with it.
    """
    entry = model_info(model) if isinstance(model, str) else None
    kind = type(task) if isinstance(task, Task) else task_class(task_name(task, entry, data))
    own = {name: value for name, value in given.items() if value is not None or name not in STAGE_OPTIONS}
    chosen = dict(defaults)
    for layer in (kind.recipe, entry.recipe if entry is not None else {}, own):
        for option, owner in BELONGS_TO.items():
            if owner in layer:
                chosen.pop(option, None)
        chosen |= layer
    return chosen


def part_weights(
    model: str | nn.Module, weights: PathLike | bool | None
) -> tuple[PathLike | bool | None, dict[str, Any]]:
    """The weights to fine-tune from, and arguments for a model that has trained weights for a part of it only."""
    entry = model_info(model) if isinstance(model, str) else None
    if entry is None or entry.weights or weights not in (True, "default"):
        return weights, {}
    parts = {name: value for name, value in entry.weight_arguments.items() if value is not None}
    return (None, parts) if parts else (weights, {})


def task_name(task: str | Task | None, entry: Entry | None, data: PathLike | Bundle) -> str:
    """The name of the task: as given, else the model's, else that of the data."""
    if isinstance(task, Task):
        return task.name
    name = task or (entry.task if entry is not None else data.task if isinstance(data, Bundle) else None)
    if name is None:
        raise UnknownNameError("A module of your own does not say what it is for: pass task='vision/classification'.")
    return name


def read_bundle(
    data: PathLike | Bundle,
    entry: Entry | None,
    task: str | Task | None,
    weights: PathLike | bool | None,
    options: Mapping[str, Any] | None,
) -> Bundle:
    """The data, read by the task's reader if they are a path, in the form that the model's weights were trained on."""
    if isinstance(data, Bundle):
        if options:
            raise ValueError("data_options are for data read from a path; this bundle is read already.")
        return data
    if not isinstance(data, str | os.PathLike):
        raise TypeError(
            f"data must be a path or a zoo.Bundle, got {type(data).__name__}. Make one of arrays by "
            "Bundle.from_arrays(inputs, targets), of a torch Dataset by Bundle.from_dataset(dataset)."
        )
    preprocessing = None if entry is None else entry.preprocessing
    if entry is not None and entry.weights and weights is not None and weights is not False:
        tag = str(weights).lower()
        chosen = [record for record in entry.weights if record.tag.lower() == tag] or entry.weights
        preprocessing = chosen[0].preprocessing
    given = {"preprocessing": preprocessing, "input_shape": entry.input_shape if entry is not None else None}
    stated = {name: value for name, value in given.items() if value}
    return load_data(data, task=task_name(task, entry, data), **{**stated, **(options or {})})


def changed_bundle(
    bundle: Bundle,
    task: str | Task | None,
    *,
    preprocess: str | None,
    preprocess_options: Mapping[str, Any] | None,
    balance: Balancing | None,
) -> Bundle:
    """The bundle prepared and balanced by class: see `zoo.data.fit_preprocessing` and `zoo.data.balance`.

    Raises: ValueError for class weights that a task which is an object already does not have.
    """
    if preprocess is not None:
        bundle = fit_preprocessing(bundle, preprocess, **(preprocess_options or {}))
    elif preprocess_options:
        raise ValueError("preprocess_options are for a preprocessing: name it by preprocess=.")
    bundle = bundle if balance is None else balanced(bundle, balance)
    if bundle.class_weights is not None and isinstance(task, Task):
        held = task.schema().get("class_weights")
        if held is None or tuple(held) != bundle.class_weights:
            raise ValueError(
                f"balance='class_weights' is for tasks built by name; this one is built already: give it class_weights="
                f"{list(bundle.class_weights)}, and leave balance out."
            )
    return bundle


def build_task(task: str | None, entry: Entry | None, bundle: Bundle, options: Mapping[str, Any] | None) -> Task:
    """The task for a bundle, with the options of the model's entry where the user gives none."""
    found = task_class(task_name(task, entry, bundle))
    check_arguments(f"The task {found.name}", found, options or {})
    own = dict(entry.task_options) if entry is not None and entry.task == found.name else {}
    if bundle.class_weights is not None:
        if "class_weights" in (options or {}):
            raise ValueError("class_weights are given twice, by balance and by task_options: leave one out.")
        own["class_weights"] = list(bundle.class_weights)
        check_arguments(f"balance='class_weights': the task {found.name}", found, own)
    return found.from_bundle(bundle, **{**own, **(options or {})})


def make_trainer(
    task: Task,
    *,
    model: nn.Module,
    bundle: Bundle,
    recipe: Recipe,
    directory: Path | None,
    callbacks: Sequence[Callback],
    progress: bool,
    engine: Engine,
) -> Trainer:
    """The trainer that the task asks for."""
    kind: type[Trainer] = import_object(task.trainer)
    return kind(
        model=model, task=task, train=bundle.train, validation=bundle.validation, recipe=recipe, directory=directory,
        callbacks=callbacks, progress=progress, engine=engine, fingerprint=data_key(bundle), bundle=bundle,
    )  # fmt: skip
