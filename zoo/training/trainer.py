"""The training loop: batches -> phases -> schedule -> callbacks -> checkpoint."""

import itertools
import logging
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data import Bundle, Source
from zoo.metrics import UndefinedMetricWarning
from zoo.training.building import initialise_for_training
from zoo.training.callbacks import Callback
from zoo.training.checkpoint import (
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
    seed_everything,
)
from zoo.training.engine import Engine
from zoo.training.interrupts import Interrupts
from zoo.training.phases import Batch, Phase, Share, run_step
from zoo.training.recipe import Recipe, Stage
from zoo.training.session import borrowed, implied_callbacks, named_callbacks, placed
from zoo.training.sharding import check_shardable, full, shard_optimizer_state, whole
from zoo.training.stages import ActiveStage
from zoo.training.task import Task, evaluate
from zoo.training.window import LossWindow

logger = logging.getLogger(__name__)


@dataclass
class Position:
    """Where a run stands: the stage, the epoch within it, the batch within that; steps of the stage and of all.

    stopped: whether the stage is to end before its last epoch.
    """

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    stage_step: int = 0
    step: int = 0
    stopped: bool = False


class Trainer:
    """Trains a model on a task by a recipe.

    model:      the module itself, never wrapped; it is trained in place.
    train:      training data. `validation` is judged after every epoch, if given.
    directory:  of the run, for checkpoints and logs; None writes nothing.
    callbacks:  beside those that the recipe and the directory imply.
    fingerprint: of the data, by which frozen features kept on disk are found again.
    bundle:     what `train` and `validation` are of, for trainers that must know more of the data.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        task: Task,
        train: Source,
        validation: Source | None = None,
        recipe: Recipe | None = None,
        directory: Path | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        engine: Engine | None = None,
        fingerprint: str | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.model = model
        self.task = task
        self.train = train
        self.validation = validation
        self.recipe = recipe or Recipe()
        self.directory = directory
        if self.recipe.parallel == "fsdp":
            check_shardable(task, model)
        self.engine = engine or Engine(self.recipe)
        self.fingerprint = fingerprint
        self.bundle = bundle
        self.position = Position()
        self.history: list[dict[str, Any]] = []
        self.window = LossWindow()
        implied = implied_callbacks(
            self.recipe, directory=directory, validated=validation is not None, progress=progress
        )
        self.callbacks = [*implied, *callbacks]
        self._on_step = [hook for hook in self.callbacks if type(hook).on_step_end is not Callback.on_step_end]
        self._active: ActiveStage | None = None
        self._saved: dict[str, Any] | None = None
        self._saved_at = -math.inf

    def fit(self, *, resume_from: Path | None = None) -> list[dict[str, Any]]:
        """Runs all stages and returns the history, one record for each epoch.

        resume_from: a checkpoint of the same recipe; the run goes on as if it had never stopped.
        Raises: NonFiniteLossError; KeyboardInterrupt after the state was saved; RunError.
        """
        with self._session(resume_from) as interrupts:
            while self.position.stage < len(self.recipe.stages) and (self._within_epoch or not self.finished):
                self._start_stage()
                while self._within_epoch or not self.stage_is_over():
                    for callback in self.callbacks:
                        callback.on_epoch_start(self)
                    if not self.finished:
                        self.train_epoch(interrupts)
                    self._end_epoch()
                self.position = Position(stage=self.position.stage + 1, step=self.position.step)
            self.log("end", {})
        return self.history

    def train_epoch(self, interrupts: Interrupts) -> None:
        """The steps of an epoch that are not done yet."""
        recipe, position = self.recipe, self.position
        self.stage.train_mode()
        for batches in grouped(self.stage.batches(epoch=position.epoch, start=position.batch), recipe.accumulate):
            self.step(batches)
            self.after_step(interrupts)
            if self.finished:
                break

    def after_step(self, interrupts: Interrupts) -> None:
        """What may be due between two steps: a line in the log, a checkpoint, the end after an interruption."""
        if self.position.step % self.recipe.log_every_steps == 0:
            self.window.read(self.engine)
            self.log("train", self.window.recent.take())
        interrupted = self._interrupted(interrupts)
        if interrupted or self._checkpoint_due():
            self.save()
        if interrupted:
            interrupts.stop()

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """One optimizer step of every phase on one batch, or on several accumulated ones."""
        position = self.position
        batches = [self.engine.to_device(batch) for batch in batches]
        rows, shares = self._shares(batches)
        losses = run_step(self.phases, batches, step=position.stage_step, engine=self.engine, shares=shares)
        self.window.add(position.step, losses, weight=rows)
        position.step += 1
        position.stage_step += 1
        position.batch += len(batches)
        for hook in self._on_step:
            hook.on_step_end(self)
        return losses

    def _shares(self, batches: Sequence[Batch]) -> tuple[int, list[Share] | None]:
        """Rows in all batches, and what the means of each count so that together they equal one large batch."""
        rows = [self.task.rows(batch) for batch in batches]
        if len(batches) == 1 and self.engine.world_size == 1:
            return rows[0], None
        weights = [self.task.mean_weight(batch) for batch in batches]
        weight, count = self.engine.mean(sum(weights), sum(rows))
        return sum(rows), [Share(w / weight, r / count) for w, r in zip(weights, rows, strict=True)]

    @property
    def stage(self) -> ActiveStage:
        """The stage in progress; there is one from its start to the end of `fit`."""
        assert self._active is not None, "no stage has begun"
        return self._active

    @property
    def phases(self) -> list[Phase]:
        """The phases of the stage in progress."""
        return self.stage.phases

    @property
    def finished(self) -> bool:
        """Whether the recipe's largest number of steps is reached."""
        return self.recipe.max_steps is not None and self.position.step >= self.recipe.max_steps

    @property
    def _within_epoch(self) -> bool:
        """Whether an epoch has begun that was not judged yet: also one that a checkpoint holds with all its steps."""
        return self.position.batch > 0

    def stage_is_over(self) -> bool:
        """Whether no further epoch of the stage will begin."""
        position = self.position
        return position.epoch >= self._recipe_stage.epochs or position.stopped or self.finished

    def stop_stage(self, reason: str) -> None:
        """Ends the stage after this epoch."""
        self.position.stopped = True
        self.log("stage", {"message": f"{self._recipe_stage.name}: stopped early, {reason}"})

    def _end_epoch(self) -> None:
        position = self.position
        for callback in self.callbacks:
            callback.on_epoch_end(self)
        self.window.read(self.engine)
        record = {f"train_{name}": value for name, value in self.window.epoch.take().items()}
        position.epoch, position.batch = position.epoch + 1, 0
        metrics: dict[str, float] = {}
        if self.validation is not None:
            with self.evaluation_weights():
                metrics = self.validate()
                self.stage.schedule.observe(metrics, monitor=self.task.monitor, mode=self.task.mode)
                for callback in self.callbacks:
                    callback.on_validation_end(self, metrics)
        self.history.append({**self._where(), **record, **metrics})
        self.log("epoch", {**record, **metrics})
        due = self.stage_is_over() or time.monotonic() >= self._saved_at + self.recipe.checkpoint_seconds
        if self.engine.broadcast(due):
            self.save()

    def validate(self) -> dict[str, float]:
        """The metrics of the weights in the model on the validation data, over all processes.

        The module runs without the wrappers of distributed training, whose collectives would wait for ranks that
        have no rows left.
        """
        self.engine.share_buffers(self.stage.module)
        with warnings.catch_warnings(), self.engine.autocast(), whole(self.stage.module):
            # An early epoch may leave a class out; the NaN in the record says so.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return evaluate(self.stage.module, self.task, self.stage.validation_batches(), engine=self.engine)[0]

    def evaluation_weights(self) -> AbstractContextManager[Any]:
        """Inside, the model holds the weights that are to be judged: an average, if a callback keeps one."""
        stack = ExitStack()
        for callback in self.callbacks:
            stack.enter_context(callback.evaluation_weights(self))
        return stack

    def log(self, event: str, values: Mapping[str, Any]) -> None:
        """Hands a record of `values` at the present position to every callback."""
        record: dict[str, Any] = {"event": event, **self._where(), **values}
        if event in ("train", "epoch"):
            record["lr"] = self.phases[0].optimizer.param_groups[-1]["lr"]
        for callback in self.callbacks:
            callback.on_log(self, record)

    def _where(self) -> dict[str, Any]:
        return {"stage": self._recipe_stage.name, "epoch": self.position.epoch, "step": self.position.step}

    @property
    def _recipe_stage(self) -> Stage:
        return self.recipe.stages[min(self.position.stage, len(self.recipe.stages) - 1)]

    def describe_position(self) -> str:
        """Stage and epoch for people, such as "head, epoch 2/5"."""
        stage = self._recipe_stage
        return f"{stage.name}, epoch {min(self.position.epoch + self._within_epoch, stage.epochs)}/{stage.epochs}"

    def _start_stage(self) -> None:
        """Begins the stage of the present position, or goes on with it if a checkpoint says so."""
        position = self.position
        self._active = None  # before the next one: the wrappers of two would both hook into the parameters
        self._active = ActiveStage.start(
            position.stage, model=self.model, task=self.task, train=self.train, validation=self.validation,
            recipe=self.recipe, engine=self.engine, fingerprint=self.fingerprint,
            steps_before=position.step - position.stage_step,
        )  # fmt: skip
        if self._saved is not None:
            self._restore_stage(self._saved)
            self._saved = None
        else:
            for callback in self.callbacks:
                callback.on_stage_start(self)

    # State

    def save(self) -> None:
        """Writes `checkpoints/last.pt`, unless a loss since the last time is not finite."""
        self.window.read(self.engine)
        if self.directory is None:
            return
        state = self.state_dict()
        if self.engine.leads:
            save_checkpoint(self.directory / "checkpoints" / "last.pt", state)
        self._saved_at = time.monotonic()
        self.engine.barrier()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit."""
        scaler = self.engine.scaler
        state = {
            "position": asdict(self.position),
            "history": self.history,
            "window": self.window.state_dict(),
            "model": self.model.state_dict(),
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.phases},
            "schedule": self.stage.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "callbacks": {key: callback.state_dict() for key, callback in named_callbacks(self.callbacks)},
            "random": self.engine.gather_objects(random_state()),
            "extra": self.extra_state(),
        }
        return full(state) if self.engine.shards else state  # type: ignore[no-any-return]

    def extra_state(self) -> dict[str, Any]:
        """What another kind of trainer keeps beside, such as a replay buffer: tensors, numbers, texts, lists, dicts."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `extra_state` gave, before the stage in progress goes on."""

    def _load(self, path: Path) -> None:
        saved = load_checkpoint(path)
        self.model.load_state_dict(saved["model"])
        self.position = Position(**saved["position"])
        self.history = list(saved["history"])
        self.window.load_state_dict(saved["window"])
        for key, callback in named_callbacks(self.callbacks):
            if key in saved["callbacks"]:
                callback.load_state_dict(saved["callbacks"][key])
        self.load_extra_state(saved.get("extra", {}))
        self._saved = saved

    def _restore_stage(self, saved: Mapping[str, Any]) -> None:
        for phase in self.phases:
            if phase.name in saved["optimizers"] and self.position.stage_step > 0:
                phase.optimizer.load_state_dict(saved["optimizers"][phase.name])
                if self.engine.shards:
                    shard_optimizer_state(phase.optimizer)
        self.stage.schedule.load_state_dict(saved.get("schedule", {}))
        if self.engine.scaler is not None and saved["scaler"] is not None:
            self.engine.scaler.load_state_dict(saved["scaler"])
        ranks = saved["random"]
        restore_random_state(ranks[self.engine.rank % len(ranks)])

    def _interrupted(self, interrupts: Interrupts) -> bool:
        """Whether to stop here. Several processes must agree, which they do when they look at their losses."""
        if self.engine.world_size == 1:
            return interrupts.pending
        if self.position.step % self.recipe.log_every_steps:
            return False
        return bool(self.engine.sum(torch.tensor(float(interrupts.pending), device=self.engine.device)) > 0)

    def _checkpoint_due(self) -> bool:
        every = self.recipe.checkpoint_every_steps
        return every is not None and self.position.step % every == 0

    # The frame around it all

    @contextmanager
    def _session(self, resume_from: Path | None) -> Iterator[Interrupts]:
        """Seeds, opens the callbacks, and gives back what was borrowed.

        The model moves to where it is trained before a callback sees it: who keeps references to its tensors, as a
        moving average does, would otherwise follow the old ones.
        """
        given, opened = self.model, list[Callback]()
        with borrowed(given):
            seed_everything(self.recipe.seed + self.engine.rank)
            if resume_from is not None:
                self._load(resume_from)
            elif self.recipe.initialisation is not None:
                initialise_for_training(given, self.task, self.train, self.recipe)
            try:
                with placed(given, self.recipe, self.engine) as self.model, Interrupts(self.directory) as interrupts:
                    for callback in self.callbacks:
                        opened.append(callback)
                        callback.on_fit_start(self)
                    yield interrupts
            finally:
                self.model = given
                for callback in opened:
                    callback.on_fit_end(self)
                self._active = None


def grouped(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the last of what is left."""
    iterator = iter(batches)
    while group := list(itertools.islice(iterator, size)):
        yield group
