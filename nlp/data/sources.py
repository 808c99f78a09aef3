"""Encoded texts in memory, as batches of texts of like length.

Shapes: N texts, B of a batch, T tokens of the longest in it.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nlp.data.padding import pad_batch
from zoo.data.batches import batch_bounds, count_batches, order_of
from zoo.data.leaks import text_hashes
from zoo.errors import DataError


class TextBatch(NamedTuple):
    """Token numbers [B, T] int64, and a mask [B, T] that is True where there is a token."""

    ids: Tensor
    mask: Tensor


class TextSource:
    """Texts and their class numbers as a `zoo.data.Source`: batches (TextBatch, classes [B]).

    The tokens of all texts lie in one tensor, and a batch is gathered from it at once. Shuffled batches are made of
    texts of like length, so that little is padded; each text comes once an epoch.

    texts: as they were read, for models that do not take tokens.
    rows:  token numbers of each text, one or more.
    codes: class numbers [N], int64.
    pad:   number that fills short rows.
    Raises: DataError for no texts, lengths that differ, or a text without tokens.
    """

    def __init__(self, texts: Sequence[str], rows: Sequence[Sequence[int]], codes: Tensor, *, pad: int) -> None:
        if not len(texts) == len(rows) == len(codes):
            raise DataError(f"{len(texts)} texts need as many rows and classes, got {len(rows)} and {len(codes)}.")
        if not texts:
            raise DataError("There are no texts.")
        self.texts = list(texts)
        self.codes = codes
        self.pad = pad
        self.lengths = torch.tensor([len(row) for row in rows])  # [N]
        if not self.lengths.all():
            raise DataError(f"Text {int(self.lengths.argmin())} has no tokens.")
        self._starts = self.lengths.cumsum(0) - self.lengths  # [N]
        self._tokens = torch.tensor([token for row in rows for token in row], dtype=torch.int32)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[TextBatch, Tensor]:
        """Text `index` without padding: token numbers [T], mask [T], and its class []."""
        row = range(len(self))[index]
        batch, codes = self._gather(torch.tensor([row]))
        return TextBatch(batch.ids[0], batch.mask[0]), codes[0]

    def targets(self) -> Tensor:
        """The class numbers of all texts [N]."""
        return self.codes

    def unaugmented(self) -> "TextSource":
        """This source: texts are not changed at random."""
        return self

    def identities(self) -> np.ndarray:
        """A number for each text, uint64 [N], equal for equal texts."""
        return text_hashes(self.texts)

    def select(self, rows: Tensor) -> "TextSource":
        """Some of the texts, in the order given."""
        tokens = self._tokens.split(self.lengths.tolist())
        return self._like(
            [self.texts[row] for row in rows.tolist()],
            torch.cat([tokens[row] for row in rows.tolist()]),
            self.lengths[rows],
            self.codes[rows],
        )

    def joined(self, other: "TextSource") -> "TextSource":
        """These texts and then those of `other`, which has the same tokenizer."""
        return self._like(
            [*self.texts, *other.texts],
            torch.cat([self._tokens, other._tokens]),
            torch.cat([self.lengths, other.lengths]),
            torch.cat([self.codes, other.codes]),
        )

    def _like(self, texts: list[str], tokens: Tensor, lengths: Tensor, codes: Tensor) -> "TextSource":
        found = copy.copy(self)
        found.texts, found.lengths, found.codes, found._tokens = texts, lengths, codes, tokens
        found._starts = lengths.cumsum(0) - lengths
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
    ) -> Iterator[tuple[TextBatch, Tensor]]:
        """Batches as `zoo.data.Source.batches` says. `num_workers` changes nothing: there is nothing to read ahead."""
        num_rows = len(self) if rows is None else len(rows)
        bounds = batch_bounds(
            num_rows, batch_size=batch_size, start=start, drop_last=drop_last, rank=rank, world_size=world_size
        )
        found = order_of(
            len(self), rows=rows, shuffle=shuffle, seed=seed, epoch=epoch, lengths=self.lengths,
            stride=batch_size * world_size,
        )  # fmt: skip
        order = torch.arange(num_rows) if found is None else found % len(self)
        return (self._gather(order[first:end]) for first, end in bounds)

    def _gather(self, rows: Tensor) -> tuple[TextBatch, Tensor]:
        lengths = self.lengths[rows]  # [B]
        steps = torch.arange(int(lengths.max()))  # [T]
        mask = steps < lengths[:, None]  # [B, T]
        places = torch.where(mask, self._starts[rows][:, None] + steps, 0)
        ids = self._tokens[places].long().masked_fill_(~mask, self.pad)
        return TextBatch(ids, mask), self.codes[rows]


def text_batch(rows: Sequence[Sequence[int]], pad: int) -> TextBatch:
    """Token numbers of texts as one batch."""
    return TextBatch(*pad_batch([torch.tensor(row) for row in rows], pad))
