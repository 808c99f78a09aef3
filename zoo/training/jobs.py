"""The two ways to start a run: `train` from the weights given, and `fine_tune` stage by stage from trained ones."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zoo.data import Bundle, load_data
from zoo.errors import UnknownNameError
from zoo.records import Entry
from zoo.registry import check_arguments, create_model_with_report, find_weights, model_info, trained_structure
from zoo.training.callbacks import Callback
from zoo.training.checkpoint import random_state, restore_random_state, seed_everything
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe, Stage, check_options
from zoo.training.run import PathLike, Run, create_directory, task_class, write_config
from zoo.training.strategies import STRATEGIES, Strategy, fine_tuning_stages
from zoo.training.surgery import layer_groups, quiet_new_head
from zoo.training.task import Task
from zoo.training.trainer import Trainer

logger = logging.getLogger(__name__)

RECIPE_OPTIONS = tuple(name for name in Recipe.option_names() if name != "stages")


def train(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    task: str | Task | None = None,
    weights: PathLike | bool | None = None,
    epochs: int = 10,
    lr: float = 1e-3,
    schedule: str = "cosine",
    schedule_options: Mapping[str, Any] | None = None,
    warmup_steps: int = 0,
    out: PathLike | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **recipe_options: Any,
) -> Run:
    """Trains all parameters of a model in one stage, and returns the run.

    model:          a name of the zoo or of a backend, or a module of your own (then give `task`).
    data:           a path that the task's reader understands, or a Bundle.
    weights:        to start from; None starts from scratch.
    out:            directory of the run, new or empty; None takes the next free one under `runs/`.
    model_options:  what the model's builder takes; data_options: what the reader takes; task_options: what the task
                    takes, such as label_smoothing.
    recipe_options: any field of `Recipe`: batch_size, optimizer, precision, accumulate, ema, seed, devices and so on.
    Raises:         UnknownArgumentError for an option that does not exist, before anything is read or written.
    """
    check_options("train", recipe_options, RECIPE_OPTIONS)
    stage = Stage(
        name="train", epochs=epochs, lr=lr, schedule=schedule, schedule_options=dict(schedule_options or {}),
        warmup_steps=warmup_steps,
    )  # fmt: skip
    job = Job.prepare(
        model, data, task=task, weights=weights, recipe=Recipe(stages=(stage,), **recipe_options),
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
    epochs: int = 5,
    head_epochs: int = 1,
    lr: float = 1e-3,
    body_lr_ratio: float = 0.1,
    schedule: str = "one_cycle",
    cache_features: bool = False,
    out: PathLike | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **recipe_options: Any,
) -> Run:
    """Fits trained weights to your data, and returns the run.

    The head is replaced by a new one for the classes of the data. Then, by `strategy`:
    "two_stage": `head_epochs` on the head with the body frozen, BatchNorm statistics too; then `epochs` on all, at
                 rates that fall from `lr` at the head to `lr * body_lr_ratio` at the first layers.
    "head":      `epochs` on the head alone; with `cache_features` the body runs once over the data, without
                 augmentation, and its features are kept on disk.
    "gradual":   `epochs` over stages that each unfreeze more of the body, from the head down.
    "full":      `epochs` on all parameters from the start, at the same falling rates.

    Other arguments as for `train`.
    """
    check_options("fine_tune", recipe_options, RECIPE_OPTIONS)
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; expected one of {', '.join(STRATEGIES)}.")
    if not 0 < body_lr_ratio <= 1:
        raise ValueError(f"body_lr_ratio is {body_lr_ratio}; it must be in (0, 1].")
    job = Job.prepare(
        model, data, task=task, weights=weights, recipe=Recipe(**{"weight_decay": 0.01, **recipe_options}),
        model_options=model_options, data_options=data_options, task_options=task_options,
    )  # fmt: skip
    job.set_stages(
        fine_tuning_stages(
            strategy, num_groups=len(layer_groups(job.model)), epochs=epochs, head_epochs=head_epochs, lr=lr,
            body_lr_ratio=body_lr_ratio, schedule=schedule, cache_features=cache_features,
        )
    )  # fmt: skip
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
    ) -> "Job":
        """Reads the data, and builds the task and the model for them."""
        entry = model_info(model) if isinstance(model, str) else None
        bundle = _read(data, entry, task, weights, data_options)
        built = task if isinstance(task, Task) else _build_task(task, entry, bundle, task_options)
        engine = Engine(recipe)
        arguments: dict[str, Any] = {}
        if isinstance(model, str):
            assert entry is not None, "a name has an entry"
            arguments = {
                **trained_structure(model, weights),
                **built.model_arguments(entry),
                **(model_options or {}),
            }
            model_module = _build_model(model, arguments, weights, recipe, engine)
        else:
            if model_options:
                raise ValueError("model_options are for models built by name; this one is built already.")
            model_module = model
        kept = weights if weights is None or isinstance(weights, bool) else str(weights)
        name = model if isinstance(model, str) else None
        return cls(name, arguments, kept, model_module, built, bundle, recipe, engine)

    def set_stages(self, stages: tuple[Stage, ...]) -> None:
        """Gives the recipe its stages, once the model is there to count its layer groups."""
        self.recipe = Recipe(**{**self.recipe.__dict__, "stages": stages})

    def start(self, *, out: PathLike | None, callbacks: Sequence[Callback], progress: bool) -> Run:
        """Makes the run directory and trains."""
        path = self.bundle.origin.get("path")
        title = f"{self.name or type(self.model).__name__}-{Path(str(path)).stem if path else 'arrays'}"
        directory = None
        if self.engine.leads:
            directory = create_directory(out, name=title)
            write_config(directory, self._config())
        directory = self.engine.broadcast(directory)
        trainer = Trainer(
            model=self.model, task=self.task, train=self.bundle.train, validation=self.bundle.validation,
            recipe=self.recipe, directory=directory, callbacks=callbacks, progress=progress, engine=self.engine,
            fingerprint=self.bundle.fingerprint,
        )  # fmt: skip
        trainer.fit()
        return Run(directory, model=self.model, task=self.task, bundle=self.bundle).finish(trainer)

    def _config(self) -> dict[str, Any]:
        return {
            "model": {"name": self.name, "arguments": self.arguments, "weights": self.weights},
            "task": {"name": self.task.name, "schema": self.task.schema()},
            "data": {"origin": dict(self.bundle.origin), "fingerprint": self.bundle.fingerprint},
            "recipe": self.recipe.as_dict(),
        }


def _build_model(
    name: str, arguments: Mapping[str, Any], weights: PathLike | bool | None, recipe: Recipe, engine: Engine
) -> nn.Module:
    """Builds with the recipe's seed, so that the head is the same in every process and every repetition."""
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
    return model


def _task_name(task: str | Task | None, entry: Entry | None, data: PathLike | Bundle) -> str:
    if isinstance(task, Task):
        return task.name
    name = task or (entry.task if entry is not None else data.task if isinstance(data, Bundle) else None)
    if name is None:
        raise UnknownNameError("A module of your own does not say what it is for: pass task='vision/classification'.")
    return name


def _read(
    data: PathLike | Bundle,
    entry: Entry | None,
    task: str | Task | None,
    weights: PathLike | bool | None,
    options: Mapping[str, Any] | None,
) -> Bundle:
    if isinstance(data, Bundle):
        if options:
            raise ValueError("data_options are for data read from a path; this bundle is read already.")
        return data
    preprocessing = None if entry is None else entry.preprocessing
    if entry is not None and entry.weights and weights is not None and weights is not False:
        record = find_weights(entry, weights if _is_tag(entry, weights) else "default")  # type: ignore[arg-type]
        preprocessing = record.preprocessing
    chosen = {"preprocessing": preprocessing, "input_shape": entry.input_shape if entry is not None else None}
    return load_data(data, task=_task_name(task, entry, data), **{**chosen, **(options or {})})


def _is_tag(entry: Entry, weights: PathLike | bool) -> bool:
    return any(record.tag == weights for record in entry.weights)


def _build_task(task: str | None, entry: Entry | None, bundle: Bundle, options: Mapping[str, Any] | None) -> Task:
    found = task_class(_task_name(task, entry, bundle))
    check_arguments(f"The task {found.name}", found, options or {})
    losses = {} if entry is None or entry.losses is None else {"losses": entry.losses}
    return found.from_bundle(bundle, **{**losses, **(options or {})})
