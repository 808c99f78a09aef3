"""The two ways to start a run: `train` from the weights given, and `fine_tune` stage by stage from trained ones."""

import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.backends.base import local_file
from zoo.data import Bundle
from zoo.data.balancing import Balancing
from zoo.data.preprocessing import FILE
from zoo.optim import apply_schedule, make_optimizer, make_schedule
from zoo.optim.rates import head_and_ratio
from zoo.registry import model_info, trained_structure
from zoo.training.building import build_model
from zoo.training.callbacks import Callback
from zoo.training.checkpoint import write_atomically
from zoo.training.choices import (
    FINE_TUNING,
    STAGE_OPTIONS,
    TRAINING,
    build_task,
    changed_bundle,
    chosen_options,
    make_trainer,
    part_weights,
    read_bundle,
)
from zoo.training.directory import PathLike, as_json, create_directory, write_config
from zoo.training.engine import Engine
from zoo.training.phases import check_optimizer
from zoo.training.recipe import Recipe, Stage, check_options
from zoo.training.run import Run
from zoo.training.stages import check_schedule
from zoo.training.strategies import Strategy, fine_tuning_stages
from zoo.training.surgery import layer_groups
from zoo.training.task import Task

logger = logging.getLogger(__name__)

RECIPE_OPTIONS = tuple(name for name in Recipe.option_names() if name != "stages")


def train(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    task: str | Task | None = None,
    weights: PathLike | bool | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    schedule: str | None = None,
    schedule_options: Mapping[str, Any] | None = None,
    warmup_steps: int | None = None,
    preprocess: str | None = None,
    preprocess_options: Mapping[str, Any] | None = None,
    balance: Balancing | None = None,
    out: PathLike | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **recipe_options: Any,
) -> Run:
    """Trains all parameters of a model in one stage, and returns the run.

    What is None is as the model's entry says, else its task, else 10 epochs at 1e-3 on a cosine.

    model:          a name of the zoo or of a backend, or a module of your own (then give `task`).
    data:           a path that the task's reader understands, or a Bundle.
    weights:        to start from; None starts from scratch.
    preprocess:     what is fitted to the training rows and applied to all, such as "zca_whitening", as
                    `zoo.data.fit_preprocessing` says; preprocess_options: what that one takes.
    balance:        what is done about classes of unequal size: "weighted_sampler", "oversample", "undersample" or
                    "class_weights", as `zoo.data.balance` says; None does nothing.
    out:            directory of the run, new or empty; None takes the next free one under `runs/`.
    schedule:       of the learning rate: a name of `zoo list-parts --kind schedule`, such as "cosine", "one_cycle" or
                    "plateau"; schedule_options: what that one takes.
    model_options:  what the model's builder takes; data_options: what the reader takes; task_options: what the task
                    takes, such as label_smoothing.
    recipe_options: any field of `Recipe`: batch_size, optimizer, precision, accumulate, ema, seed, devices and so on.
    Raises:         UnknownArgumentError for an option that does not exist, before anything is read or written.
    """
    check_options("train", recipe_options, RECIPE_OPTIONS, others=_own_options(train))
    given = {
        "epochs": epochs, "lr": lr, "schedule": schedule, "schedule_options": schedule_options,
        "warmup_steps": warmup_steps, **recipe_options,
    }  # fmt: skip
    chosen = chosen_options(given, model=model, task=task, data=data, defaults=TRAINING)
    stage = Stage(name="train", **{name: chosen.pop(name) for name in STAGE_OPTIONS if name in chosen})
    job = Job.prepare(
        model, data, task=task, weights=weights, recipe=Recipe(stages=(stage,), **chosen), preprocess=preprocess,
        preprocess_options=preprocess_options, balance=balance,
        model_options=model_options, data_options=data_options, task_options=task_options,
    )  # fmt: skip
    return job.start(out=out, callbacks=callbacks, progress=progress)


def fine_tune(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    task: str | Task | None = None,
    weights: PathLike | bool | None = "default",
    strategy: Strategy = "two_stage",
    epochs: int | None = None,
    head_epochs: int = 1,
    lr: float | slice | None = None,
    body_lr_ratio: float = 0.1,
    schedule: str | None = None,
    schedule_options: Mapping[str, Any] | None = None,
    cache_features: bool = False,
    preprocess: str | None = None,
    preprocess_options: Mapping[str, Any] | None = None,
    balance: Balancing | None = None,
    out: PathLike | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **recipe_options: Any,
) -> Run:
    """Fits trained weights to your data, and returns the run.

    Where the data have another number of classes than the weights, the head is replaced by a new one; side heads, such
    as GoogLeNet's, likewise, and they train with it. Then, by `strategy`:
    "two_stage": `head_epochs` on the head with the body frozen, BatchNorm statistics too; then `epochs` on all, at
                 rates that fall from `lr` at the head to `lr * body_lr_ratio` at the first layers.
    "head":      `epochs` on the head alone; with `cache_features` the body runs once over the data, without
                 augmentation, and its features are kept on disk if the data can be recognised.
    "gradual":   `epochs` over stages that each unfreeze more of the body, from the head down.
    "full":      `epochs` on all parameters from the start, at the same falling rates.

    A model that has trained weights for a part only, such as the encoder of a U-Net, starts from these; the part is
    then the body, and all else the head. What is None is as the model's entry says, else its task, else 5 epochs at
    1e-3 on one cycle. Other arguments as for `train`.

    lr:            of the head; slice(low, high) is `high` there and `low` at the first layers.
    body_lr_ratio: rate of the first layers over that of the head, 0..1.
    """
    lr, body_lr_ratio = head_and_ratio(lr, body_lr_ratio)
    check_options("fine_tune", recipe_options, RECIPE_OPTIONS, others=_own_options(fine_tune))
    given = {"epochs": epochs, "lr": lr, "schedule": schedule, "schedule_options": schedule_options, **recipe_options}
    chosen = chosen_options(given, model=model, task=task, data=data, defaults=FINE_TUNING)
    names = ("epochs", "lr", "schedule", "schedule_options")
    choices = {name: chosen.pop(name) for name in names if name in chosen}
    chosen.pop("warmup_steps", None)  # for training from scratch
    choices |= {"head_epochs": head_epochs, "body_lr_ratio": body_lr_ratio, "cache_features": cache_features}
    fine_tuning_stages(strategy, num_groups=1, **choices)  # for its checks, before anything is read
    weights, parts = part_weights(model, weights)
    job = Job.prepare(
        model, data, task=task, weights=weights, recipe=Recipe(**chosen), data_options=data_options,
        preprocess=preprocess, preprocess_options=preprocess_options, balance=balance,
        model_options={**parts, **(model_options or {})}, task_options=task_options,
    )  # fmt: skip
    job.set_stages(fine_tuning_stages(strategy, num_groups=len(layer_groups(job.model)), **choices))
    return job.start(out=out, callbacks=callbacks, progress=progress)


@dataclass
class Job:
    """All that a run needs, checked and read, before its directory is made."""

    name: str | None
    arguments: dict[str, Any]
    weights: str | bool | None
    model: nn.Module
    task: Task
    bundle: Bundle
    recipe: Recipe
    engine: Engine

    @classmethod
    def prepare(
        cls,
        model: str | nn.Module,
        data: PathLike | Bundle,
        *,
        task: str | Task | None,
        weights: PathLike | bool | None,
        recipe: Recipe,
        model_options: Mapping[str, Any] | None,
        data_options: Mapping[str, Any] | None,
        task_options: Mapping[str, Any] | None,
        preprocess: str | None = None,
        preprocess_options: Mapping[str, Any] | None = None,
        balance: Balancing | None = None,
    ) -> "Job":
        """Reads the data, and builds the task and the model for them."""
        _check_objects(model, task, weights, model_options, task_options)
        entry = model_info(model) if isinstance(model, str) else None
        bundle = changed_bundle(
            read_bundle(data, entry, task, weights, data_options), task, preprocess=preprocess,
            preprocess_options=preprocess_options, balance=balance,
        )  # fmt: skip
        built = task if isinstance(task, Task) else build_task(task, entry, bundle, task_options)
        engine = Engine(recipe)
        arguments: dict[str, Any] = {}
        if isinstance(model, str):
            assert entry is not None, "a name has an entry"
            arguments = {
                **trained_structure(model, weights),
                **built.model_arguments(entry),
                **_absolute(model_options or {}, entry.weight_arguments),
            }
            model_module = build_model(model, arguments, weights, recipe, engine)
        else:
            model_module = model
        file = local_file(weights)  # not what only shares its name with a tag, such as a folder called "default"
        kept = weights if file is None else file.absolute()
        kept = kept if kept is None or isinstance(kept, bool) else str(kept)
        name = model if isinstance(model, str) else None
        return cls(name, arguments, kept, model_module, built, bundle, recipe, engine)

    def set_stages(self, stages: tuple[Stage, ...]) -> None:
        """Gives the recipe its stages, once the model is there to count its layer groups."""
        self.recipe = replace(self.recipe, stages=stages)

    def start(self, *, out: PathLike | None, callbacks: Sequence[Callback], progress: bool) -> Run:
        """Makes the run directory and trains."""
        self._check_recipe()
        config = self._config()
        as_json(config, name="config.json")  # what cannot be kept must show before there is a directory
        path = self.bundle.origin.get("path")
        title = f"{self.name or type(self.model).__name__}-{Path(str(path)).stem if path else 'arrays'}"
        directory = None
        if self.engine.leads:
            directory = create_directory(out, name=title)
            write_config(directory, config)
            if self.bundle.fitted is not None:
                write_atomically(directory / FILE, self.bundle.fitted.save)
            held_out = 0 if self.bundle.validation is None else len(self.bundle.validation)
            logger.info("%s: training on %d rows, %d for validation", directory, len(self.bundle.train), held_out)
        directory = self.engine.broadcast(directory)
        trainer = make_trainer(
            self.task, model=self.model, bundle=self.bundle, recipe=self.recipe, directory=directory,
            callbacks=callbacks, progress=progress, engine=self.engine,
        )  # fmt: skip
        trainer.fit()
        return Run(directory, model=self.model, task=self.task, bundle=self.bundle).finish(trainer)

    def _check_recipe(self) -> None:
        """Raises what the trainer would raise for an optimizer, a schedule or early stopping, before it starts."""
        recipe = self.recipe
        if recipe.patience is not None and self.bundle.validation is None:
            raise ValueError("patience (early stopping) needs validation data, and there is none.")
        batches = self.bundle.train.num_batches(batch_size=recipe.batch_size, world_size=self.engine.world_size)
        for stage in recipe.stages:
            optimizer = make_optimizer(
                recipe.optimizer, [nn.Parameter(torch.zeros(1))], lr=stage.lr, **recipe.optimizer_options
            )
            steps = min(stage.epochs * math.ceil(batches / recipe.accumulate), recipe.max_steps or math.inf)
            schedule = make_schedule(
                stage.schedule, total_steps=int(steps), warmup_steps=stage.warmup_steps, **stage.schedule_options
            )
            apply_schedule(optimizer, schedule, 0)
            check_optimizer(optimizer, recipe)
            check_schedule(schedule, self.bundle.validation)

    def _config(self) -> dict[str, Any]:
        return {
            "model": {"name": self.name, "arguments": self.arguments, "weights": self.weights},
            "task": {"name": self.task.name, "schema": self.task.schema()},
            "data": {
                "origin": dict(self.bundle.origin),
                "fingerprint": self.bundle.fingerprint,
                "changes": [dict(change) for change in self.bundle.changes],
            },
            "recipe": self.recipe.as_dict(),
        }


def _own_options(function: Callable[..., Run]) -> list[str]:
    """The keyword arguments of `train` or `fine_tune` that a misspelt one may have meant."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _check_objects(
    model: str | nn.Module,
    task: str | Task | None,
    weights: PathLike | bool | None,
    model_options: Mapping[str, Any] | None,
    task_options: Mapping[str, Any] | None,
) -> None:
    """Raises ValueError for what would have no effect on a model or task that is an object already."""
    if not isinstance(model, str):
        if model_options:
            raise ValueError("model_options are for models built by name; this one is built already.")
        if weights not in (None, False, "default"):
            raise ValueError("weights are for models built by name; load them into this one yourself.")
    if isinstance(task, Task) and task_options:
        raise ValueError("task_options are for tasks built by name; this one is built already.")


def _absolute(arguments: Mapping[str, Any], weight_arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, in which files of weights are named so that they are found from any folder."""
    found = dict(arguments)
    for name in weight_arguments:
        file = local_file(found.get(name))
        if file is not None:
            found[name] = str(file.absolute())
    return found
