"""Planning, on a problem solved by hand and on the frozen lake."""

import numpy as np
import pytest

from rl.environments.making import describe_environment, make_environment
from rl.value_based.value_iteration import (
    TransitionModel,
    expected_return,
    greedy_policy,
    transition_model,
    value_iteration,
)
from zoo.errors import DataError


def two_states() -> TransitionModel:
    """State 0: action 0 stays and pays 1; action 1 goes to state 1. State 1: action 0 terminates and pays 10, action 1
    stays with the chance 0.5 and terminates otherwise, which pays 8."""
    probabilities = np.zeros((2, 2, 2))
    probabilities[0, 0, 0] = 1.0
    probabilities[0, 1, 1] = 1.0
    probabilities[1, 1, 1] = 0.5
    rewards = np.array([[1.0, 0.0], [10.0, 8.0]])
    return TransitionModel(probabilities, rewards, np.array([1.0, 0.0]))


def test_values_by_hand() -> None:
    """Fails if the discount or the chances are left out.

    V(1) = max(10, 8 + 0.9 * 0.5 V(1)); staying gives 8 / 0.55 = 14.545. V(0) = max(1 / 0.1, 0.9 * V(1)) = 13.0909.
    """
    model = two_states()
    values = value_iteration(model, gamma=0.9)
    assert values == pytest.approx([0.9 * 8 / 0.55, 8 / 0.55])
    assert greedy_policy(model, values, gamma=0.9).tolist() == [1, 1]


def test_expected_return_by_hand() -> None:
    """Fails if the horizon is one step off: after 1, 2 and 3 steps 0, 8 and 8 + 0.5 * 8."""
    policy = np.array([1, 1])
    assert [expected_return(two_states(), policy, steps=steps) for steps in (1, 2, 3)] == [0.0, 8.0, 12.0]


def test_values_that_do_not_converge_raise() -> None:
    with pytest.raises(ArithmeticError, match="gamma"):
        value_iteration(two_states(), gamma=1.0, max_sweeps=100)


def test_frozen_lake_without_slipping() -> None:
    """Fails if a hole or the goal is no end: the way takes 6 steps, so the start is worth 0.9^5."""
    spec = describe_environment("FrozenLake-v1", options={"is_slippery": False})
    model = transition_model(make_environment(spec))
    values = value_iteration(model, gamma=0.9)
    assert values[0] == pytest.approx(0.9**5)
    assert values[[5, 15]].tolist() == [0.0, 0.0]
    policy = greedy_policy(model, values, gamma=0.9)
    assert [expected_return(model, policy, steps=steps) for steps in (5, 6)] == [0.0, 1.0]


def test_frozen_lake_with_slipping() -> None:
    """Fails if chances are wrong: the best policy reaches the goal in 82.35 % of endless episodes (14/17)."""
    model = transition_model(make_environment(describe_environment("FrozenLake-v1")))
    policy = greedy_policy(model, value_iteration(model, gamma=0.9999), gamma=0.9999)
    assert expected_return(model, policy, steps=100_000) == pytest.approx(14 / 17, abs=1e-6)
    assert expected_return(model, policy, steps=100) == pytest.approx(0.740, abs=0.002)


def test_environments_that_hide_their_rules_are_refused() -> None:
    with pytest.raises(DataError, match="rules"):
        transition_model(make_environment(describe_environment("CartPole-v1")))
