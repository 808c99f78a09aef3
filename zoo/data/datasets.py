"""A source around any map-style torch Dataset, read in this process or by workers with the same result.

Every sample is read with the generators of torch, NumPy and random seeded by (seed, epoch, index). Its augmentation
is therefore the same whatever the number of workers, its place in the epoch, the number of ranks, and after a resume.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset, default_collate

from zoo.data.batches import batch_bounds, count_batches, order_of
from zoo.data.randomness import isolated_generators, mix, seed_everything_here
from zoo.data.sources import Batch, Transform
from zoo.data.subsets import joined_datasets, known_targets, part_of, unaugmented
from zoo.errors import DataError


@dataclass(frozen=True, slots=True)
class _Request:
    """One batch to read; a row that comes again has its number plus a multiple of the dataset's length."""

    seed: int
    epoch: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a batch could not be read: text that survives the way from a worker, where an exception might not."""

    message: str
    trace: str

    def as_error(self) -> DataError:
        error = DataError(self.message)
        if self.trace:
            error.add_note(self.trace)
        return error


class _BatchReader(Dataset):
    """Reads the batch of a `_Request`."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self.dataset = dataset
        self.collate = collate

    def __getitem__(self, request: _Request) -> Any:
        samples = []
        for number in request.rows:
            index = number % len(self.dataset)
            seed_everything_here(mix(request.seed, request.epoch, number))
            try:
                samples.append(self.dataset[index])
            except Exception as error:
                return _sample_failure(self.dataset, index, error)
        try:
            return self.collate(samples)
        except (RuntimeError, TypeError) as error:
            rows = ", ".join(map(str, request.rows[:8])) + (" ..." if len(request.rows) > 8 else "")
            return _Failure(f"Samples {rows} do not make a batch: {error}", traceback.format_exc())


def _sample_failure(dataset: Any, index: int, error: Exception) -> _Failure:
    while isinstance(dataset, Subset):
        dataset, index = dataset.dataset, dataset.indices[index]
    if isinstance(error, DataError):
        return _Failure(f"Sample {index}: {error}", "")
    samples = getattr(dataset, "samples", None)  # torchvision's folders: (path, class) pairs
    name = f" ({samples[index][0]})" if isinstance(samples, Sequence) and len(samples) > index else ""
    return _Failure(
        f"Sample {index}{name} of {type(dataset).__name__} cannot be read: {type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
    )


class _Requests(Sampler):
    """The requests of the current epoch; replaced before each, so that workers can stay."""

    def __init__(self) -> None:
        self.requests: Iterable[_Request] = ()

    def __iter__(self) -> Iterator[_Request]:
        return iter(self.requests)


def _unchanged(batch: Any) -> Any:
    return batch


class DatasetSource:
    """Batches of any Dataset with `__len__` and `__getitem__`.

    dataset:     gives (input, target) for an index. Workers hold a copy of it made when they start.
    num_workers: processes that read ahead; 0 reads in this one. They are kept from epoch to epoch.
    transform:   inputs [B, ...] to inputs [B, ...] on whole batches, in this process; not random.
    collate:     list of samples to a batch; None stacks tensors and numbers as DataLoader does.
    lengths:     of the rows [N], in any unit: shuffled batches are then made of rows of like length, which need little
                 padding.
    Raises:      DataError for a dataset without a length or without rows; from the batches, one that names the
                 sample that cannot be read.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        num_workers: int = 0,
        transform: Transform | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        lengths: Tensor | None = None,
    ) -> None:
        if isinstance(dataset, IterableDataset) or not (
            hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        ):
            raise DataError(f"A map-style Dataset (__len__ and __getitem__) is needed, got {type(dataset).__name__}.")
        if len(dataset) == 0:
            raise DataError(f"The {type(dataset).__name__} holds no rows.")
        if lengths is not None and lengths.shape != (len(dataset),):
            raise DataError(f"{len(dataset)} rows need as many lengths [N], got the shape {list(lengths.shape)}.")
        self.dataset = dataset
        self.num_workers = num_workers
        self.transform = transform
        self.collate = collate
        self.lengths = lengths
        self._reader = _BatchReader(dataset, collate or default_collate)
        self._kept_loader: DataLoader | None = None
        self._kept_requests = _Requests()
        self._in_use = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        row = range(len(self))[index]
        inputs, *rest = self._sample(row)
        if self.transform is not None:
            inputs = self.transform(default_collate([inputs]))[0]
        return (inputs, *rest)

    def targets(self) -> Tensor:
        """The targets of all rows [N, ...]; reads every sample if the dataset has neither `targets` nor `labels`."""
        known = known_targets(self.dataset)
        if known is not None:
            return known
        return torch.stack([torch.as_tensor(self._sample(row)[-1]) for row in range(len(self))])

    def _sample(self, row: int) -> Sequence[Any]:
        with isolated_generators():
            samples = _BatchReader(self.dataset, list)[_Request(0, 0, (row,))]
        if isinstance(samples, _Failure):
            raise samples.as_error()
        return samples[0]

    def unaugmented(self) -> "DatasetSource":
        """The same rows from the dataset's own `unaugmented()`; this source itself if the dataset has none."""
        plain = unaugmented(self.dataset)
        return self if plain is self.dataset else self._like(plain, self.lengths)

    def select(self, rows: Tensor) -> "DatasetSource":
        """Some of the rows, in the order given."""
        lengths = None if self.lengths is None else self.lengths[rows.cpu()]
        return self._like(part_of(self.dataset, rows.tolist()), lengths)

    def joined(self, other: "DatasetSource") -> "DatasetSource":
        """These rows and then those of `other`, changed at random as these are.

        Raises: DataError if that cannot be: `zoo.data.subsets.joined_datasets`.
        """
        lengths = None if self.lengths is None or other.lengths is None else torch.cat([self.lengths, other.lengths])
        return self._like(joined_datasets(self.dataset, other.dataset), lengths)

    def prepared(self, transform: Transform) -> "DatasetSource":
        """The same rows with another transform."""
        return DatasetSource(
            self.dataset, num_workers=self.num_workers, transform=transform, collate=self.collate, lengths=self.lengths
        )

    def _like(self, dataset: Any, lengths: Tensor | None) -> "DatasetSource":
        """Another dataset in batches as this one's."""
        return DatasetSource(
            dataset, num_workers=self.num_workers, transform=self.transform, collate=self.collate, lengths=lengths
        )

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
        """Batches as `Source.batches` says."""
        bounds = batch_bounds(
            len(self) if rows is None else len(rows),
            batch_size=batch_size,
            start=start,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        order = order_of(
            len(self), rows=rows, shuffle=shuffle, seed=seed, epoch=epoch, lengths=self.lengths,
            stride=batch_size * world_size,
        )  # fmt: skip
        requests = (
            _Request(
                seed,
                epoch,
                tuple(range(first, end) if order is None else order[first:end].tolist()),
            )
            for first, end in bounds
        )
        workers = self.num_workers if num_workers is None else num_workers
        read = self._read_by_workers(requests, workers) if workers else self._read_here(requests)
        return (self._finished(batch) for batch in read)

    def _read_here(self, requests: Iterable[_Request]) -> Iterator[Any]:
        for request in requests:
            with isolated_generators():
                batch = self._reader[request]
            yield batch

    def _read_by_workers(self, requests: Iterable[_Request], num_workers: int) -> Iterator[Any]:
        if self._in_use:  # a loader with kept workers has one epoch at a time
            once = _Requests()
            once.requests = requests
            yield from self._loader(once, num_workers, keep=False)
            return
        if self._kept_loader is None or self._kept_loader.num_workers != num_workers:
            self._kept_loader = self._loader(self._kept_requests, num_workers, keep=True)
        self._in_use = True
        failure = None
        try:
            self._kept_requests.requests = requests
            for batch in self._kept_loader:
                if isinstance(batch, _Failure):
                    failure = batch
                    break
                yield batch
        finally:
            self._in_use = False
        if failure is not None:
            # Ends the workers in good order: tied to an error's traceback they would wait 5 seconds each when freed.
            self._kept_loader = None
            yield failure

    def _loader(self, requests: _Requests, num_workers: int, *, keep: bool) -> DataLoader:
        return DataLoader(
            self._reader,
            batch_size=None,  # the reader gives whole batches
            sampler=requests,
            collate_fn=_unchanged,
            num_workers=num_workers,
            persistent_workers=keep,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else DataLoader draws its base seed from the caller's generator
        )

    def _finished(self, batch: Any) -> Batch:
        if isinstance(batch, _Failure):
            raise batch.as_error()
        if not isinstance(batch, list | tuple):
            return (batch if self.transform is None else self.transform(batch),)
        inputs, *rest = batch
        return (inputs if self.transform is None else self.transform(inputs), *rest)
