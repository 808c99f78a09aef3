"""What every metric is: sums that stay on the device of the data until they are asked for.

The sums add up over batches of unequal size and over processes, so that a metric of many batches on many processes
is that of all the data at once.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class UndefinedMetricWarning(UserWarning):
    """A metric had nothing to divide by, so that it, or a part of it, is NaN."""


class Processes(Protocol):
    """All processes of a run, as a metric sees them."""

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, of the same shape and dtype."""
        ...

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process holds, by rank."""
        ...


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

    def sync(self, processes: Processes) -> Self:
        """Replaces the sums by their totals over all processes; each process must call it.

        A process that saw no data has its sums on the CPU, so `processes` must move them to a device that can
        communicate.
        Raises: RuntimeError if the sums are totals already: adding those up again would count data twice.
        """
        self._check_local()
        for tensor in self._sums.values():
            tensor.copy_(processes.sum(tensor.clone()))
        self._count = int(processes.sum(torch.tensor(self._count, device=self._device)))
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


class ListMetric(ABC):
    """A metric that must see all rows together, such as average precision or BLEU: it keeps what it needs of each.

    items: what `update` appended; after `sync` those of all processes, in the order of ranks.
    """

    higher_is_better: bool | None = None

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._synced = False

    @abstractmethod
    def update(self, outputs: Any, target: Any) -> None:
        """Appends what is needed of a batch to `items`: on the host, unless `sync` brings it there."""

    @abstractmethod
    def compute(self) -> float | Tensor:
        """The value over all items; NaN with a warning where it is undefined."""

    def reset(self) -> None:
        """Forgets all that was kept."""
        self.items = []
        self._synced = False

    def sync(self, processes: Processes) -> Self:
        """Takes the items of all processes; each process must call it.

        Raises: RuntimeError if the items are of all processes already.
        """
        if self._synced:
            raise RuntimeError(f"This {type(self).__name__} holds the rows of all processes. Call compute, then reset.")
        self.items = [item for items in processes.gather_objects(self.items) for item in items]
        self._synced = True
        return self

    def state_dict(self) -> dict[str, Any]:
        """A copy of the items, for `load_state_dict`."""
        return {"items": list(self.items)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where `state_dict` was taken."""
        self.items = list(state["items"])
        self._synced = False


def undefined(metric: Accumulator | ListMetric, reason: str) -> float:
    """NaN, after an UndefinedMetricWarning that says why."""
    warnings.warn(f"{type(metric).__name__} is undefined: {reason}.", UndefinedMetricWarning, stacklevel=3)
    return math.nan


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "mps" and tensor.dtype == torch.float64:  # Apple GPUs have no float64
        tensor = tensor.float()
    return tensor.to(device)
