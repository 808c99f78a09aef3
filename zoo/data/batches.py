"""Which rows stand in which batch: a pure function of the seed, the epoch, the step and the rank.

With `world_size` W the data are cut into global batches of `batch_size` * W rows, and each rank takes its share of
every one, so that the ranks together see exactly what one process with the W-fold batch would see. The last global
batch may be short; it is then dealt out as evenly as it can be, in order, and ranks differ by at most one row. If it
has fewer rows than there are ranks it is left out: a rank without a row would have no loss and the others would wait
for it for ever, and a repeated row would count twice. So at most W - 1 rows of an epoch are lost, and none if W is 1.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.data.randomness import mix

POOL = 50  # batches whose rows are sorted together: enough for lengths to be alike, few enough to stay random


def count_batches(num_rows: int, *, batch_size: int, drop_last: bool = False, world_size: int = 1) -> int:
    """Number of batches each rank gets of `num_rows` rows; the same for all ranks."""
    if batch_size < 1 or world_size < 1:
        raise ValueError(f"batch_size and world_size must be at least 1, got {batch_size} and {world_size}.")
    whole, rest = divmod(num_rows, batch_size * world_size)
    return whole + (not drop_last and rest >= world_size)


def epoch_order(num_rows: int, *, shuffle: bool, seed: int, epoch: int) -> Tensor | None:
    """The rows in the order of this epoch, int64 [num_rows]; None where that is simply 0, 1, 2 and so on."""
    if not shuffle:
        return None
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    return torch.randperm(num_rows, generator=generator)


def bucketed_order(lengths: Tensor, *, stride: int, seed: int, epoch: int) -> Tensor:
    """The rows in a random order of this epoch in which each global batch holds rows of like length, int64 [N].

    Rows are shuffled, sorted by length within pools of `POOL` batches, cut into batches, and the batches shuffled. The
    rows that fill no batch stand at the end.
    lengths: of the rows, in any unit, [N].
    stride:  rows of a global batch.
    """
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    order = torch.randperm(len(lengths), generator=generator)
    pools = order.split(stride * POOL)
    order = torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in pools])
    whole = len(order) // stride * stride
    batches = order[:whole].view(-1, stride)
    return torch.cat([batches[torch.randperm(len(batches), generator=generator)].flatten(), order[whole:]])


def order_of(
    num_rows: int,
    *,
    rows: Tensor | None,
    shuffle: bool,
    seed: int,
    epoch: int,
    lengths: Tensor | None = None,
    stride: int = 1,
) -> Tensor | None:
    """The order of an epoch, int64 [M]: that of `rows` where they are given, else as `epoch_order` says.

    rows:    as `zoo.data.Source.batches` takes them.
    lengths: of all rows [N]: what is shuffled is then put into batches of like length, of `stride` rows each.
    """
    if lengths is not None and shuffle:
        if rows is None:
            return bucketed_order(lengths, stride=stride, seed=seed, epoch=epoch)
        return rows[bucketed_order(lengths[rows % num_rows], stride=stride, seed=seed, epoch=epoch)]
    return epoch_order(num_rows, shuffle=shuffle, seed=seed, epoch=epoch) if rows is None else rows


def batch_bounds(
    num_rows: int,
    *,
    batch_size: int,
    start: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[int, int]]:
    """Positions [first, end) in the epoch's order of each batch of this rank, from batch `start` on."""
    num_batches = count_batches(num_rows, batch_size=batch_size, drop_last=drop_last, world_size=world_size)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in 0..{world_size - 1}, got {rank}.")
    if start < 0:
        raise ValueError(f"start must not be negative, got {start}.")
    return _bounds(num_rows, batch_size * world_size, range(start, num_batches), rank, world_size)


def _bounds(num_rows: int, stride: int, steps: range, rank: int, world_size: int) -> Iterator[tuple[int, int]]:
    for step in steps:
        first = step * stride
        rows = min(stride, num_rows - first)
        yield first + rank * rows // world_size, first + (rank + 1) * rows // world_size
