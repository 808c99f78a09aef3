"""Returns over several steps, by hand."""

import numpy as np
import pytest

from rl.replay.n_step import n_step_return

NO = [False, False, False]


def test_return_of_a_whole_window() -> None:
    """Fails if rewards are not discounted by their place: 1 + 0.5 * 2 + 0.25 * 4 = 3."""
    sums, steps, discounts = n_step_return(np.array([[1, 2, 4]], np.float32), np.array([NO]), np.array([NO]), gamma=0.5)
    assert sums.tolist() == [3.0]
    assert steps.tolist() == [3]
    assert discounts.tolist() == [0.125]


@pytest.mark.parametrize(("terminated", "discount"), [(True, 0.0), (False, 0.25)])
def test_return_stops_at_the_end_of_the_episode(terminated: bool, discount: float) -> None:
    """Fails if rewards of the next episode leak in, or if a time limit counts as termination or the other way round."""
    ends = np.array([[False, True, False]])
    sums, steps, discounts = n_step_return(np.array([[1, 2, 100]], np.float32), ends & terminated, ends, gamma=0.5)
    assert sums.tolist() == [2.0]
    assert steps.tolist() == [2]
    assert discounts.tolist() == [discount]


def test_termination_behind_the_end_does_not_count() -> None:
    """Fails if a termination of the next episode takes the value of a truncated one."""
    _, steps, discounts = n_step_return(
        np.ones((1, 3), np.float32), np.array([[False, False, True]]), np.array([[True, False, True]]), gamma=0.5
    )
    assert steps.tolist() == [1]
    assert discounts.tolist() == [0.5]
