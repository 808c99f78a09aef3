"""A search for the batch size: train a few steps on ever more rows, and watch the memory.

Source: own; doubling until memory ends is as in PyTorch Lightning's batch-size finder ("power").

On a GPU, memory ends with torch's own error. On a CPU nothing says so before the machine stalls, so a limit is needed,
the largest resident memory of the process is measured, and a size that must exceed the limit by what the two before it
took is not tried.

Nothing that the caller owns is changed: a model that is built already is copied, and the random generators are given
back.
"""

import copy
import gc
import logging
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.data import Bundle
from zoo.lookup import import_object
from zoo.training.checkpoint import random_state, restore_random_state
from zoo.training.choices import TRAINING, chosen_options, part_weights
from zoo.training.directory import PathLike
from zoo.training.jobs import RECIPE_OPTIONS, Job
from zoo.training.recipe import Recipe, Stage, check_options
from zoo.training.task import Task
from zoo.training.trainer import Trainer

logger = logging.getLogger(__name__)

GIB = 2**30
STEPS = 3  # the optimizer's state is there from the second one on
OWN = ("task", "weights", "trainable", "preprocess", "preprocess_options", "memory_gib", "start", "largest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A few steps at one batch size.

    memory_gib: largest memory of the process, on a GPU that of its tensors; NaN where it ran out.
    seconds:    for a row, forward, backward and step; NaN where memory ran out.
    """

    batch_size: int
    memory_gib: float
    seconds: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """What the search found.

    batch_size: the largest that was tried and fits.
    limit_gib:  of the memory; infinite where the device's own end was the limit.
    ended_by:   "memory", or "rows" where no more were there or wanted.
    """

    batch_size: int
    limit_gib: float
    ended_by: str
    trials: tuple[Trial, ...]

    def describe(self) -> str:
        """The findings in words, a line for each size."""
        lines = [
            f"{trial.batch_size:6} rows: {trial.memory_gib:.2f} GiB, {trial.seconds * 1e3:.2f} ms a row"
            if trial.fits
            else f"{trial.batch_size:6} rows: too many"
            for trial in self.trials
        ]
        end = "" if self.ended_by == "memory" else " (more rows were not there or not wanted)"
        return "\n".join([*lines, f"batch size {self.batch_size}{end}"])


def find_batch_size(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    task: str | Task | None = None,
    weights: PathLike | bool | None = None,
    trainable: int | None = None,
    preprocess: str | None = None,
    preprocess_options: Mapping[str, Any] | None = None,
    memory_gib: float | None = None,
    start: int = 2,
    largest: int | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    **recipe_options: Any,
) -> BatchSizes:
    """The largest batch size, of `start` and its doubles, whose training fits into memory.

    Takes what `zoo.train` takes of model, data and recipe: precision, moving averages and gradient checkpointing count.
    Where rows differ in length, later batches may take more than the few that were tried; leave room for them.

    trainable:  how many of the last layer groups train; None trains all.
    memory_gib: what the process may take, in GiB (2^30 bytes); needed on a CPU, else None leaves it to the device.
    start:      rows of the first trial.
    largest:    rows after which to stop; None stops at all rows of the training data.
    Raises:     ValueError if not even `start` rows fit, for a task that learns by acting, for several devices.
    """
    check_options("find_batch_size", recipe_options, RECIPE_OPTIONS, others=OWN)
    for name, value in (("start", start), ("largest", largest)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed.")
    before = random_state()
    try:
        chosen = chosen_options(recipe_options, model=model, task=task, data=data, defaults=TRAINING)
        options = {name: value for name, value in chosen.items() if name in RECIPE_OPTIONS}
        stage = Stage(name="memory test", lr=chosen["lr"], trainable=trainable, schedule="constant")
        recipe = replace(Recipe(stages=(stage,), **options), accumulate=1, max_steps=None, patience=None)
        if recipe.devices * recipe.num_nodes > 1:
            raise ValueError("A batch size is found in one process, for each of several: use devices=1.")
        weights, parts = part_weights(model, weights)
        job = Job.prepare(
            model, data, task=task, weights=weights, recipe=recipe, model_options={**parts, **(model_options or {})},
            data_options=data_options, task_options=task_options, preprocess=preprocess,
            preprocess_options=preprocess_options,
        )  # fmt: skip
        if not isinstance(model, str):
            job.model = copy.deepcopy(job.model)
        if memory_gib is None and job.engine.device.type != "cuda":
            raise ValueError("Only a GPU says when its memory ends: give memory_gib, what the process may take.")
        rows = len(job.bundle.train)
        largest = rows if largest is None else min(largest, rows)
        return _search(job, limit_gib=memory_gib or math.inf, start=min(start, largest), largest=largest)
    finally:
        restore_random_state(before)


def _search(job: Job, *, limit_gib: float, start: int, largest: int) -> BatchSizes:
    _try(job, start, math.inf)  # what is loaded and allocated only once would count as the first size's own
    trials: list[Trial] = []
    size = start
    while True:
        held = [trial for trial in trials if trial.fits]
        if _must_exceed(held, size, limit_gib):
            trials.append(Trial(batch_size=size, memory_gib=math.nan, seconds=math.nan, fits=False))
        else:
            trials.append(_try(job, size, limit_gib))
        last = trials[-1]
        logger.info("%d rows: %s", size, f"{last.memory_gib:.2f} GiB" if last.fits else "too many")
        if not last.fits and size == start:
            raise ValueError(
                f"Not even {start} rows fit into {limit_gib:.2f} GiB: training takes {last.memory_gib:.2f}. Try "
                "gradient_checkpointing=True, precision='bf16-mixed', smaller inputs, or a smaller model."
            )
        if not last.fits or size == largest:
            fits = [trial.batch_size for trial in trials if trial.fits]
            return BatchSizes(
                batch_size=fits[-1], limit_gib=limit_gib, ended_by="rows" if last.fits else "memory",
                trials=tuple(trials),
            )  # fmt: skip
        size = min(2 * size, largest)


def _must_exceed(trials: list[Trial], size: int, limit_gib: float) -> bool:
    """Whether `size` rows take more than the limit, if a row takes what it took between the last two trials."""
    if len(trials) < 2:
        return False
    first, second = trials[-2:]
    slope = max(0.0, second.memory_gib - first.memory_gib) / (second.batch_size - first.batch_size)
    return second.memory_gib + slope * (size - second.batch_size) > limit_gib


def _try(job: Job, size: int, limit_gib: float) -> Trial:
    """A few steps on batches of `size` rows, and what they took."""
    kind: type[Trainer] = import_object(job.task.trainer)
    if kind.train_epoch is not Trainer.train_epoch:
        raise ValueError(f"The task {job.task.name} learns by acting, on batches that its memory draws: choose a size.")
    trainer = _MemoryTest(
        model=job.model, task=job.task, train=job.bundle.train, recipe=replace(job.recipe, batch_size=size),
        progress=False, engine=job.engine, bundle=job.bundle,
    )  # fmt: skip
    memory = PeakMemory(job.engine.device)
    memory.reset()
    try:
        seconds = trainer.measure()
    except torch.OutOfMemoryError:
        return Trial(batch_size=size, memory_gib=math.nan, seconds=math.nan, fits=False)
    finally:
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    taken = memory.read()
    return Trial(batch_size=size, memory_gib=taken, seconds=seconds / size, fits=taken <= limit_gib)


class _MemoryTest(Trainer):
    """A trainer that takes a few steps; the steps are those of any training."""

    def measure(self) -> float:
        """Seconds of the fastest step."""
        seconds: list[float] = []
        with self._session(None) as interrupts:
            self._start_stage()
            self.stage.train_mode()
            for epoch in range(STEPS):
                for batch in self.stage.batches(epoch=epoch, start=0):
                    started = time.perf_counter()
                    self.step([batch])
                    self.window.read(self.engine)  # which waits for the device
                    seconds.append(time.perf_counter() - started)
                    if interrupts.pending:
                        interrupts.stop()
                    if len(seconds) == STEPS:
                        return min(seconds)
        raise ValueError(f"The training data hold too few rows for {STEPS} steps of a batch each.")


class PeakMemory:
    """The largest memory that the process held, in GiB: of its tensors on a GPU, else all that was resident.

    Linux alone can begin anew: elsewhere it is the largest since the process began, which serves while sizes rise.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._process = Path("/", "proc", "self")

    def reset(self) -> None:
        """Begins anew."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        elif (self._process / "clear_refs").exists():
            (self._process / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size

    def read(self) -> float:
        """The largest since then."""
        if self._on_gpu:
            return torch.cuda.max_memory_reserved() / GIB
        if (self._process / "status").exists():
            lines = (self._process / "status").read_text().splitlines()
            (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
            return int(kib) * 2**10 / GIB
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest * (1 if sys.platform == "darwin" else 2**10) / GIB
