"""A model as the training of a run begins with it."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from torch import nn

from zoo.data import Source
from zoo.registry import create_model_with_report, model_info
from zoo.training.checkpoint import random_state, restore_random_state, seed_everything
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe
from zoo.training.surgery import quiet_new_head
from zoo.training.task import Task


def build_model(
    name: str, arguments: Mapping[str, Any], weights: str | PathLike[str] | bool | None, recipe: Recipe, engine: Engine
) -> nn.Module:
    """The model `name` with its weights, and with a quiet head where that is new.

    It is built with the recipe's seed, so that the head is the same in every process and every repetition.
    Raises: ValueError for trained weights where the recipe has an initialisation.
    """
    if recipe.initialisation is not None:
        _check_from_scratch(name, arguments, weights)
    before = random_state()
    seed_everything(recipe.seed)
    try:
        model, report = engine.run_first_on_leader(
            lambda: create_model_with_report(name, weights=weights, arguments=arguments)
        )
    finally:
        restore_random_state(before)
    if report is not None:
        quiet_new_head(model, fresh=[*report.new, *(row[0] for row in report.mismatched)])
    assert isinstance(model, nn.Module), "a backend builds modules"
    return model


def _check_from_scratch(name: str, arguments: Mapping[str, Any], weights: str | PathLike[str] | bool | None) -> None:
    parts = {part: arguments.get(part) for part in model_info(name).weight_arguments}
    for part, given in {"weights": weights, **parts}.items():
        if given not in (None, False):
            raise ValueError(
                f"An initialisation is for training from scratch, and {part} is {given!r}. Leave initialisation out, "
                f"or train from scratch: zoo.train(..., weights=None) or --from-scratch."
            )


def initialise_for_training(model: nn.Module, task: Task, train: Source, recipe: Recipe) -> None:
    """Lets the model's weights start by the recipe's initialisation, with its seed, the same in every process.

    What looks at data gets the first batch of the training data.
    """
    from zoo.initialisation import initialise, needs_batch

    assert recipe.initialisation is not None, "a recipe with an initialisation"
    options: dict[str, Any] = {}
    if needs_batch(recipe.initialisation):
        batches = train.batches(batch_size=recipe.batch_size, shuffle=True, seed=recipe.seed, num_workers=0)
        options = {"batch": next(iter(batches)), "forward": task.evaluate}
    with torch.no_grad():
        initialise(model, recipe.initialisation, seed=recipe.seed, **options)
