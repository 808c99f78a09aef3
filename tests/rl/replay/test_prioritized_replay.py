"""The sum tree and draws by priority, by hand and by counting."""

import numpy as np
import pytest

from rl.environments.vector import Step
from rl.replay.prioritized import SMALLEST_ERROR, PrioritizedReplay, SumTree
from rl.schedules import LinearSchedule


def filled(count: int, *, capacity: int = 20, alpha: float = 1.0, beta: float = 1.0) -> PrioritizedReplay:
    """A memory with `count` transitions in slots 0, 1, ... of one long episode."""
    replay = PrioritizedReplay(
        capacity=capacity, num_envs=1, shape=(1,), dtype="float32", gamma=0.9, generator=np.random.default_rng(0),
        alpha=alpha, beta=LinearSchedule(beta, 1.0, 10),
    )  # fmt: skip
    add(replay, count)
    return replay


def add(replay: PrioritizedReplay, count: int) -> None:
    flags = np.zeros(1, np.bool_)
    spot = np.zeros((1, 1), np.float32)
    for _ in range(count):
        replay.add(spot, np.zeros(1, np.int64), Step(spot, np.ones(1, np.float32), flags, flags, np.ones(1, np.bool_)))


@pytest.mark.parametrize("size", [2, 5, 8])
def test_sum_tree_by_hand(size: int) -> None:
    """Fails if a mass falls on the wrong side of a border: 3 | 1 -> [0, 3) is slot 0, [3, 4) slot 1."""
    tree = SumTree(size)
    tree.set(np.array([0, 1]), np.array([3.0, 1.0]))
    assert tree.total == 4.0
    assert tree.find(np.array([0.0, 2.9, 3.0, 3.99])).tolist() == [0, 0, 1, 1]
    tree.set_one(0, 0.5)
    assert tree.total == 1.5
    assert tree.find(np.array([0.4, 0.6])).tolist() == [0, 1]


def test_sum_tree_agrees_with_sums() -> None:
    """Fails if a parent is not renewed: against cumulative sums on random weights, changed in two ways."""
    random = np.random.default_rng(0)
    tree, weights = SumTree(100), np.zeros(100)
    for _ in range(20):
        slots = random.choice(100, 10, replace=False)
        weights[slots] = random.integers(0, 8, 10)
        tree.set(slots, weights[slots])
        weights[3] = random.integers(1, 8)
        tree.set_one(3, weights[3])
    masses = random.random(1000) * weights.sum()
    assert tree.total == weights.sum()
    assert (tree.find(masses) == np.searchsorted(np.cumsum(weights), masses, side="right")).all()
    before = tree.nodes.copy()
    tree.rebuild()
    assert (tree.nodes == before).all()


def test_a_mass_at_the_very_end_finds_weight() -> None:
    """Fails if rounding can lead to a slot of no weight, which holds no transition."""
    tree = SumTree(8)
    tree.set(np.arange(3), np.array([0.1, 0.2, 0.3]))
    assert tree.find(np.array([tree.total])).tolist() == [2]


def test_draws_are_in_proportion() -> None:
    """Fails if alpha is left out: errors 1, 2, 4 with alpha 0.5 are drawn as 1 : 1.414 : 2."""
    replay = filled(3, alpha=0.5)
    replay.update(np.array([0, 1, 2]), np.array([1.0, -2.0, 4.0]))
    counts = np.bincount(replay.sample(60_000).slots, minlength=3)[:3]
    assert counts / counts.sum() == pytest.approx(np.array([1, 2**0.5, 2]) / (3 + 2**0.5), abs=2e-3)


def test_weights_by_hand() -> None:
    """Fails if weights are not (N P)^-beta over the largest: priorities 1 and 3, beta 0.5: 1 and sqrt(1/3)."""
    replay = filled(2, beta=0.5)
    replay.update(np.array([0, 1]), np.array([1.0, 3.0]) - SMALLEST_ERROR)
    batch = replay.sample(4)
    assert batch.weights is not None
    by_slot = dict(zip(batch.slots.tolist(), batch.weights.tolist(), strict=True))
    assert by_slot == pytest.approx({0: 1.0, 1: 3**-0.5}, rel=1e-5)


def test_beta_rises_with_the_draws() -> None:
    """Fails if beta stays: after 10 draws it is 1, and the weight of three times the priority a third."""
    replay = filled(2, beta=0.5)
    replay.update(np.array([0, 1]), np.array([1.0, 3.0]) - SMALLEST_ERROR)
    for _ in range(10):
        replay.sample(2)
    batch = replay.sample(4)
    assert batch.weights is not None
    assert float(batch.weights.min()) == pytest.approx(1 / 3, rel=1e-5)


def test_new_transitions_come_with_the_largest_priority() -> None:
    """Fails if what was never drawn might never be."""
    replay = filled(2)
    replay.update(np.array([0]), np.array([7.0]))
    add(replay, 1)
    assert replay.tree[np.array([2])] == pytest.approx(7.0, rel=1e-5)


def test_what_was_written_over_is_never_drawn() -> None:
    """Fails if a forgotten slot keeps its priority; in a full ring, one slot is the head and holds no transition."""
    replay = filled(53)
    replay.update(np.flatnonzero(replay.ready), np.full(replay.ready.sum(), 0.01))
    assert set(replay.sample(2000).slots.tolist()) == set(np.flatnonzero(replay.ready).tolist())
    assert len(replay) == 19
    assert replay.tree.total == pytest.approx(19 * (0.01 + SMALLEST_ERROR))


def test_priorities_are_part_of_the_state() -> None:
    """Fails if a resumed memory draws otherwise."""
    one = filled(12, beta=0.4)
    one.update(one.sample(8).slots, np.arange(8.0))
    other = filled(0, beta=0.4)
    other.load_state_dict(one.state_dict())
    other._random.bit_generator.state = one._random.bit_generator.state
    first, second = one.sample(16), other.sample(16)
    assert (first.slots == second.slots).all()
    assert first.weights is not None
    assert second.weights is not None
    assert (first.weights == second.weights).all()
    assert other._largest == one._largest
