"""What every metric is: sums that stay on the device of the data until they are asked for.

The sums add up over batches of unequal size and over processes, so that a metric of many batches on many processes
is that of all the data at once.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor


class UndefinedMetricWarning(UserWarning):
    """A metric had nothing to divide by, so that it, or a part of it, is NaN."""


class Accumulator(ABC):
    """Named sums (tensors) and a count of samples, with all that must be done to them besides adding.

    Subclasses add to the tensors that `_open` gives, in place and without reading a value back.

    higher_is_better: None where neither direction is better.
    """

    higher_is_better: bool | None = None

    def __init__(self, sums: Mapping[str, Tensor]) -> None:
        self._sums = dict(sums)
        self._device = torch.device("cpu")
        self._count = 0
        self._synced = False

    @abstractmethod
    def compute(self) -> float | Tensor:
        """The value over all that was accumulated, on the host; NaN with a warning where it is undefined."""

    def reset(self) -> None:
        """Forgets all that was accumulated."""
        for tensor in self._sums.values():
            tensor.zero_()
        self._count = 0
        self._synced = False

    def sync(self, reduce: Callable[[Tensor], Tensor]) -> Self:
        """Replaces the sums by their totals over all processes; each process must call it.

        reduce: gives the SUM of a tensor over processes, of the same shape and dtype. A process that saw no data
                has its sums on the CPU, so it must move them to a device that can communicate.
        Raises: RuntimeError if the sums are totals already: adding those up again would count data twice.
        """
        self._check_local()
        for tensor in self._sums.values():
            tensor.copy_(reduce(tensor.clone()))
        self._count = int(reduce(torch.tensor(self._count, device=self._device)))
        self._synced = True
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the sums and the count, for `load_state_dict`."""
        return {**{name: tensor.clone() for name, tensor in self._sums.items()}, "count": torch.tensor(self._count)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from where `state_dict` was taken.

        Raises: ValueError if names or shapes are not those of this metric.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in self._sums.items()} | {"count": ()}
        given = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if given != expected:
            raise ValueError(f"{type(self).__name__} has the states {expected}; got {given}.")
        for name, tensor in self._sums.items():
            tensor.copy_(state[name])
        self._count = int(state["count"])
        self._synced = False

    def _open(self, device: torch.device) -> dict[str, Tensor]:
        """The sums, moved to `device` if they lie elsewhere, to be added to in place."""
        if self._synced:
            self._check_local()
        if device != self._device:
            with torch.inference_mode(False):  # an inference tensor could not be added to outside of that mode
                self._sums = {name: _moved(tensor, device) for name, tensor in self._sums.items()}
            self._device = device
        return self._sums

    def _check_local(self) -> None:
        if self._synced:
            raise RuntimeError(
                f"This {type(self).__name__} holds the totals of all processes. Call compute, then reset it."
            )


class Metric(Accumulator):
    """An accumulator of model outputs against targets."""

    @abstractmethod
    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Adds one batch, of any size, zero too. Waits for no device."""


def undefined(metric: Accumulator, reason: str) -> float:
    """NaN, after an UndefinedMetricWarning that says why."""
    warnings.warn(f"{type(metric).__name__} is undefined: {reason}.", UndefinedMetricWarning, stacklevel=3)
    return math.nan


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "mps" and tensor.dtype == torch.float64:  # Apple GPUs have no float64
        tensor = tensor.float()
    return tensor.to(device)
