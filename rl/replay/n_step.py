"""Returns over several steps, cut off where the episode ends.

Source: Sutton 1988, doi:10.1007/BF00115009; as used with Q-learning by Hessel et al. 2018, arXiv:1710.02298,
section "Multi-step learning".
Differs from the paper: nothing known. As there, the actions after the first are not corrected for being old.
Shapes: B rows, N steps.
"""

import numpy as np


def n_step_return(
    rewards: np.ndarray, terminated: np.ndarray, ends: np.ndarray, *, gamma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What N steps in a row pay, how many of them count, and by how much the value of what follows is discounted.

    An episode that was cut off by a limit (`ends` without `terminated`) still has a value to come, so its discount
    stays; one that terminated has none.

    rewards:    [B, N] of the steps k = 0, 1, ...; what stands behind the end of an episode is left out.
    terminated: [B, N] bool, whether the step led to a terminal state.
    ends:       [B, N] bool, whether the step was its episode's last, for whatever reason.
    gamma:      discount per step, 0..1.
    Returns:    the sums of gamma^k r_k, float32 [B]; the number of steps m in each, int64 [B]; and gamma^m, or 0 after
                termination, float32 [B].
    """
    num_steps = rewards.shape[1]
    earlier = np.cumsum(ends, axis=1) - ends  # [B, N] ends before step k
    counts = (earlier == 0).astype(np.float32)
    powers = np.float32(gamma) ** np.arange(num_steps, dtype=np.float32)
    sums = (rewards * counts * powers).sum(axis=1, dtype=np.float32)
    steps = counts.sum(axis=1).astype(np.int64)
    over = (terminated & (counts > 0)).any(axis=1)
    discounts = np.where(over, np.float32(0), np.float32(gamma) ** steps.astype(np.float32))
    return sums, steps, discounts.astype(np.float32)
