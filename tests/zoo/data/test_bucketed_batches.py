"""Batches of rows of like length."""

import pytest
import torch

from zoo.data import DatasetSource
from zoo.data.batches import bucketed_order
from zoo.errors import DataError

LENGTHS = torch.randint(1, 200, (1003,), generator=torch.Generator().manual_seed(0))


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return len(LENGTHS)

    def __getitem__(self, index):
        return torch.tensor(index), int(LENGTHS[index])


def rows(epoch=0, **options):
    source = DatasetSource(Rows(), lengths=LENGTHS)
    return [batch[0] for batch in source.batches(batch_size=10, shuffle=True, epoch=epoch, **options)]


def test_every_row_comes_once():
    """Fails if a pool or the rows that fill no batch are lost."""
    assert torch.cat(rows()).sort().values.tolist() == list(range(1003))


def test_rows_of_a_batch_are_of_like_length():
    """Fails if batches are cut before sorting: padding would be several times as much."""
    bucketed = sum(int(LENGTHS[batch].max()) * len(batch) for batch in rows())
    plain = sum(int(part.max()) * len(part) for part in LENGTHS.split(10))
    real = int(LENGTHS.sum())
    assert bucketed - real < 0.15 * (plain - real)


def test_epochs_differ_and_repeat():
    """Fails if the order depends on anything but seed and epoch, or not on them."""
    first, second = torch.cat(rows(0)), torch.cat(rows(1))
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat(rows(0)))


def test_batches_are_shuffled():
    """Fails if short rows come first in every pool: the loss would swing with the lengths."""
    means = torch.tensor([LENGTHS[batch].float().mean() for batch in rows()[:50]])
    assert (means[1:] < means[:-1]).any()
    assert (means.diff() > 0).float().mean() < 0.8


def test_start_leaves_out_batches():
    """Fails if a resumed epoch has another order."""
    assert all(torch.equal(a, b) for a, b in zip(rows()[7:], rows(start=7), strict=True))


def test_ranks_share_a_global_batch_of_like_length():
    """Fails if the order is made for the batches of one rank: two ranks would wait for each other's long rows."""
    both = list(zip(rows(rank=0, world_size=2), rows(rank=1, world_size=2), strict=True))
    assert torch.cat([torch.cat(pair) for pair in both]).sort().values.tolist() == list(range(1003))
    order = bucketed_order(LENGTHS, stride=20, seed=0, epoch=0)
    assert torch.equal(torch.cat(both[0]), order[:20])


def test_lengths_must_be_one_a_row():
    """Fails if wrong lengths are found out by an index error in a worker."""
    with pytest.raises(DataError, match="1003 rows"):
        DatasetSource(Rows(), lengths=LENGTHS[:-1])
