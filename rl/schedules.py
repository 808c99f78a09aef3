"""Numbers that change while an agent learns, such as how often it explores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearSchedule:
    """From `start` at step 0 in a straight line to `end` at step `steps`, and `end` from then on."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"A schedule over {self.steps} steps makes no sense; give 0 or more.")

    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps
