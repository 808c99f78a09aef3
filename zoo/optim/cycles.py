"""Schedules that rise again: cosine with warm restarts, and triangles.

Source: restarts from Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5 (SGDR; with AdamW in their
arXiv:1711.05101); cycles of equal length from Huang et al. 2017, arXiv:1704.00109, equation 2 (snapshot ensembles);
triangles from Smith 2015, arXiv:1506.01186, section 3.1.
Differs from the paper: rates change at every step, not between epochs; what is left over after the last whole cycle
begins another one.

A step counts from 0. Past its last step a schedule stays as it was there.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from zoo.optim.schedules import half_cosine

SHAPES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineRestarts:
    """Half a cosine down from the base rate, and again from the top: in every cycle, or with one of a few.

    first_cycle:  steps of the first cycle, T_0 in the paper; or
    num_cycles:   how many cycles fill the run: one of the two is given.
    cycle_factor: from the length of one cycle to that of the next, T_mult in the paper.
    final_factor: what is left of the base rate at the end of a cycle, which is the step of the next restart.
    """

    total_steps: int
    first_cycle: int | None = None
    num_cycles: int | None = None
    cycle_factor: int = 1
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        if (self.first_cycle is None) == (self.num_cycles is None):
            raise ValueError("Schedule 'cosine_restarts' takes first_cycle (a number of steps) or num_cycles.")
        if self.cycle_factor < 1:
            raise ValueError(f"cycle_factor is {self.cycle_factor}; a whole number from 1 up is needed.")
        if self.first_cycle is not None and self.first_cycle < 1:
            raise ValueError(f"first_cycle is {self.first_cycle}; at least 1 step is needed.")
        if self.num_cycles is not None and not 1 <= self._units <= self.total_steps:
            raise ValueError(f"{self.num_cycles} cycles do not fit a run of {self.total_steps} steps.")

    @property
    def _units(self) -> int:
        """The length of all `num_cycles` cycles in first ones."""
        return sum(self.cycle_factor**index for index in range(self.num_cycles or 0))

    def cycles(self) -> Iterator[tuple[int, int]]:
        """The first step of each cycle and the one after its last, without end."""
        length = self.first_cycle if self.first_cycle is not None else math.ceil(self.total_steps / self._units)
        start = 0
        while True:
            yield start, start + length
            start, length = start + length, length * self.cycle_factor

    def cycle_ends(self) -> list[int]:
        """How many steps are done at the end of each cycle within the run, the last one whole or not.

        That is when a snapshot is taken: the next step, if there is one, restarts.
        """
        inside = itertools.takewhile(lambda cycle: cycle[0] < self.total_steps, self.cycles())
        return [min(end, self.total_steps) for _, end in inside]

    def lr_factor(self, step: int) -> float:
        step = min(step, self.total_steps - 1)
        start, end = next(cycle for cycle in self.cycles() if step < cycle[1])
        return half_cosine(1.0, self.final_factor, (step - start) / (end - start))

    def momentum(self, step: int) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cyclic:
    """Straight up from `low_factor` of the base rate to all of it and down again, over and over.

    rise_steps: of each cycle; fall_steps: of each cycle, as many where it is None.
    low_factor: lowest rate over the base rate, 0..1; a third or a quarter in the paper.
    shape:      "triangular"; "triangular2" halves the height with each cycle, "exp_range" multiplies it by `gamma` with
                each step.
    """

    total_steps: int
    rise_steps: int
    fall_steps: int | None = None
    low_factor: float = 0.25
    shape: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: float = 0.999

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape is {self.shape!r}; expected one of {', '.join(SHAPES)}.")
        if self.rise_steps < 1 or (self.fall_steps is not None and self.fall_steps < 1):
            raise ValueError(f"Each side of a triangle needs a step; got {self.rise_steps} and {self.fall_steps}.")
        if not 0 <= self.low_factor <= 1:
            raise ValueError(f"low_factor is {self.low_factor}; it must be in 0..1.")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; a factor per step in (0, 1] is needed.")

    def lr_factor(self, step: int) -> float:
        step = min(step, self.total_steps)
        fall = self.rise_steps if self.fall_steps is None else self.fall_steps
        cycle, place = divmod(step, self.rise_steps + fall)
        height = place / self.rise_steps if place <= self.rise_steps else 1 - (place - self.rise_steps) / fall
        shrunk = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**step}[self.shape]
        return self.low_factor + (1 - self.low_factor) * height * shrunk

    def momentum(self, step: int) -> None:
        return None
