"""A run: a directory that holds all that is needed to use, judge, explain and resume a trained model."""

import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data import Bundle, Fitted, load_data
from zoo.data.changes import replay
from zoo.data.preprocessing import FILE, with_fitted
from zoo.errors import DataError, RunError
from zoo.metrics import UndefinedMetricWarning
from zoo.registry import create_model, model_info
from zoo.training.building import build_model
from zoo.training.callbacks import Callback
from zoo.training.choices import make_trainer, task_class
from zoo.training.directory import PathLike, read_config, write_json
from zoo.training.engine import Engine
from zoo.training.loggers import shown, without_nan
from zoo.training.recipe import Recipe
from zoo.training.task import Inputs, Item, Prediction, Task, evaluate
from zoo.training.test_time import Average, judged_as, with_views
from zoo.training.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

logger = logging.getLogger(__name__)
WEIGHTS = "model.safetensors"
CURVES = "curves.png"


class Run:
    """A trained model with its data, task and history, all from one directory.

    directory: holds `config.json`, `metrics.jsonl`, `epochs.csv`, `model.safetensors` (the best weights),
               `checkpoints/last.pt` (to resume from), `results.json` and pictures.
    """

    def __init__(
        self,
        directory: PathLike,
        *,
        model: nn.Module | None = None,
        task: Task | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.config = read_config(self.directory)
        self._module = model
        if task is not None:
            self.task = task
        self._bundle = bundle

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @cached_property
    def recipe(self) -> Recipe:
        """How the run was trained."""
        return Recipe.from_dict(self.config["recipe"])

    @cached_property
    def task(self) -> Task:
        """The task, rebuilt from what the run knows of its data."""
        task: Task = task_class(self.config["task"]["name"])(**self.config["task"]["schema"])
        return task

    @cached_property
    def model(self) -> nn.Module:
        """The model with its best weights, in evaluation mode."""
        path = self.directory / WEIGHTS
        if not path.is_file():
            raise RunError(
                f"{self.directory} has no {WEIGHTS}: it was stopped in its first epoch, or the file was moved. "
                f"`zoo resume {self.directory}` goes on with a run that was stopped."
            )
        model = self._build_model()
        load_into(model, path)
        return model.eval()

    def _build_model(self, engine: Engine | None = None) -> nn.Module:
        """The structure, for weights to be loaded; with an `engine`, the model as it was before training."""
        made = self.config["model"]
        if self._module is not None:
            return self._module
        if made["name"] is None:
            raise RunError(
                f"{self.directory} was trained from a module of your own, which it cannot build. "
                "Pass it: zoo.load_run(directory, model=module)."
            )
        if engine is not None:
            return build_model(made["name"], made["arguments"], made["weights"], self.recipe, engine)
        parts = dict.fromkeys(model_info(made["name"]).weight_arguments)
        return create_model(made["name"], **{**made["arguments"], **parts})

    @property
    def bundle(self) -> Bundle:
        """The data of the run, read again from where they were, and changed as they were for it.

        Raises: RunError if they were given as Python objects; DataError if they changed in between.
        """
        data = self.config["data"]
        changes = data.get("changes", ())
        if self._bundle is None:
            if not data["origin"]:
                raise RunError(
                    f"The data of {self.directory} were given in memory. Pass them again: "
                    "zoo.load_run(directory, data=bundle)."
                )
            read = load_data(task=self.config["task"]["name"], **data["origin"])
            bundle = replay(read, changes, fitted=self.fitted)
            if data["fingerprint"] and bundle.fingerprint != data["fingerprint"]:
                raise DataError(
                    f"The data at {data['origin'].get('path')} changed since the run began, so it would not be the "
                    "same run. Put them back, or start a new one."
                )
            self._bundle = bundle
        self._bundle = replay(self._bundle, changes, fitted=self.fitted)
        return self._bundle

    @cached_property
    def fitted(self) -> Fitted | None:
        """What was fitted to the training rows and prepares the rows that the model gets; None where nothing was."""
        path = self.directory / FILE
        return Fitted.load(path) if path.is_file() else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The record of each epoch, from `metrics.jsonl`."""
        return [record for record in self._records() if record["event"] == "epoch"]

    def _records(self) -> list[dict[str, Any]]:
        """All records of `metrics.jsonl`; a last line that a kill cut short is left out."""
        path = self.directory / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
        return [json.loads(line) for line in lines]

    def evaluate(
        self,
        data: Bundle | PathLike | None = None,
        *,
        split: str | None = None,
        tta: str | None = None,
        average: Average = "probabilities",
    ) -> dict[str, float]:
        """Metrics of the best weights on a part of the data; writes them to `results.json`, with pictures.

        data:  other data than the run's own: a bundle, or a path, all of which is taken as it is, unless it names parts
               of its own.
        split: "test", "validation" or "train"; None takes the first of the first two that there is, and of other data
               without these "train".
        tta:   views of each row whose answers are averaged, such as "flip"; the task has a list of them.
        average: of the views: "probabilities" or "logits". Results say that and how it was done.
        """
        seen = with_views(self.task, self.model, tta=tta, average=average)
        bundle = self._data(data)
        parts = bundle.parts
        order = [name for name in ("test", "validation", "train") if name in parts and (data or name != "train")]
        name = split or next(iter(order), "validation")
        if name not in parts:
            raise DataError(f"There is no {name!r} part in these data; pass split= as one of {', '.join(parts)}.")
        source = parts[name].unaugmented()
        logger.info("judging the %s data: %d rows", "given" if data and len(parts) == 1 else name, len(source))
        engine = Engine(Recipe(accelerator=self.recipe.accelerator), launch=False)
        model = seen.to(engine.device)
        size = self.recipe.batch_size
        batches = source.batches(batch_size=size, num_workers=self.recipe.num_workers)
        total = source.num_batches(batch_size=size)
        values, metrics = evaluate(model, self.task, shown(batches, total=total, title=name), engine=engine)
        if data is None:
            name = judged_as(name, tta=tta, average=average)
            results = {**self.results, name: values}
            write_json(self.directory / "results.json", {part: without_nan(found) for part, found in results.items()})
            for title, figure in self.task.figures(metrics).items():
                figure.savefig(self.directory / f"{title}_{name.replace(' ', '_')}.png", dpi=120)
        return values

    @property
    def results(self) -> dict[str, dict[str, float]]:
        """What `evaluate` found, by part of the data."""
        path = self.directory / "results.json"
        held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {
            split: {name: math.nan if value is None else value for name, value in values.items()}
            for split, values in held.items()
        }

    def predict(
        self, inputs: Item | Sequence[Item] | Any, *, tta: str | None = None, average: Average = "probabilities"
    ) -> list[Prediction]:
        """A readable prediction for each row of a file or of several, of texts, or of a batch of inputs.

        tta, average: as for `evaluate`.
        """
        model = with_views(self.task, self.model, tta=tta, average=average)
        return self.task.predict(model, self.read_inputs(inputs).rows)

    def explain(
        self,
        inputs: Item | Sequence[Item] | Any,
        *,
        method: str | None = None,
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Why the model answers so for a file, for several, for texts, or for a batch of inputs.

        method:  None for the task's own choice.
        options: of the method, such as num_samples of "smooth_grad".
        """
        return self.task.explain(
            self.model, self.read_inputs(inputs).rows, method=method or self.task.explanation, target=target,
            layer=layer, options=options,
        )  # fmt: skip

    def picture(
        self, inputs: Item | Sequence[Item] | Any, *, tta: str | None = None, average: Average = "probabilities"
    ) -> "Figure | None":
        """Inputs with what is predicted for them, as a picture; None where the task has nothing to draw."""
        model = with_views(self.task, self.model, tta=tta, average=average)
        rows = self.read_inputs(inputs).rows
        return self.task.picture(model, rows, self.task.predict(model, rows))

    def read_inputs(self, inputs: Item | Sequence[Item] | Any) -> Inputs:
        """What the task predicts for: files and texts are read; all else is taken to be a batch already.

        What was fitted to the training rows is applied to both, but not to `Inputs`, which have had it.
        """
        if isinstance(inputs, str | Path):
            return self.read_inputs([inputs])
        if isinstance(inputs, Inputs):
            return inputs
        if isinstance(inputs, Sequence) and not inputs:
            raise DataError("There is nothing to predict for: the list of inputs is empty.")
        if isinstance(inputs, Sequence) and all(isinstance(item, str | Path) for item in inputs):
            found = self.task.read_inputs(list(inputs))
            return Inputs(rows=self._prepared(found.rows), names=found.names)
        return Inputs(rows=self._prepared(inputs), names=())

    def _prepared(self, rows: Any) -> Any:
        """Rows as they are read, prepared by what was fitted to the training rows."""
        if self.fitted is None:
            return rows
        if not isinstance(rows, Tensor | np.ndarray):
            raise TypeError(f"{self.fitted.name} prepares a tensor or an array [B, ...], got {type(rows).__name__}.")
        return self.fitted(torch.as_tensor(rows))

    def resume(self, *, callbacks: Sequence[Callback] = (), progress: bool = True) -> "Run":
        """Goes on from the last checkpoint as if the run had never stopped; nothing happens to a finished one.

        callbacks: of your own, which a run cannot keep.
        """
        if self._is_finished():
            logger.info("%s is finished; there is nothing to go on with", self.directory)
            return self
        checkpoint = self.directory / "checkpoints" / "last.pt"
        started = checkpoint.is_file()
        engine, bundle = Engine(self.recipe), self.bundle
        trainer = make_trainer(
            self.task, model=self._build_model(None if started else engine), bundle=bundle, recipe=self.recipe,
            directory=self.directory, callbacks=callbacks, progress=progress, engine=engine,
        )  # fmt: skip
        trainer.fit(resume_from=checkpoint if started else None)
        return self.finish(trainer)

    def _is_finished(self) -> bool:
        """Whether training ended and `finish` wrote its last file."""
        records = self._records()
        return bool(records) and records[-1]["event"] == "end" and (self.directory / CURVES).is_file()

    def finish(self, trainer: Trainer) -> "Run":
        """Takes the best weights of a trained model and writes results and curves."""
        trainer.engine.barrier()
        self.model = trainer.model
        load_into(self.model, self.directory / WEIGHTS)
        if trainer.engine.leads:
            with warnings.catch_warnings():  # a class that was never predicted is no news at the end of a short run
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                for split in ("validation", "test"):
                    if getattr(self.bundle, split) is not None:
                        self.evaluate(split=split)
            self.curves().savefig(self.directory / CURVES, dpi=120)
        trainer.engine.barrier()
        return self

    def curves(self) -> "Figure":
        """Losses and metrics over the epochs."""
        from zoo.training.pictures import curves_figure

        return curves_figure(self.history)

    def _data(self, data: Bundle | PathLike | None) -> Bundle:
        """The run's own data, or others that fit what it was trained on."""
        if data is None:
            return self.bundle
        if isinstance(data, Bundle):
            bundle = data
        else:
            origin = self.config["data"]["origin"]
            if not origin:
                raise DataError("This run was trained on data given in memory: pass a Bundle made in the same way.")
            whole = {name: 0.0 for name in ("validation", "test") if name in origin}
            options = {**origin, **whole, **self.task.reading()}
            options.pop("path")
            bundle = load_data(data, task=self.config["task"]["name"], **options)
        if self.fitted is not None and bundle.fitted is None:
            bundle = with_fitted(bundle, self.fitted, {"name": self.fitted.name})
        self.task.check_bundle(bundle)
        own = getattr(self.task, "preprocessing", None)
        if own is not None and bundle.preprocessing is not None and bundle.preprocessing != own:
            logger.warning("these data are read by %s, those trained on by %s", bundle.preprocessing, own)
        return bundle


def load_run(
    directory: PathLike, *, model: nn.Module | None = None, data: Bundle | None = None, task: Task | None = None
) -> Run:
    """Opens a run directory. `model` and `data` are needed only for what the run was given as Python objects.

    A `model` gets the run's weights, if there are any yet.
    """
    run = Run(directory, model=model, bundle=data, task=task)
    if model is not None and (run.directory / WEIGHTS).is_file():
        load_into(model, run.directory / WEIGHTS)
        model.eval()
    return run


def load_into(model: nn.Module, path: Path) -> None:
    """Puts the weights of a run's file into `model`, every one of them.

    Raises: RunError if the file is missing or damaged, or is of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(model, str(path), strict=True)
    except (SafetensorError, OSError) as error:
        raise RunError(f"The weights {path} are missing or damaged: {error}. Restore them, or train anew.") from error
    except RuntimeError as error:
        raise RunError(f"The weights {path} are not of this {type(model).__name__}: {error}") from error
