"""Data in memory: whole batches by index, and nothing of the caller's changed."""

import random

import numpy as np
import pytest
import torch

from zoo.data import ArraySource, Source
from zoo.errors import DataError


class AddUniform:
    """An augmentation that shows its draws."""

    num_uniforms = 1

    def __call__(self, inputs, uniforms):
        return inputs + uniforms


def test_it_fits_the_protocol():
    assert isinstance(ArraySource(torch.zeros(2)), Source)


def test_batches_hold_inputs_beside_their_targets():
    source = ArraySource(np.arange(10).reshape(10, 1), torch.arange(10) * 2)
    for inputs, targets in source.batches(batch_size=3, shuffle=True):
        assert torch.equal(inputs[:, 0] * 2, targets)
    assert source[3][0].tolist() == [3]
    assert source[-1][1].item() == 18
    assert source.targets().tolist() == list(range(0, 20, 2))
    with pytest.raises(IndexError):
        source[10]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_changed_in_place_leaves_the_data_alone(shuffle):
    """Fails if in-order batches are views: an in-place ReLU or normalisation would then change the next epoch."""
    data = torch.ones(8, 2)
    for (batch,) in ArraySource(data, transform=lambda x: x.mul_(5)).batches(batch_size=3, shuffle=shuffle):
        batch.zero_()
    assert torch.equal(data, torch.ones(8, 2))


def test_transform_sees_whole_batches_of_inputs_only():
    shapes = []

    def transform(inputs):
        shapes.append(tuple(inputs.shape))
        return inputs.float() / 255

    source = ArraySource(torch.full((5, 2), 255, dtype=torch.uint8), torch.arange(5), transform=transform)
    batches = list(source.batches(batch_size=4))
    assert shapes == [(4, 2), (1, 2)]
    assert batches[0][0].dtype == torch.float32
    assert batches[0][0].max() == 1
    assert batches[0][1].tolist() == [0, 1, 2, 3]


def test_a_random_transform_repeats_and_leaves_every_global_generator_alone():
    source = ArraySource(torch.zeros(10, 2), transform=lambda x: x + torch.rand(x.shape) + random.random())
    torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    options = {"batch_size": 4, "shuffle": True, "seed": 1}
    first = torch.cat([batch for (batch,) in source.batches(**options)])
    torch.manual_seed(6)
    random.seed(6)
    second = torch.cat([batch for (batch,) in source.batches(**options)])
    assert torch.equal(first, second)
    resumed = torch.cat([batch for (batch,) in source.batches(start=1, **options)])
    assert torch.equal(resumed, first[4:])
    assert not torch.equal(first, torch.cat([batch for (batch,) in source.batches(epoch=1, **options)]))
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    list(source.batches(**options))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()


def test_augmentation_of_a_row_is_the_same_on_every_rank_and_after_a_resume():
    """Fails if the draws depend on the place in the batch: two processes would not train as one does."""
    source = ArraySource(torch.zeros(11, 1), torch.arange(11), augment=AddUniform())

    def by_row(batches):
        return {int(t): float(x) for inputs, targets in batches for x, t in zip(inputs, targets, strict=True)}

    options = {"shuffle": True, "seed": 2, "epoch": 3}
    whole = by_row(source.batches(batch_size=4, **options))
    ranks = [by_row(source.batches(batch_size=2, rank=r, world_size=2, **options)) for r in range(2)]
    assert whole == ranks[0] | ranks[1]
    assert len(set(whole.values())) == 11
    assert whole != by_row(source.batches(batch_size=4, shuffle=True, seed=2, epoch=4))
    assert set(by_row(source.unaugmented().batches(batch_size=4)).values()) == {0.0}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), "at least one"),
        ((np.zeros(3), np.zeros(4)), "same number of rows, got 3 and 4"),
        ((np.zeros((0, 2)), np.zeros(0)), "no rows"),
        ((np.array(["a", "b"]),), "does not hold numbers"),
        ((torch.tensor(1.0),), "no rows"),
    ],
)
def test_unusable_arrays_raise(arrays, message):
    with pytest.raises(DataError, match=message):
        ArraySource(*arrays)


def test_read_only_and_reversed_arrays_are_taken_without_a_warning(recwarn):
    array = np.arange(6.0)
    array.flags.writeable = False
    assert ArraySource(array, array[::-1])[0][1] == 5
    assert not recwarn.list


def test_targets_need_a_second_array():
    with pytest.raises(DataError, match="inputs only"):
        ArraySource(torch.zeros(3)).targets()
