"""Sources of batches: the Protocol that the trainer reads from, and data that lie in memory.

Shapes: N rows, B rows of a batch.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import batch_bounds, count_batches, order_of
from zoo.data.randomness import (
    isolated_generators,
    mix,
    row_uniforms,
    seed_everything_here,
)
from zoo.errors import DataError

Batch = tuple[Any, ...]
Transform = Callable[[Any], Any]


@runtime_checkable
class Source(Protocol):
    """Rows that come in batches, in an order that depends on (seed, epoch) alone."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, index: int) -> Batch:
        """Row `index` as (input, target), without a batch dimension, as epoch 0 of seed 0 shows it."""
        ...

    def targets(self) -> Tensor:
        """The targets of all rows [N, ...], without reading the inputs where the data allow it."""
        ...

    def unaugmented(self) -> "Source":
        """The same rows as they are evaluated: without random changes."""
        ...

    def num_batches(self, *, batch_size: int, drop_last: bool = False, world_size: int = 1) -> int:
        """Number of batches that `batches` gives each rank from start 0."""
        ...

    def batches(
        self,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int | None = None,
        rows: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Batches (inputs [B, ...], targets [B, ...]) of one epoch.

        start:       number of batches to leave out at the beginning; their rows are not read.
        rank:        which share to give of each global batch of `batch_size` * `world_size` rows: zoo.data.batches.
        num_workers: processes that read ahead; None for the source's own setting.
        rows:        the epoch's rows in their order [M], in place of all; a row may come again as its number plus a
                     multiple of the source's length, and is then changed at random in another way.
        """
        ...


class Augmentation(Protocol):
    """Random changes of a whole batch whose chance comes from outside, so that rows do not depend on their batch."""

    num_uniforms: int

    def __call__(self, inputs: Tensor, uniforms: Tensor) -> Tensor:
        """Inputs [B, ...] and draws from [0, 1), [B, num_uniforms], to changed inputs [B, ...]."""
        ...


class ArraySource:
    """Rows held in memory, batched by index, whole batches at a time.

    arrays:    tensors or NumPy arrays [N, ...] on any device, the inputs first and the targets last. They are not
               copied, and batches never alias them.
    transform: inputs [B, ...] to inputs [B, ...]: conversion, normalisation, resizing. If it draws random numbers,
               they are seeded by (seed, epoch, step, rank).
    augment:   random changes by row, made before `transform`.
    Raises:    DataError if the lengths differ, there are no rows, or an array does not hold numbers.
    """

    def __init__(
        self,
        *arrays: Tensor | np.ndarray,
        transform: Transform | None = None,
        augment: Augmentation | None = None,
    ) -> None:
        if not arrays:
            raise DataError("ArraySource needs at least one array.")
        self.tensors = tuple(as_tensor(array) for array in arrays)
        lengths = [len(tensor) if tensor.dim() else 0 for tensor in self.tensors]
        if len(set(lengths)) > 1:
            raise DataError(f"The arrays must have the same number of rows, got {' and '.join(map(str, lengths))}.")
        if lengths[0] == 0:
            raise DataError("The arrays hold no rows.")
        self.transform = transform
        self.augment = augment

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> Batch:
        row = range(len(self))[index]
        batch = tuple(tensor[row : row + 1].clone() for tensor in self.tensors)
        inputs, *rest = self._prepared(batch, torch.tensor([row]), seed=0, epoch=0, draw=mix(0, 0, row))
        return (inputs[0], *(tensor[0] for tensor in rest))

    def targets(self) -> Tensor:
        """The last array, [N, ...]."""
        if len(self.tensors) == 1:
            raise DataError("The source holds inputs only; give the targets as its last array.")
        return self.tensors[-1]

    def unaugmented(self) -> "ArraySource":
        """The same arrays without `augment`."""
        return ArraySource(*self.tensors, transform=self.transform) if self.augment else self

    def identities(self) -> np.ndarray:
        """A number for each row, uint64 [N], equal for rows whose inputs are equal."""
        from zoo.data.leaks import row_hashes

        return row_hashes(self.tensors[:-1] or self.tensors)

    def select(self, rows: Tensor) -> Self:
        """Some of the rows, copied, in the order given."""
        return self._like(tuple(tensor[rows.to(tensor.device)] for tensor in self.tensors))

    def joined(self, other: "ArraySource") -> Self:
        """These rows and then those of `other`, copied, prepared and changed at random as these are.

        Raises: DataError for rows of another shape.
        """
        try:
            tensors = [torch.cat(pair) for pair in zip(self.tensors, other.tensors, strict=True)]
        except (RuntimeError, ValueError) as error:
            raise DataError(f"The rows of the two parts do not go together: {error}") from error
        return self._like(tuple(tensors))

    def prepared(self, transform: Transform) -> Self:
        """The same rows with another transform."""
        found = copy.copy(self)
        found.transform = transform
        return found

    def _like(self, tensors: tuple[Tensor, ...]) -> Self:
        """Other rows in batches as this one's."""
        found = copy.copy(self)
        found.tensors = tensors
        return found

    def num_batches(self, *, batch_size: int, drop_last: bool = False, world_size: int = 1) -> int:
        """Number of batches that `batches` gives each rank from start 0."""
        return count_batches(len(self), batch_size=batch_size, drop_last=drop_last, world_size=world_size)

    def batches(
        self,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int | None = None,
        rows: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Batches as `Source.batches` says. `num_workers` changes nothing: there is nothing to read ahead."""
        bounds = batch_bounds(
            len(self) if rows is None else len(rows),
            batch_size=batch_size,
            start=start,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        order = order_of(len(self), rows=rows, shuffle=shuffle, seed=seed, epoch=epoch)
        if order is None:
            batches = self._slices(bounds)
        else:
            batches = self._gathers(bounds, order, order if rows is None else order % len(self))
        if self.transform is None and self.augment is None:
            return (batch for batch, _ in batches)
        return (
            self._prepared(batch, numbers, seed=seed, epoch=epoch, draw=mix(seed, epoch, step, rank))
            for step, (batch, numbers) in enumerate(batches, start)
        )

    def _slices(self, bounds: Iterator[tuple[int, int]]) -> Iterator[tuple[Batch, Tensor]]:
        for first, end in bounds:
            yield (
                tuple(tensor[first:end].clone() for tensor in self.tensors),
                torch.arange(first, end),
            )

    def _gathers(
        self, bounds: Iterator[tuple[int, int]], order: Tensor, places: Tensor
    ) -> Iterator[tuple[Batch, Tensor]]:
        orders = [places.to(tensor.device, non_blocking=True) for tensor in self.tensors]
        for first, end in bounds:
            rows = zip(self.tensors, orders, strict=True)
            yield (
                tuple(tensor[index[first:end]] for tensor, index in rows),
                order[first:end],
            )

    def _prepared(self, batch: Batch, rows: Tensor, *, seed: int, epoch: int, draw: int) -> Batch:
        inputs, *rest = batch
        if self.augment is not None:
            uniforms = row_uniforms(rows, num=self.augment.num_uniforms, seed=seed, epoch=epoch)
            inputs = self.augment(inputs, uniforms.to(inputs.device))
        if self.transform is not None:
            with isolated_generators(inputs.device):
                seed_everything_here(draw)
                if inputs.is_cuda:
                    torch.cuda.default_generators[inputs.device.index].manual_seed(draw)
                inputs = self.transform(inputs)
        return (inputs, *rest)


def as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """A tensor that shares the array's memory; DataError if the array does not hold numbers."""
    if isinstance(array, Tensor):
        return array.detach()
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        raise DataError(f"An array of {array.dtype} does not hold numbers; Bundle.from_arrays turns labels into them.")
    with warnings.catch_warnings():
        # Read-only arrays, memory maps among them, are welcome here: nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array) if any(s < 0 for s in array.strides) else array)
