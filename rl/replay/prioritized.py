"""A memory that draws transitions by how wrong the network was about them.

Source: Schaul et al. 2016, arXiv:1511.05952, sections 3.3 and 3.4, algorithm 1, appendix B.2.1: the proportional
variant, with a sum tree and stratified draws.
Differs from the paper: the largest weight, by which the others are divided, is that of the batch.
Shapes: B rows of a batch, S slots.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rl.replay.uniform import Transitions, UniformReplay
from rl.schedules import LinearSchedule

SMALLEST_ERROR = 1e-6  # so that what was learned exactly can still be drawn; the paper's epsilon, which it leaves open


class SumTree:
    """Weights [S] of which any sums over a range, and so draws in proportion, take log2(S) operations on whole arrays.

    nodes: [2 * leaves]; node n is the sum of nodes 2n and 2n + 1, node 1 is the total, the leaves come last.
    """

    def __init__(self, size: int) -> None:
        self.depth = max(1, (size - 1).bit_length())
        self.leaves = 1 << self.depth
        self.nodes = np.zeros(2 * self.leaves, np.float64)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self.nodes[1])

    def __getitem__(self, slots: np.ndarray) -> np.ndarray:
        """The weights of the slots."""
        return self.nodes[slots + self.leaves]

    def set_one(self, slot: int, weight: float) -> None:
        """Gives one slot a weight."""
        node, nodes = slot + self.leaves, self.nodes
        nodes[node] = weight
        while node > 1:
            node >>= 1
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]

    def set(self, slots: np.ndarray, weights: np.ndarray) -> None:
        """Gives slots [B] their weights [B]; of a slot that occurs twice, the last one counts."""
        nodes = slots + self.leaves
        self.nodes[nodes] = weights
        for _ in range(self.depth):
            nodes = np.unique(nodes >> 1)
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    def find(self, masses: np.ndarray) -> np.ndarray:
        """Masses [B] in [0, total) to the slots [B] on which they fall when all weights lie side by side."""
        nodes = np.ones(len(masses), np.int64)
        left = masses.astype(np.float64)
        for _ in range(self.depth):
            nodes *= 2
            weights = self.nodes[nodes]
            # Rounding may leave a mass at the very end of its range: it stays where there is weight.
            right = (left >= weights) & (self.nodes[nodes + 1] > 0)
            left -= np.where(right, weights, 0.0)
            nodes += right
        return nodes - self.leaves

    def rebuild(self) -> None:
        """Adds up all nodes anew from the leaves."""
        for level in range(self.depth - 1, -1, -1):
            first = 1 << level
            children = self.nodes[2 * first : 4 * first].reshape(first, 2)
            self.nodes[first : 2 * first] = children.sum(axis=1)


class PrioritizedReplay(UniformReplay):
    """The memory; arguments beside those of `UniformReplay`:

    alpha: how much the errors decide, from 0 (not at all) to 1 (in proportion).
    beta:  how much the weights make up for it, 0..1, over the number of the batch drawn.
    """

    def __init__(
        self,
        *,
        capacity: int,
        num_envs: int,
        shape: tuple[int, ...],
        dtype: str,
        gamma: float,
        generator: np.random.Generator,
        alpha: float,
        beta: LinearSchedule,
        n_step: int = 1,
        frames: int = 0,
    ) -> None:
        super().__init__(
            capacity=capacity, num_envs=num_envs, shape=shape, dtype=dtype, gamma=gamma, generator=generator,
            n_step=n_step, frames=frames,
        )  # fmt: skip
        self.alpha, self.beta = alpha, beta
        self.tree = SumTree(self._slots)
        self._largest = 1.0  # priority of what was never drawn: algorithm 1, line 6
        self._drawn = 0

    def _set_ready(self, slot: int) -> None:
        super()._set_ready(slot)
        self.tree.set_one(slot, self._largest)

    def _set_forgotten(self, slot: int) -> None:
        super()._set_forgotten(slot)
        self.tree.set_one(slot, 0.0)

    def sample(self, batch_size: int) -> Transitions:
        """A batch with one draw from each of `batch_size` equal shares of the total, and weights of at most 1."""
        if not self._count:
            raise ValueError("The memory is empty: store transitions before drawing a batch.")
        shares = (np.arange(batch_size) + self._random.random(batch_size)) / batch_size
        slots = self.tree.find(shares * self.tree.total)
        probabilities = self.tree[slots] / self.tree.total
        weights = (self._count * probabilities) ** -self.beta(self._drawn)
        self._drawn += 1
        return self._gather(slots, (weights / weights.max()).astype(np.float32))

    def update(self, slots: np.ndarray, errors: np.ndarray) -> None:
        """Gives transitions [B] the priorities of their temporal-difference errors [B]."""
        priorities = (np.abs(errors) + SMALLEST_ERROR) ** self.alpha
        self.tree.set(slots, priorities)
        self._largest = max(self._largest, float(priorities.max()))

    def state_dict(self) -> dict[str, Any]:
        leaves = self.tree.nodes[self.tree.leaves : self.tree.leaves + self._filled]
        own = {"priorities": torch.from_numpy(leaves), "largest": self._largest, "drawn": self._drawn}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.tree.nodes[:] = 0.0
        self.tree.nodes[self.tree.leaves : self.tree.leaves + self._filled] = state["priorities"].numpy()
        self.tree.rebuild()
        self._largest, self._drawn = state["largest"], state["drawn"]
