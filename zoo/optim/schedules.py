"""Learning-rate schedules as pure functions of the optimizer step, so that a resumed run needs no schedule state.

The one that is not, `zoo.optim.plateau`, follows validation and keeps its state in every checkpoint.

Source: cosine from Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5 without restarts; 1cycle from Smith and
Topin 2017, arXiv:1708.07120, section 3; warm-up from Goyal et al. 2017, arXiv:1706.02677, section 2.2; polynomial
decay as in Chen et al. 2016, arXiv:1606.00915, and with power 1 in Gulrajani et al. 2017, arXiv:1704.00028.
Differs from the paper: 1cycle has two phases and may anneal by cosine, as fast.ai's and torch's; warm-up takes its
first step at more than its starting rate, since a step at rate 0 would be wasted.

A step counts from 0. Every schedule gives a factor on a group's base rate. Past its last step it stays as it was there.
"""

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor
from torch.optim.optimizer import Optimizer

from zoo.parts.schedules import SCHEDULES


class Shape(Protocol):
    """A curve over the steps of a run, without warm-up."""

    def lr_factor(self, step: int) -> float:
        """Factor on the base rate at optimizer step `step`."""
        ...

    def momentum(self, step: int) -> float | None:
        """Momentum (beta 1 of Adam) at optimizer step `step`; None leaves it alone."""
        ...


@runtime_checkable
class Follower(Shape, Protocol):
    """A curve that depends on validation, and so has a state."""

    def observe(self, metrics: Mapping[str, float], *, monitor: str, mode: Literal["min", "max"]) -> None:
        """Takes in the metrics of a validation."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, as plain data."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A linear warm-up of `warmup_steps`, then `shape` over the steps that are left, counted from 0 again.

    warmup_start: factor on the first rate of `shape` that the warm-up comes from.
    """

    shape: Shape
    warmup_steps: int = 0
    warmup_start: float = 0.0

    def lr_factor(self, step: int) -> float:
        """Factor on each group's base rate at optimizer step `step`."""
        if step >= self.warmup_steps:
            return self.shape.lr_factor(step - self.warmup_steps)
        done = (step + 1) / (self.warmup_steps + 1)
        return self.shape.lr_factor(0) * (self.warmup_start + (1 - self.warmup_start) * done)

    def momentum(self, step: int) -> float | None:
        """Momentum (beta 1 of Adam) at optimizer step `step`; None leaves it alone."""
        return self.shape.momentum(max(step - self.warmup_steps, 0))

    @property
    def follows_validation(self) -> bool:
        """Whether the rates depend on what validation finds."""
        return isinstance(self.shape, Follower)

    def observe(self, metrics: Mapping[str, float], *, monitor: str, mode: Literal["min", "max"]) -> None:
        """Tells the schedule the metrics of a validation; only one that follows them listens.

        monitor, mode: the metric that the task judges by, and whether a better one is larger or smaller.
        """
        if isinstance(self.shape, Follower):
            self.shape.observe(metrics, monitor=monitor, mode=mode)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the step: nothing, unless validation is followed."""
        return self.shape.state_dict() if isinstance(self.shape, Follower) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        if isinstance(self.shape, Follower):
            self.shape.load_state_dict(state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """The base rate throughout."""

    total_steps: int

    def lr_factor(self, step: int) -> float:
        return 1.0

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay:
    """The rate times `gamma` every `step_size` steps, or at each of `milestones`: one of the two is given."""

    total_steps: int
    step_size: int | None = None
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if (self.step_size is None) == (not self.milestones):
            raise ValueError("Schedule 'step' takes step_size (a number of steps) or milestones (step numbers).")
        if self.step_size is not None and self.step_size < 1:
            raise ValueError(f"step_size is {self.step_size}; at least 1 step is needed.")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise; got {list(self.milestones)}.")

    def lr_factor(self, step: int) -> float:
        step = min(step, self.total_steps)
        drops = bisect.bisect_right(self.milestones, step) if self.step_size is None else step // self.step_size
        return self.gamma**drops

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """The rate times `gamma` each step.

    final_factor: what is left of the base rate after the last step, above 0; used where gamma is None.
    """

    total_steps: int
    gamma: float | None = None
    final_factor: float = 0.01

    def __post_init__(self) -> None:
        if self.gamma is not None and self.gamma <= 0:
            raise ValueError(f"gamma is {self.gamma}; a factor per step above 0 is needed.")
        if self.final_factor <= 0:
            raise ValueError(f"final_factor is {self.final_factor}; exponential decay needs one above 0.")

    def lr_factor(self, step: int) -> float:
        step = min(step, self.total_steps)
        return self.final_factor ** (step / self.total_steps) if self.gamma is None else self.gamma**step

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Half a cosine from the base rate down to `final_factor` of it, which would be step `total_steps`."""

    total_steps: int
    final_factor: float = 0.0

    def lr_factor(self, step: int) -> float:
        return half_cosine(1.0, self.final_factor, min(step, self.total_steps) / self.total_steps)

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """From the base rate down to `final_factor` of it, along what is left of the steps to the `power`.

    power: 1 is a straight line, more falls faster at first.
    """

    total_steps: int
    power: float = 0.9
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ValueError(f"power is {self.power}; one above 0 is needed.")

    def lr_factor(self, step: int) -> float:
        left = 1 - min(step, self.total_steps) / self.total_steps
        return self.final_factor + (1 - self.final_factor) * left**self.power

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A straight line from the base rate down to `final_factor` of it, which would be step `total_steps`."""

    total_steps: int
    final_factor: float = 0.0

    def lr_factor(self, step: int) -> float:
        return line(1.0, self.final_factor, min(step, self.total_steps) / self.total_steps)

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle:
    """One rise to the base rate and one fall far below it, while momentum goes the other way.

    pct_start:        share of the steps that rise, 0..1.
    div_factor:       base rate over the first rate.
    final_div_factor: first rate over the last.
    anneal:           the form of both curves.
    cycle_momentum:   False leaves momentum alone.
    base_momentum, max_momentum: momentum at the highest rate, and at both ends.
    """

    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True
    base_momentum: float = 0.85
    max_momentum: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.pct_start <= 1:
            raise ValueError(f"pct_start is a share of the steps, 0..1; got {self.pct_start}.")
        if self.anneal not in ("cos", "linear"):
            raise ValueError(f"anneal must be 'cos' or 'linear'; got {self.anneal!r}.")
        if self.div_factor <= 0 or self.final_div_factor <= 0:
            raise ValueError(f"Divisors must be above 0; got {self.div_factor} and {self.final_div_factor}.")

    def lr_factor(self, step: int) -> float:
        first = 1 / self.div_factor
        return self._between(first, 1.0, first / self.final_div_factor, step)

    def momentum(self, step: int) -> float | None:
        if not self.cycle_momentum:
            return None
        return self._between(self.max_momentum, self.base_momentum, self.max_momentum, step)

    def _between(self, first: float, middle: float, last: float, step: int) -> float:
        """The value at `step` of a curve through `first` at step 0, `middle` at the peak, `last` at the last step."""
        curve = half_cosine if self.anneal == "cos" else line
        end = self.total_steps - 1
        peak = max(self.pct_start * self.total_steps - 1, 0.0)  # a run too short to rise starts at the peak
        step = min(step, end)
        if step < peak:
            return curve(first, middle, step / peak)
        return curve(middle, last, (step - peak) / (end - peak)) if end > peak else middle


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSquareRoot:
    """A linear rise to the base rate over the first `rise_steps`, then a fall with the square root of the step.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 3, as a factor on the highest rate, which there is
    1 / sqrt(width * rise_steps).
    """

    total_steps: int
    rise_steps: int = 4000

    def __post_init__(self) -> None:
        if self.rise_steps < 1:
            raise ValueError(f"rise_steps is {self.rise_steps}; at least 1 step is needed.")

    def lr_factor(self, step: int) -> float:
        number = min(step, self.total_steps) + 1  # the paper counts from 1
        return min(number / self.rise_steps, math.sqrt(self.rise_steps / number))

    def momentum(self, step: int) -> None:
        return None


def make_schedule(
    name: str, *, total_steps: int, warmup_steps: int = 0, warmup_start: float = 0.0, **options: Any
) -> Schedule:
    """The schedule called `name` over the optimizer steps of a run.

    total_steps:  of the whole run, warm-up included.
    warmup_steps: optimizer steps of a linear rise to the schedule's first rate, in front of it. Step numbers among
                  the options, such as milestones, count from the end of the warm-up.
    warmup_start: factor on that first rate, from which the rise comes.
    options:      of the schedule, checked by name.
    Raises:       UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for values.
    """
    kind: Callable[..., Shape] = SCHEDULES.check(name, options)
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(f"{warmup_steps} warm-up steps do not fit a run of {total_steps}; a step must be left.")
    shape = kind(total_steps=total_steps - warmup_steps, **options)
    return Schedule(shape=shape, warmup_steps=warmup_steps, warmup_start=warmup_start)


def apply_schedule(optimizer: Optimizer, schedule: Schedule, step: int) -> None:
    """Sets the rates, and momentum where the schedule has it, for optimizer step `step`; call it before the step.

    A group's base rate is its "initial_lr", which is set to its "lr" the first time and saved with the optimizer.

    Raises: ValueError if the schedule has momentum and a group has neither "betas" nor "momentum".
    """
    factor = schedule.lr_factor(step)
    momentum = schedule.momentum(step)
    for group in optimizer.param_groups:
        rate = group["lr"]
        if "initial_lr" not in group:
            group["initial_lr"] = float(rate)
        if isinstance(rate, Tensor):  # a rate that a compiled or captured step reads must stay the same tensor
            rate.fill_(group["initial_lr"] * factor)
        else:
            group["lr"] = group["initial_lr"] * factor
        if momentum is not None:
            _set_momentum(group, momentum)


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif group.get("momentum"):
        group["momentum"] = momentum
    elif "momentum" in group:
        pass  # plain SGD stays plain
    else:
        raise ValueError("This optimizer has no momentum to cycle. Use cycle_momentum=False, or one that has.")


def half_cosine(start: float, end: float, done: float) -> float:
    """From `start` at `done` 0 to `end` at 1, flat at both."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def line(start: float, end: float, done: float) -> float:
    """From `start` at `done` 0 to `end` at 1, straight."""
    return start + (end - start) * done
