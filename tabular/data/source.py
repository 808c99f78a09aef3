"""Encoded rows in memory, batched by index.

Shapes: N rows, B rows of a batch, F continuous inputs, K categorical ones.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from zoo.data import ArraySource, Batch
from zoo.data.leaks import row_hashes


class TableBatch(NamedTuple):
    """Rows of a table as a model takes them.

    continuous: float32 [B, F], about standard normal.
    categories: int64 [B, K], number k from 0 to the cardinality of input k, without it.
    """

    continuous: Tensor
    categories: Tensor

    @property
    def num_rows(self) -> int:
        """B."""
        return len(self.continuous)

    def rows(self, index: "Tensor | slice") -> "TableBatch":
        """Some of the rows."""
        return TableBatch(self.continuous[index], self.categories[index])


class TableSource(ArraySource):
    """Batches (TableBatch, targets [B]) of rows that lie in memory encoded.

    table:  of all N rows.
    target: class numbers int64 [N], or values float32 [N] in the target's unit.
    hashes: a number for each row as it was read, uint64 [N]; None takes those of the encoded row and its target.
    """

    def __init__(self, table: TableBatch, target: Tensor, *, hashes: "np.ndarray | None" = None) -> None:
        super().__init__(*table, target)
        self.hashes = hashes

    @property
    def table(self) -> TableBatch:
        """All rows."""
        return TableBatch(*self.tensors[:2])

    def identities(self) -> np.ndarray:
        return row_hashes(self.tensors) if self.hashes is None else self.hashes

    def select(self, rows: Tensor) -> "TableSource":
        found = super().select(rows)
        found.hashes = None if self.hashes is None else self.hashes[rows.cpu().numpy()]
        return found

    def joined(self, other: ArraySource) -> "TableSource":
        found = super().joined(other)
        theirs = getattr(other, "hashes", None)
        found.hashes = None if self.hashes is None or theirs is None else np.concatenate([self.hashes, theirs])
        return found

    def __getitem__(self, index: int) -> Batch:
        continuous, categories, target = super().__getitem__(index)
        return TableBatch(continuous, categories), target

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
        """Batches as `Source.batches` says."""
        found = super().batches(
            batch_size=batch_size, shuffle=shuffle, seed=seed, epoch=epoch, start=start, drop_last=drop_last,
            rank=rank, world_size=world_size, rows=rows,
        )  # fmt: skip
        return ((TableBatch(continuous, categories), target) for continuous, categories, target in found)
