"""A schedule that lowers the rate when validation stops improving.

Source: Krizhevsky et al. 2012 (NeurIPS), section 5, who did it by hand; the rules are those of
torch.optim.lr_scheduler.ReduceLROnPlateau.
Differs from torch: rates are factors on each group's base rate, and the least one is a factor too; no reduction is too
small to be made.

The rate depends on values that no step number tells, so the schedule has a state, which every checkpoint holds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

STATE = ("level", "best", "waited", "resting")


@dataclass(slots=True, kw_only=True)
class Plateau:
    """The base rate, times `factor` whenever `patience` validations in a row and one more were no better.

    factor:         on the rate, in (0, 1).
    patience:       validations without an improvement that are borne.
    threshold:      least improvement that counts: a share of the best value, or in its unit; see `threshold_mode`.
    threshold_mode: "relative" or "absolute".
    cooldown:       validations after a reduction that are not counted.
    min_factor:     least rate over the base rate, 0..1.
    metric, mode:   what to follow, and whether a better one is larger or smaller; None takes the task's own.
    """

    total_steps: int
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["relative", "absolute"] = "relative"
    cooldown: int = 0
    min_factor: float = 0.0
    metric: str | None = None
    mode: Literal["min", "max"] | None = None
    level: float = field(default=1.0, init=False)
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)
    resting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor is {self.factor}; a reduction needs one in (0, 1).")
        if self.patience < 0 or self.cooldown < 0 or self.threshold < 0:
            raise ValueError("patience, cooldown and threshold must not be negative.")
        if not 0 <= self.min_factor <= 1:
            raise ValueError(f"min_factor is {self.min_factor}; it must be in 0..1.")
        if self.threshold_mode not in ("relative", "absolute"):
            raise ValueError(f"threshold_mode is {self.threshold_mode!r}; expected 'relative' or 'absolute'.")
        if self.mode not in ("min", "max", None):
            raise ValueError(f"mode is {self.mode!r}; expected 'min', 'max' or None.")

    def lr_factor(self, step: int) -> float:
        return self.level

    def momentum(self, step: int) -> None:
        return None

    def observe(self, metrics: Mapping[str, float], *, monitor: str, mode: Literal["min", "max"]) -> None:
        """Counts a validation, and lowers the rate from the next step on if it is time. A NaN is no improvement."""
        name = self.metric or monitor
        if name not in metrics:
            raise ValueError(f"Schedule 'plateau' follows {name!r}, but validation gives {', '.join(metrics)}.")
        if self._is_better(metrics[name], mode if self.mode is None else self.mode):
            self.best, self.waited = metrics[name], 0
        else:
            self.waited += 1
        if self.resting > 0:
            self.resting -= 1
            self.waited = 0
        if self.waited > self.patience:
            self.level = max(self.level * self.factor, self.min_factor)
            self.resting, self.waited = self.cooldown, 0

    def _is_better(self, value: float, mode: str) -> bool:
        sign = 1.0 if mode == "max" else -1.0
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        if self.threshold_mode == "absolute":
            return sign * value > sign * self.best + self.threshold
        return sign * value > sign * self.best * (1 + sign * self.threshold)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, as plain data."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        for name in STATE:
            setattr(self, name, state[name])
