"""A model as the training of a run begins with it."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

from torch import nn

from zoo.registry import create_model_with_report
from zoo.training.checkpoint import random_state, restore_random_state, seed_everything
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe
from zoo.training.surgery import quiet_new_head


def build_model(
    name: str, arguments: Mapping[str, Any], weights: str | PathLike[str] | bool | None, recipe: Recipe, engine: Engine
) -> nn.Module:
    """The model `name` with its weights, and with a quiet head where that is new.

    It is built with the recipe's seed, so that the head is the same in every process and every repetition.
    """
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
