"""Planning in an environment whose rules are known: what the best policy is worth, and what any policy reaches.

Source: Bellman 1957, doi:10.1515/9781400874668; as in Sutton and Barto 2018, "Reinforcement Learning", 2nd edition,
section 4.4.
Differs from the paper: nothing known; all states are updated at once.
Shapes: S states, A actions.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.errors import DataError

if TYPE_CHECKING:
    from gymnasium import Env


class TransitionModel(NamedTuple):
    """The rules of an environment with numbered states.

    probabilities: [S, A, S] of going on in a state; what is missing to 1 is the chance that the episode terminates.
    rewards:       [S, A] expected, those of termination included.
    start:         [S] chance to begin in a state.
    """

    probabilities: np.ndarray
    rewards: np.ndarray
    start: np.ndarray


def transition_model(environment: "Env") -> TransitionModel:
    """The rules of one of gymnasium's toy-text environments, from its table `P`.

    Raises: DataError if the environment does not tell its rules.
    """
    inner = environment.unwrapped
    table, start = getattr(inner, "P", None), getattr(inner, "initial_state_distrib", None)
    if table is None or start is None:
        raise DataError(f"{environment} does not tell its rules, so nothing can be planned; FrozenLake-v1 does.")
    num_states, num_actions = len(table), len(table[0])
    probabilities = np.zeros((num_states, num_actions, num_states))
    rewards = np.zeros((num_states, num_actions))
    for state in range(num_states):
        for action in range(num_actions):
            for chance, after, reward, terminated in table[state][action]:
                rewards[state, action] += chance * float(reward)
                if not terminated:
                    probabilities[state, action, after] += chance
    return TransitionModel(probabilities, rewards, np.asarray(start, np.float64))


def action_values(model: TransitionModel, values: np.ndarray, *, gamma: float) -> np.ndarray:
    """Values [S] of what follows to the values of actions [S, A], by one step of planning."""
    found: np.ndarray = model.rewards + gamma * model.probabilities @ values
    return found


def value_iteration(
    model: TransitionModel, *, gamma: float, tolerance: float = 1e-10, max_sweeps: int = 100_000
) -> np.ndarray:
    """The values [S] of the best policy.

    tolerance: largest change in a sweep over all states at which it ends.
    Raises:    ArithmeticError if that is not reached, as where gamma is 1 and an episode need not end.
    """
    values = np.zeros(len(model.rewards))
    for _ in range(max_sweeps):
        improved = action_values(model, values, gamma=gamma).max(1)
        change = np.abs(improved - values).max()
        values = improved
        if change < tolerance:
            return values
    raise ArithmeticError(f"No values within {tolerance} after {max_sweeps} sweeps; take a gamma below {gamma}.")


def greedy_policy(model: TransitionModel, values: np.ndarray, *, gamma: float) -> np.ndarray:
    """The action [S] of the largest value in each state; of equal ones the first."""
    best: np.ndarray = action_values(model, values, gamma=gamma).argmax(1)
    return best


def expected_return(model: TransitionModel, policy: np.ndarray, *, steps: int) -> float:
    """What a policy [S] is paid on average in an episode of at most `steps` steps, not discounted; exact."""
    states = np.arange(len(policy))
    rewards, probabilities = model.rewards[states, policy], model.probabilities[states, policy]
    values = np.zeros(len(policy))
    for _ in range(steps):
        values = rewards + probabilities @ values
    return float(model.start @ values)
