"""What is done about classes of unequal size: rows drawn so that all come equally often, or weights in the loss.

A sampler gives the rows of an epoch in their order, as a pure function of seed and epoch; the ranks of a distributed
run share out one and the same order. Rows are numbers as `Source.batches` takes them: row + r * N is row again.
Shapes: N rows, M rows of an epoch, K classes that occur, C classes.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from zoo.data.batches import count_batches
from zoo.data.bundle import Bundle
from zoo.data.randomness import mix
from zoo.data.sources import Batch, Source
from zoo.errors import DataError, check_name
from zoo.parts.balancing import BALANCING

Balancing = Literal["weighted_sampler", "oversample", "undersample", "class_weights"]
WEIGHTS = "class_weights"


def weighted_sampler(codes: Tensor, *, seed: int, epoch: int) -> Tensor:
    """N rows drawn with replacement, each of a class drawn uniformly and then uniformly among its rows, int64 [N].

    Source: Shen, Lin and Huang 2016, arXiv:1512.05830, class-aware sampling.
    Differs from the paper: classes and rows are drawn independently, where it goes through shuffled lists of them.

    codes: class numbers of all rows [N].
    """
    generator = _generator(seed, epoch)
    places, counts = _by_class(codes)
    starts = counts.cumsum(0) - counts  # [K]
    chosen = torch.randint(len(counts), (len(codes),), generator=generator)  # [N]
    within = torch.rand(len(codes), generator=generator, dtype=torch.float64) * counts[chosen]
    return _numbered(places[starts[chosen] + within.long()], len(codes))


def oversample(codes: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Rows of which each class has as many as the largest, int64 [K * largest], in random order.

    Every row comes; those of a class come equally often, but for a rest that is drawn anew in every epoch.

    Source: Buda, Maki and Mazurowski 2018, arXiv:1710.05381, random minority oversampling.
    Differs from the paper: rows are drawn without replacement until all of the class have come.

    codes: class numbers of all rows [N].
    """
    generator = _generator(seed, epoch)
    places, counts = _by_class(codes)
    found, largest = [], int(counts.max())
    for rows in places.split(counts.tolist()):
        times, rest = divmod(largest, len(rows))
        extra = rows[torch.randperm(len(rows), generator=generator)[:rest]]
        found += [rows.repeat(times), extra]
    return _numbered(_shuffled(torch.cat(found), generator), len(codes))


def undersample(codes: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Rows of which each class has as many as the smallest, int64 [K * smallest], in random order.

    They are drawn anew in every epoch, so that over the epochs all rows are seen.

    Source: Buda, Maki and Mazurowski 2018, arXiv:1710.05381, random majority undersampling.
    Differs from the paper: it draws once, before training.

    codes: class numbers of all rows [N].
    """
    generator = _generator(seed, epoch)
    places, counts = _by_class(codes)
    smallest = int(counts.min())
    found = [rows[torch.randperm(len(rows), generator=generator)[:smallest]] for rows in places.split(counts.tolist())]
    return _shuffled(torch.cat(found), generator)


def class_weights(codes: Tensor, *, num_classes: int) -> tuple[float, ...]:
    """The weight of each class in the loss, C numbers: N / (K * rows of the class), whose mean over the rows is 1.

    Source: King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868, in the form of scikit-learn's
            "balanced". A class without rows has the weight 1; nothing is weighted by it.

    codes: class numbers of all rows [N].
    """
    counts = codes.bincount(minlength=num_classes).double()
    present = int((counts > 0).sum())
    weights = torch.where(counts > 0, len(codes) / (present * counts.clamp(min=1)), 1.0)
    return tuple(weights.tolist())


def balance(bundle: Bundle, name: Balancing) -> Bundle:
    """The bundle with its training part balanced by class; other parts stay as they are, to be judged by.

    name:   "weighted_sampler", "oversample" or "undersample", which draw rows; or "class_weights", which the loss of a
            task built for the bundle takes.
    Raises: DataError for targets that are not one class a row, and a bundle that is balanced already; UnknownNameError.
    """
    check_name("balancing", name, BALANCING)
    if bundle.kind != "classification":
        raise DataError(
            f"Balancing by class needs one class a row, which the data of {bundle.task} have not: leave balance= out."
        )
    if any(change["change"] == "balance" for change in bundle.changes):
        raise DataError("These data are balanced already; balance them once, or start from the bundle as it was.")
    changes = (*bundle.changes, {"change": "balance", "name": name})
    codes = bundle.train.targets().cpu()
    if name == WEIGHTS:
        count = len(bundle.classes or ()) or int(codes.max()) + 1
        return replace(bundle, class_weights=class_weights(codes, num_classes=count), changes=changes)
    return replace(bundle, train=BalancedSource(bundle.train, codes, name=name), changes=changes)


def unbalanced(bundle: Bundle) -> Bundle:
    """The bundle with its training rows as they were before they were balanced."""
    train = bundle.train
    return replace(bundle, train=train.source) if isinstance(train, BalancedSource) else bundle


class BalancedSource:
    """Rows of a source in epochs in which all classes come equally often.

    Its length is the number of rows of an epoch. As they are evaluated, its rows are those of the source, each once.

    codes: class numbers of the source's rows [N].
    name:  of the sampler.
    """

    def __init__(self, source: Source, codes: Tensor, *, name: Balancing) -> None:
        self.source = source
        self.codes = codes
        self.name = name
        self._first = self.rows(seed=0, epoch=0)

    def rows(self, *, seed: int, epoch: int) -> Tensor:
        """The rows of an epoch in their order [M]."""
        found: Tensor = BALANCING[self.name](self.codes, seed=seed, epoch=epoch)
        return found

    def over(self, source: Source) -> "BalancedSource":
        """The same draws from another source with the same rows, such as their features."""
        return BalancedSource(source, self.codes, name=self.name)

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, index: int) -> Batch:
        return self.source[int(self._first[range(len(self))[index]]) % len(self.source)]

    def targets(self) -> Tensor:
        """The targets [M] of epoch 0 of seed 0, as `self[i]` gives them."""
        targets = self.source.targets()
        return targets[(self._first % len(self.source)).to(targets.device)]

    def unaugmented(self) -> Source:
        """The rows of the source, each once, without random changes."""
        return self.source.unaugmented()

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
        """Batches as `zoo.data.Source.batches` says, of the epoch's draws; without `shuffle` in the source's order."""
        if rows is None:
            rows = self.rows(seed=seed, epoch=epoch)
            rows = rows if shuffle else rows[(rows % len(self.source)).argsort(stable=True)]
        return self.source.batches(
            batch_size=batch_size, shuffle=shuffle, seed=seed, epoch=epoch, start=start, drop_last=drop_last, rank=rank,
            world_size=world_size, num_workers=num_workers, rows=rows,
        )  # fmt: skip


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(mix(seed, epoch))


def _by_class(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The rows class by class [N], and how many there are of each class that occurs [K]."""
    _, counts = codes.unique(return_counts=True)
    return codes.argsort(stable=True), counts


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)]


def _numbered(rows: Tensor, num_rows: int) -> Tensor:
    """Rows [M] of 0..num_rows-1, of which the r-th time that a row comes, from 0, is numbered row + r * num_rows."""
    order = rows.argsort(stable=True)
    alike = rows[order]
    new = torch.ones(len(rows), dtype=torch.bool)
    new[1:] = alike[1:] != alike[:-1]
    places = torch.arange(len(rows))
    times = torch.empty_like(rows)
    times[order] = places - torch.where(new, places, 0).cummax(0).values
    return rows + times * num_rows
