"""The order of rows: a pure function of seed and epoch, cut fairly among ranks."""

import itertools

import pytest
import torch

from zoo.data import ArraySource, batch_bounds, count_batches, epoch_order, mix, row_uniforms


def rows_of(batches):
    return [batch[0].tolist() for batch in batches]


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.fixture
def source():
    return ArraySource(torch.arange(23), torch.arange(23) * 10)


@pytest.mark.parametrize("num_rows", [1, 2, 5, 8, 16, 17, 23])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_together_see_the_batch_of_one_process(num_rows, world_size, drop_last):
    """Fails if a rank takes every W-th row, or the short last batch is not shared out in order."""
    options = {"drop_last": drop_last, "batch_size": 4}
    ranks = [list(batch_bounds(num_rows, rank=r, world_size=world_size, **options)) for r in range(world_size)]
    whole = list(batch_bounds(num_rows, batch_size=4 * world_size, drop_last=drop_last))
    assert len({len(rank) for rank in ranks}) == 1
    assert len(ranks[0]) == count_batches(num_rows, world_size=world_size, **options)
    for step in range(len(ranks[0])):
        shares = [list(range(*rank[step])) for rank in ranks]
        assert joined(shares) == list(range(*whole[step]))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert min(map(len, shares)) >= 1
    lost = sum(end - first for first, end in whole[len(ranks[0]) :])
    assert lost < world_size


def test_full_steps_give_each_rank_its_block():
    """Fails if the rank's rows do not begin at step * B * W + rank * B."""
    bounds = list(batch_bounds(24, batch_size=4, rank=1, world_size=2))
    assert bounds == [(4, 8), (12, 16), (20, 24)]


def test_an_epoch_holds_every_row_once_and_differs_from_the_next(source):
    epochs = [joined(rows_of(source.batches(batch_size=4, shuffle=True, seed=3, epoch=e))) for e in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(23))
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] == joined(rows_of(source.batches(batch_size=5, shuffle=True, seed=3, epoch=0)))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("start", [0, 2, 5, 6, 9])
def test_start_continues_where_an_epoch_stopped(source, shuffle, start):
    options = {"batch_size": 4, "shuffle": shuffle, "seed": 1, "epoch": 2}
    assert rows_of(source.batches(start=start, **options)) == rows_of(source.batches(**options))[start:]


def test_the_order_neither_uses_nor_moves_the_global_generator():
    torch.manual_seed(0)
    first = epoch_order(50, shuffle=True, seed=0, epoch=0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(first, epoch_order(50, shuffle=True, seed=0, epoch=0))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"rank": 2, "world_size": 2}, {"rank": -1}, {"start": -1}, {"world_size": 0}]
)
def test_impossible_arguments_raise_at_the_call(source, wrong):
    """Fails if the check waits for the first batch."""
    with pytest.raises(ValueError, match="must"):
        source.batches(**{"batch_size": 4, **wrong})


def test_mix_depends_on_every_value_and_their_order():
    seeds = {mix(a, b, c) for a in range(-2, 8) for b in range(10) for c in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_mix_is_splitmix64():
    """The first output of SplitMix64 from state 0, as published with the reference code: fails if a constant is off."""
    assert mix(0) == 0xE220A8397B1DCDAF


def test_row_uniforms_are_uniform_and_do_not_depend_on_the_batch():
    draws = row_uniforms(torch.arange(4000), num=4, seed=1, epoch=2)
    assert draws.shape == (4000, 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert torch.allclose(draws.mean(0), torch.full((4,), 0.5), atol=0.02)
    assert torch.allclose(draws.var(0), torch.full((4,), 1 / 12), atol=0.005)
    assert torch.corrcoef(draws.T).fill_diagonal_(0).abs().max() < 0.06
    assert torch.corrcoef(torch.stack([draws[:-1, 0], draws[1:, 0]]))[0, 1].abs() < 0.06
    some = torch.tensor([7, 3999, 2])
    assert torch.equal(row_uniforms(some, num=4, seed=1, epoch=2), draws[some])
    assert not torch.equal(row_uniforms(some, num=4, seed=1, epoch=3), draws[some])
