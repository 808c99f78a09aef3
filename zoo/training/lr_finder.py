"""A search for the learning rate: train at rates that rise from step to step, and watch the loss.

Source: Smith 2015, arXiv:1506.01186, section 3.3, the "LR range test"; its exponential form with a smoothed loss, the
stop at divergence and both suggestions are fast.ai's.
Differs from the paper: rates rise exponentially, and the training loss is watched, not the validation accuracy.

Nothing that the caller owns is changed: a model that is built already is copied, and the random generators are given
back. The batches are those that training would see, whose order depends on the seed alone.
"""

import copy
import inspect
import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from zoo.data import Bundle
from zoo.data.balancing import Balancing
from zoo.lookup import import_object
from zoo.optim import Schedule
from zoo.training.checkpoint import random_state, restore_random_state
from zoo.training.choices import TRAINING, chosen_options, part_weights
from zoo.training.directory import PathLike
from zoo.training.jobs import RECIPE_OPTIONS, Job
from zoo.training.loggers import shown
from zoo.training.phases import Batch, Phase
from zoo.training.recipe import Recipe, Stage, check_options
from zoo.training.task import Task
from zoo.training.trainer import Trainer, grouped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

SAFETY = 10  # from the rate of the lowest loss down to the suggested one, as in fast.ai
FEWEST = 3  # points that make a curve
SMOOTHING, OVER_STEPS = 0.98, 100  # fast.ai's
UNSETTLED = 10  # the first of so many parts of the curve, where the average is of a few losses only


@dataclass(frozen=True, kw_only=True)
class RateCurve:
    """The loss over the learning rate, and what it suggests.

    rates:    learning rates in rising order, those of the head.
    losses:   of the step that was taken with each, before it.
    smoothed: their exponential moving averages.
    diverged: whether the test ended because the loss had run away, not at its last rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged: bool

    @property
    def lowest(self) -> float:
        """The rate of the lowest smoothed loss."""
        return self.rates[self._lowest]

    @property
    def steepest(self) -> float | None:
        """Where, up to the lowest, the smoothed loss falls fastest over the logarithm of the rate; None if nowhere."""
        first = len(self.rates) // UNSETTLED
        points = list(zip(map(math.log, self.rates), self.smoothed, strict=True))[first : self._lowest + 1]
        slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(points)]
        return self.rates[first + min(range(len(slopes)), key=slopes.__getitem__)] if slopes else None

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate of the lowest loss; None where the first rate had the lowest."""
        return None if self._lowest == 0 else self.lowest / SAFETY

    @property
    def _lowest(self) -> int:
        return min(range(len(self.rates)), key=self.smoothed.__getitem__)

    def describe(self) -> str:
        """The findings in words, a line each."""
        steepest = "" if self.steepest is None else f"steepest descent at {self.steepest:.2e}"
        if self.suggestion is None:
            lines = [f"no suggestion: the loss only rose from {self.rates[0]:.2e} on; start lower", steepest]
        else:
            lines = [f"suggested learning rate {self.suggestion:.2e}, a tenth of {self.lowest:.2e}, the lowest loss's"]
            lines.append(steepest)
        if not self.diverged and self.lowest == self.rates[-1]:
            lines.append(f"the loss was still falling at {self.rates[-1]:.2e}; a higher end may show more")
        return "\n".join(line for line in lines if line)

    def figure(self) -> "Figure":
        """A picture of the curve, with both rates marked."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses, color="0.75", linewidth=0.8, label="loss of each step")
        axes.plot(self.rates, self.smoothed, color="C0", label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color="C2", label=f"suggestion {self.suggestion:.1e}")
        if self.steepest is not None:
            axes.axvline(self.steepest, color="C1", linestyle=":", label=f"steepest {self.steepest:.1e}")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        first, low = self.smoothed[0], min(self.losses)
        top = first + 0.5 * (first - low)
        if max(self.losses) > top > low:  # what runs away would flatten the rest
            axes.set_ylim(low - 0.1 * (top - low), top)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        return figure

    def save(self, path: str | Path) -> None:
        """Writes the picture; the name's ending says in which format."""
        self.figure().savefig(path)


def find_lr(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    task: str | Task | None = None,
    weights: PathLike | bool | None = None,
    trainable: int | None = None,
    phase: str | None = None,
    preprocess: str | None = None,
    preprocess_options: Mapping[str, Any] | None = None,
    balance: Balancing | None = None,
    start: float = 1e-7,
    end: float = 10.0,
    num_steps: int = 100,
    smoothing: float | None = None,
    divergence: float = 4.0,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    **recipe_options: Any,
) -> RateCurve:
    """The loss over learning rates from `start` to `end`, and the rate that it suggests to train with.

    Takes what `zoo.train` takes of model, data and recipe, and leaves all of it as it was: training afterwards is
    training without the search, bit for bit.

    weights:    to start from; None starts from scratch, "default" from what fine-tuning would.
    trainable:  how many of the last layer groups train, as in the first stage of fine-tuning 1; None trains all.
    phase:      of a task that trains several modules in turn, whose rate rises; the others keep theirs.
    num_steps:  optimizer steps, with a rate each; more than an epoch has begin it again.
    smoothing:  what is left of the moving average of the loss after a step, in [0, 1); None forgets over the same share
                of the range as fast.ai, whatever the number of steps.
    divergence: the test ends where the smoothed loss exceeds its lowest by more than this factor less 1, of its size.
    Raises:     ValueError for a task that learns by acting, for several phases where none is chosen, and where the loss
                runs away at once.
    """
    check_options("find_lr", recipe_options, RECIPE_OPTIONS, others=inspect.signature(find_lr).parameters)
    _check_range(start, end, num_steps, smoothing or 0.0, divergence)
    smoothing = SMOOTHING ** (OVER_STEPS / num_steps) if smoothing is None else smoothing
    before = random_state()
    try:
        chosen = chosen_options(recipe_options, model=model, task=task, data=data, defaults=TRAINING)
        stage = Stage(name="range test", lr=chosen["lr"], trainable=trainable, schedule="constant")
        weights, parts = part_weights(model, weights)
        job = Job.prepare(
            model, data, task=task, weights=weights, recipe=_plain_recipe(chosen, stage), preprocess=preprocess,
            preprocess_options=preprocess_options, balance=balance, data_options=data_options,
            model_options={**parts, **(model_options or {})}, task_options=task_options,
        )  # fmt: skip
        test = _range_test(job, copied=not isinstance(model, str))
        rates = [start * (end / start) ** (index / (num_steps - 1)) for index in range(num_steps)]
        return test.measure(rates, phase=phase, smoothing=smoothing, divergence=divergence, progress=progress)
    finally:
        restore_random_state(before)


def _check_range(start: float, end: float, num_steps: int, smoothing: float, divergence: float) -> None:
    if not 0 < start < end < math.inf:
        raise ValueError(f"Rates must rise from above 0; got start {start} and end {end}.")
    if num_steps < FEWEST:
        raise ValueError(f"num_steps is {num_steps}; a curve needs at least {FEWEST}.")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}; it must be in [0, 1).")
    if not divergence > 1:
        raise ValueError(f"divergence is {divergence}; a factor above 1 is needed.")


def _plain_recipe(chosen: Mapping[str, Any], stage: Stage) -> Recipe:
    """The recipe for training with a rising rate, without what only matters after it, such as averaged weights."""
    options = {name: value for name, value in chosen.items() if name in RECIPE_OPTIONS}
    return replace(Recipe(stages=(stage,), **options), max_steps=None, patience=None, ema=None, swa=None)


def _range_test(job: Job, *, copied: bool) -> "RangeTest":
    """The test of a job's model, or of a copy."""
    kind: type[Trainer] = import_object(job.task.trainer)
    if kind.train_epoch is not Trainer.train_epoch:
        raise ValueError(
            f"The task {job.task.name} learns by acting: its loss says nothing of a rate before many episodes. "
            "Compare runs at several rates instead."
        )
    return RangeTest(
        model=copy.deepcopy(job.model) if copied else job.model, task=job.task, train=job.bundle.train,
        recipe=job.recipe, progress=False, engine=job.engine, bundle=job.bundle,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rising:
    """The schedule of the test: a factor on the base rate for each turn of a phase that comes every so many steps."""

    factors: Sequence[float]
    every: int

    def lr_factor(self, step: int) -> float:
        return self.factors[min(step // self.every, len(self.factors) - 1)]

    def momentum(self, step: int) -> None:
        return None


class RangeTest(Trainer):
    """A trainer whose steps have rising rates; the steps are those of any training."""

    def measure(
        self, rates: Sequence[float], *, phase: str | None, smoothing: float, divergence: float, progress: bool
    ) -> RateCurve:
        """Takes a step at each of `rates` until the loss runs away."""
        losses: list[float] = []
        smoothed: list[float] = []
        diverged = False
        with self._session(None) as interrupts:
            self._start_stage()
            self.stage.train_mode()
            watched = self._let_rise(rates, phase)
            key = "loss" if len(self.phases) == 1 else f"{watched.name}/loss"
            steps: Any = itertools.islice(self._endless(), watched.every * (len(rates) - 1) + 1)
            if progress and self.engine.leads:
                steps = shown(steps, total=watched.every * (len(rates) - 1) + 1, title="learning rates")
            for batches in steps:
                found = self.step(batches)
                if interrupts.pending:
                    interrupts.stop()
                if key not in found:
                    continue
                loss = self._everywhere(found[key])
                if not math.isfinite(loss):
                    diverged = True
                    break
                losses.append(loss)
                smoothed = moving_averages(losses, smoothing)
                if runs_away(smoothed, divergence):
                    diverged = True
                    break
        if len(losses) < FEWEST:
            raise ValueError(f"The loss ran away at once, at a rate of {rates[len(losses)]:.2e}: start lower.")
        return RateCurve(
            rates=tuple(rates[: len(losses)]), losses=tuple(losses), smoothed=tuple(smoothed), diverged=diverged
        )

    def _let_rise(self, rates: Sequence[float], name: str | None) -> Phase:
        """Gives the phase called `name` the rates, and the others the recipe's."""
        names = [phase.name for phase in self.phases]
        if (name is None and len(names) > 1) or (name is not None and name not in names):
            raise ValueError(f"The task {self.task.name} has the phases {', '.join(names)}: pass one as phase.")
        watched = self.phases[0 if name is None else names.index(name)]
        base = self.recipe.stages[0].lr
        for phase in self.phases:
            phase.schedule = None
        watched.schedule = Schedule(shape=Rising(factors=[rate / base for rate in rates], every=watched.every))
        return watched

    def _endless(self) -> Iterator[list[Batch]]:
        """What each step takes, epoch after epoch."""
        for epoch in itertools.count():
            yield from grouped(self.stage.batches(epoch=epoch, start=0), self.recipe.accumulate)

    def _everywhere(self, loss: Tensor) -> float:
        """The mean over all processes, so that they stop together."""
        return float(self.engine.sum(loss.float())) / self.engine.world_size


def moving_averages(losses: Sequence[float], smoothing: float) -> list[float]:
    """Exponential moving averages, corrected for their start at 0."""
    averages: list[float] = []
    held = 0.0
    for index, loss in enumerate(losses):
        held = smoothing * held + (1 - smoothing) * loss
        averages.append(held / (1 - smoothing ** (index + 1)))
    return averages


def runs_away(smoothed: Sequence[float], divergence: float) -> bool:
    """Whether the last loss is above the lowest by more than `divergence` - 1 times its size.

    For a positive loss that is fast.ai's rule; losses below 0, such as a critic's, are treated alike.
    """
    low = min(smoothed)
    return smoothed[-1] - low > (divergence - 1) * abs(low)
