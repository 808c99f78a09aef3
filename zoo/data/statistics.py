"""Mean, variance, covariance and range of the rows of a source, in one pass over its batches.

Source: Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115, for moments of parts put together.
Shapes: N rows, B of a batch, D numbers of a row ([...] flattened), C channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.sources import Source
from zoo.errors import DataError

ROWS = 256


@dataclass(frozen=True)
class Moments:
    """What rows [...] have on average, float64.

    count:   rows, or numbers that were put together.
    mean:    [...], or [C, 1, ...] by channel.
    scatter: sums of squared deviations from the mean, of its shape; or of products of two deviations [D, D].
    shape:   of a row.
    """

    count: int
    mean: Tensor
    scatter: Tensor
    shape: tuple[int, ...]

    def variance(self, *, unbiased: bool) -> Tensor:
        """Of each number, from the sums over N, or N - 1."""
        return self.scatter / (self.count - unbiased)

    def per_channel(self) -> "Moments":
        """The moments of all places of a channel together, [C, 1, ...]."""
        places = tuple(range(1, self.mean.dim()))
        each = self.mean[0].numel()
        mean = self.mean.mean(places, keepdim=True)
        between = self.count * (self.mean - mean).square()
        return Moments(self.count * each, mean, (self.scatter + between).sum(places, keepdim=True), self.shape)


def moments_of(source: Source, *, diagonal: bool) -> Moments:
    """The moments of all rows; `diagonal` gives variances alone, else there are covariances [D, D].

    Raises: DataError for inputs that are no numbers, not of one shape, or not finite.
    """
    count, mean, scatter = 0, torch.zeros(()), torch.zeros(())
    shape: tuple[int, ...] = ()
    for rows in _batches(source):
        shape = tuple(rows.shape[1:])
        flat = rows.flatten(1)
        own = flat.mean(0)  # [D]
        away = flat - own
        own_scatter = away.square().sum(0) if diagonal else away.T @ away
        if count == 0:
            count, mean, scatter = len(flat), own, own_scatter
            continue
        total, delta = count + len(flat), own - mean
        between = delta.square() if diagonal else torch.outer(delta, delta)
        scatter = scatter + own_scatter + between * (count * len(flat) / total)
        mean, count = mean + delta * (len(flat) / total), total
    return Moments(count, mean.view(shape), scatter.view(shape) if diagonal else scatter, shape)


def bounds_of(source: Source) -> tuple[Tensor, Tensor]:
    """The least and the largest of each number of the rows, float64 [...]. Raises: as `moments_of`."""
    least, most = None, None
    for rows in _batches(source):
        low, high = rows.amin(0), rows.amax(0)
        least = low if least is None else torch.minimum(least, low)
        most = high if most is None else torch.maximum(most, high)
    assert least is not None, "a source has rows"
    assert most is not None, "a source has rows"
    return least, most


def row_shape(source: Source) -> tuple[int, ...]:
    """The shape of an input, without the batch dimension. Raises: DataError unless inputs are one tensor each."""
    row = source[0][0]
    if not isinstance(row, Tensor):
        raise DataError(
            f"Only inputs that are numbers in one tensor can be prepared so, got {type(row).__name__}; what reads such "
            "data has options of its own."
        )
    return tuple(row.shape)


def _batches(source: Source) -> Iterator[Tensor]:
    """The inputs of all rows in batches, float64 [B, ...] on the CPU."""
    shape, done = row_shape(source), 0
    for inputs, *_ in source.batches(batch_size=ROWS):
        if not isinstance(inputs, Tensor) or tuple(inputs.shape[1:]) != shape:
            raise DataError("The inputs are not of one shape, so they have no mean: give rows of one shape.")
        rows = inputs.cpu().double()
        if not bool(rows.isfinite().all()):
            wrong = done + int((~rows.flatten(1).isfinite().all(1)).int().argmax())
            raise DataError(f"Row {wrong} holds numbers that are NaN or infinite: repair it or leave it out.")
        done += len(rows)
        yield rows
