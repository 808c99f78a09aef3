"""Losses collected on the device, and read from it only when they are shown."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import NonFiniteLossError
from zoo.training.engine import Engine


class Means:
    """Weighted means by name."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.weights: dict[str, float] = {}

    def add(self, name: str, value: float, weight: float) -> None:
        """Counts `value` as the mean of `weight` rows."""
        self.sums[name] = self.sums.get(name, 0.0) + value * weight
        self.weights[name] = self.weights.get(name, 0.0) + weight

    def take(self) -> dict[str, float]:
        """The means of all that was added since the last time."""
        means = {name: total / self.weights[name] for name, total in self.sums.items()}
        self.sums, self.weights = {}, {}
        return means


class LossWindow:
    """The losses of the steps, and their means since the last record and over the epoch.

    `add` keeps references alone and never waits for the device; `read` fetches all values at once.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, float, Mapping[str, Tensor]]] = []
        self.recent = Means()
        self.epoch = Means()

    def add(self, step: int, losses: Mapping[str, Tensor], *, weight: float) -> None:
        """Keeps the losses of a step, which are means over `weight` rows."""
        self._steps.append((step, weight, losses))

    def read(self, engine: Engine) -> None:
        """Fetches the losses kept since the last time, averaged over all processes, and adds them to the means.

        Raises: NonFiniteLossError naming the first step whose loss is NaN or infinite.
        """
        steps, self._steps = self._steps, []
        for name in dict.fromkeys(name for _, _, losses in steps for name in losses):
            held = [(step, weight, losses[name]) for step, weight, losses in steps if name in losses]
            values = torch.stack([value.float() for _, _, value in held])
            values = engine.sum(values) / engine.world_size
            for (step, weight, _), value in zip(held, values.tolist(), strict=True):
                if not math.isfinite(value) and name.rpartition("/")[2] == "loss":
                    raise NonFiniteLossError(
                        f"The {name} of step {step} is {value}. Training stopped; what was saved before is kept. "
                        "Try a lower learning rate, clip_norm=1.0 or a warm-up, and look for NaN in the data; with "
                        "16-mixed precision try bf16-mixed."
                    )
                self.recent.add(name, value, weight)
                self.epoch.add(name, value, weight)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far; read first, since steps that were not read are not in it."""
        return {
            part: {"sums": dict(means.sums), "weights": dict(means.weights)}
            for part, means in (("recent", self.recent), ("epoch", self.epoch))
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        for part, means in (("recent", self.recent), ("epoch", self.epoch)):
            means.sums, means.weights = dict(state[part]["sums"]), dict(state[part]["weights"])
