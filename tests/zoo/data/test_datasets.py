"""Any torch Dataset as a source: the same samples whoever reads them."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from zoo.data import DatasetSource, Source
from zoo.errors import DataError


class Noisy(Dataset):
    """Rows whose augmentation draws from all three generators."""

    def __init__(self, num_rows=13, broken=()):
        self.targets = list(range(num_rows))
        self.broken = broken

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        if index in self.broken:
            raise KeyError("no such key")
        return torch.tensor([index, torch.rand(()), np.random.rand(), random.random()]), index


def samples(batches):
    return torch.cat([inputs for inputs, _ in batches])


def test_it_fits_the_protocol():
    assert isinstance(DatasetSource(Noisy()), Source)


def test_workers_ranks_order_and_resume_do_not_change_a_sample():
    """Fails if randomness follows the worker or the position, as DataLoader's own seeding does."""
    source = DatasetSource(Noisy())
    options = {"batch_size": 4, "shuffle": True, "seed": 7, "epoch": 2}
    here = samples(source.batches(**options))
    assert torch.equal(here, samples(source.batches(num_workers=2, **options)))
    assert torch.equal(here[8:], samples(source.batches(start=2, num_workers=2, **options)))
    in_order = samples(source.batches(batch_size=5, seed=7, epoch=2))
    assert torch.equal(in_order, here[here[:, 0].argsort()])
    next_epoch = samples(source.batches(batch_size=5, seed=7, epoch=3))
    assert not (next_epoch[:, 1:] == in_order[:, 1:]).any()
    assert len(in_order[:, 1].unique()) == 13


def test_the_callers_generators_are_left_alone():
    source = DatasetSource(Noisy())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for workers in (0, 1):
        iterator = source.batches(batch_size=4, num_workers=workers)
        next(iterator)
        assert torch.equal(states[0], torch.get_rng_state())
        list(iterator)
    source[0]
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()


def test_workers_stay_over_epochs_and_survive_an_epoch_broken_off():
    source = DatasetSource(Noisy(), num_workers=1)
    next(iter(source.batches(batch_size=2)))
    loader = source._kept_loader
    workers = [worker.pid for worker in loader._iterator._workers]
    second = samples(source.batches(batch_size=2, epoch=1))
    assert source._kept_loader is loader
    assert [worker.pid for worker in loader._iterator._workers] == workers
    assert torch.equal(second, samples(source.batches(batch_size=2, epoch=1, num_workers=0)))


def test_two_epochs_may_be_read_at_the_same_time():
    """Fails if both share the kept workers: the second would reset the first."""
    source = DatasetSource(Noisy(), num_workers=1)
    first, second = source.batches(batch_size=4, shuffle=True), source.batches(batch_size=4)
    pairs = list(zip(first, second, strict=True))
    assert torch.equal(samples(pair[0] for pair in pairs), samples(source.batches(batch_size=4, shuffle=True)))
    assert samples(pair[1] for pair in pairs)[:, 0].tolist() == list(range(13))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_fails_is_named(workers):
    source = DatasetSource(Subset(Noisy(broken=(9,)), range(2, 12)))
    with pytest.raises(DataError, match=r"Sample 9 of Noisy cannot be read: KeyError: 'no such key'") as caught:
        list(source.batches(batch_size=4, num_workers=workers))
    assert "__getitem__" in caught.value.__notes__[0]


def test_samples_of_different_shapes_are_named():
    ragged = [(torch.zeros(2), 0), (torch.zeros(3), 1)]
    with pytest.raises(DataError, match="Samples 0, 1 do not make a batch"):
        list(DatasetSource(ragged).batches(batch_size=2))


def test_targets_come_without_reading_where_the_dataset_holds_them():
    assert DatasetSource(Noisy(broken=range(13))).targets().tolist() == list(range(13))
    assert DatasetSource(Subset(Noisy(broken=range(13)), [3, 1])).targets().tolist() == [3, 1]
    assert DatasetSource(TensorDataset(torch.zeros(3, 1), torch.arange(3))).targets().tolist() == [0, 1, 2]
    assert DatasetSource([(torch.zeros(1), 4), (torch.zeros(1), 5)]).targets().tolist() == [4, 5]


def test_transform_is_applied_to_whole_batches_and_to_single_rows():
    source = DatasetSource(TensorDataset(torch.arange(4.0), torch.arange(4)), transform=lambda x: x * 2)
    assert [inputs.tolist() for inputs, _ in source.batches(batch_size=3)] == [[0, 2, 4], [6]]
    assert source[3][0] == 6
    assert source[-1][1] == 3


def test_a_collate_function_of_ones_own_makes_the_batches():
    boxes = [(torch.zeros(1), [1, 2]), (torch.zeros(1), [3])]
    ((_, targets),) = DatasetSource(boxes, collate=lambda rows: tuple(zip(*rows, strict=True))).batches(batch_size=2)
    assert targets == ([1, 2], [3])


class Stream(IterableDataset):
    """A dataset without an index."""

    def __iter__(self):
        return iter(())


def test_datasets_without_index_or_rows_raise():
    with pytest.raises(DataError, match="map-style"):
        DatasetSource(Stream())
    with pytest.raises(DataError, match="no rows"):
        DatasetSource([])


class Augmented(Noisy):
    """Noisy rows that know their plain form."""

    def unaugmented(self):
        return TensorDataset(torch.arange(len(self)).float()[:, None], torch.arange(len(self)))


def test_a_subset_gives_its_plain_rows():
    """Fails if a Subset hides that its dataset can be read without augmentation."""
    plain = DatasetSource(Subset(Subset(Augmented(), range(2, 10)), [1, 3])).unaugmented()
    assert torch.equal(samples(plain.batches(batch_size=2)), torch.tensor([[3.0], [5.0]]))
    noisy = DatasetSource(Subset(Noisy(), [1, 3]))
    assert noisy.unaugmented() is noisy
