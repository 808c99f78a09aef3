"""A ring of the last transitions, each as likely to be drawn as any other.

Source: Lin 1992, doi:10.1007/BF00992699; as used by Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1.
Differs from the paper: observations are stored once each, as slots in their order of time, and not as pairs; stacks of
frames, next observations and returns over several steps are put together when they are drawn. A transition may be
drawn once all of its steps are known.

A slot holds an observation and what was done there. An episode of T transitions takes T + 1 slots, as its last
observation has none. Slots of E environments take turns: slot s belongs to environment s mod E, and the next one in
time is s + E.

Shapes: E environments, * of one observation, B rows of a batch, K frames of a stack.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rl.environments.vector import Step
from rl.replay.n_step import n_step_return


class Transitions(NamedTuple):
    """A batch of transitions, over one step or several.

    rewards:   [B] sum over the steps, discounted.
    discounts: [B] of the value of `next_observations`: gamma to the number of steps, 0 after termination.
    weights:   [B] by which the losses count, or None for equal ones.
    slots:     [B] where they lie in the memory.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    discounts: Tensor
    weights: Tensor | None
    slots: np.ndarray


class UniformReplay:
    """The memory.

    capacity:     slots of all environments together, at least.
    shape, dtype: of one observation.
    frames:       K if an observation is a stack of the last K frames, of which then only the newest is stored; a stack
                  at the beginning of an episode repeats its first frame. 0 otherwise.
    gamma:        discount per step; n_step: steps of a transition.
    generator:    of the draws; it belongs to whoever passes it, who also keeps its state.
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
        n_step: int = 1,
        frames: int = 0,
    ) -> None:
        rows = -(-capacity // num_envs)
        if n_step < 1:
            raise ValueError(f"n_step is {n_step}; at least 1 is needed.")
        if rows <= n_step + frames + 2:
            raise ValueError(
                f"A memory of {capacity} for {num_envs} environments is too small for {n_step} steps and {frames} "
                f"frames: at least {num_envs * (n_step + frames + 3)} slots are needed."
            )
        self.num_envs, self.n_step, self.gamma, self.frames = num_envs, n_step, gamma, frames
        self._slots = rows * num_envs
        self._random = generator
        stored = shape[1:] if frames else shape
        # Zeros cost no memory until they are written to.
        self.observations = np.zeros((self._slots, *stored), dtype)
        self.actions = np.zeros(self._slots, np.int64)
        self.rewards = np.zeros(self._slots, np.float32)
        self.terminated = np.zeros(self._slots, np.bool_)
        self.ends = np.zeros(self._slots, np.bool_)
        self.ages = np.zeros(self._slots, np.int32)  # frames since the episode's first
        self.ready = np.zeros(self._slots, np.bool_)
        self._heads = np.arange(num_envs)  # the slot where each environment stands
        self._waiting = np.zeros(num_envs, np.int64)  # transitions whose last step is not known yet
        self._begun = np.zeros(num_envs, np.bool_)  # whether the head holds its observation already
        self._filled = 0  # slots 0..filled-1 were written to
        self._count = 0

    def __len__(self) -> int:
        """Transitions that can be drawn."""
        return self._count

    def add(self, observations: np.ndarray, actions: np.ndarray, step: Step, rewards: np.ndarray | None = None) -> None:
        """Stores what each environment did: from observations [E, *] by actions [E] to what `step` says.

        rewards: in place of the step's own, such as clipped ones [E].
        """
        paid = step.rewards if rewards is None else rewards
        for index in range(self.num_envs):
            if step.real[index]:
                self._add(
                    index, observations[index], actions[index], paid[index], step.observations[index],
                    bool(step.terminated[index]), bool(step.truncated[index]),
                )  # fmt: skip

    def _add(
        self,
        index: int,
        observation: np.ndarray,
        action: int,
        reward: float,
        after: np.ndarray,
        terminated: bool,
        truncated: bool,
    ) -> None:
        here = int(self._heads[index])
        if not self._begun[index]:
            self._write(here, observation, age=0)
            self._begun[index] = True
        ended = terminated or truncated
        self.actions[here] = action
        self.rewards[here] = reward
        self.terminated[here] = terminated
        self.ends[here] = ended
        head = (here + self.num_envs) % self._slots
        self._write(head, after, age=int(self.ages[here]) + 1)
        waiting = int(self._waiting[index]) + 1
        if ended:
            for back in range(waiting):
                self._set_ready((here - back * self.num_envs) % self._slots)
            self._waiting[index] = 0
            self._begun[index] = False
            head = (head + self.num_envs) % self._slots
        elif waiting == self.n_step:
            self._set_ready((here - (waiting - 1) * self.num_envs) % self._slots)
            self._waiting[index] = waiting - 1
        else:
            self._waiting[index] = waiting
        self._heads[index] = head

    def cut_episodes(self) -> None:
        """Ends the episodes in progress where they stand, as a limit from outside would: nothing follows in memory."""
        for index in np.flatnonzero(self._begun):
            head = int(self._heads[index])
            last = (head - self.num_envs) % self._slots
            self.ends[last] = True
            for back in range(int(self._waiting[index])):
                self._set_ready((last - back * self.num_envs) % self._slots)
            self._waiting[index], self._begun[index] = 0, False
            self._heads[index] = (head + self.num_envs) % self._slots

    def _write(self, slot: int, observation: np.ndarray, *, age: int) -> None:
        """Puts an observation into a slot; what lay there can no longer be drawn, nor what was stacked on it."""
        for ahead in range(max(1, self.frames)):
            old = (slot + ahead * self.num_envs) % self._slots
            if self.ready[old] and (ahead == 0 or self.ages[old] >= ahead):
                self._set_forgotten(old)
        self.observations[slot] = observation[-1] if self.frames else observation
        self.ages[slot] = age
        self._filled = max(self._filled, slot + 1)

    def _set_ready(self, slot: int) -> None:
        self.ready[slot] = True
        self._count += 1

    def _set_forgotten(self, slot: int) -> None:
        self.ready[slot] = False
        self._count -= 1

    def sample(self, batch_size: int) -> Transitions:
        """A batch drawn with replacement.

        Raises: ValueError if nothing was stored yet.
        """
        return self._gather(self._draw(batch_size), None)

    def _draw(self, batch_size: int) -> np.ndarray:
        if not self._count:
            raise ValueError("The memory is empty: store transitions before drawing a batch.")
        slots = self._random.integers(0, self._filled, batch_size)
        while not (ready := self.ready[slots]).all():  # the ends of episodes, and what still waits, are drawn anew
            bad = np.flatnonzero(~ready)
            slots[bad] = self._random.integers(0, self._filled, len(bad))
        return slots

    def _gather(self, slots: np.ndarray, weights: np.ndarray | None) -> Transitions:
        steps: int | np.ndarray = 1
        if self.n_step == 1:
            rewards = self.rewards[slots]
            discounts = np.where(self.terminated[slots], np.float32(0), np.float32(self.gamma))
        else:
            window = (slots[:, None] + self.num_envs * np.arange(self.n_step)) % self._slots  # [B, N]
            rewards, steps, discounts = n_step_return(
                self.rewards[window], self.terminated[window], self.ends[window], gamma=self.gamma
            )
        after = (slots + self.num_envs * steps) % self._slots
        return Transitions(
            observations=torch.from_numpy(self._observed(slots)),
            actions=torch.from_numpy(self.actions[slots]),
            rewards=torch.from_numpy(rewards),
            next_observations=torch.from_numpy(self._observed(after)),
            discounts=torch.from_numpy(discounts),
            weights=None if weights is None else torch.from_numpy(weights),
            slots=slots,
        )

    def _observed(self, slots: np.ndarray) -> np.ndarray:
        """What was seen at the slots, [B, *] or stacked [B, K, *]."""
        if not self.frames:
            return self.observations[slots]
        back = np.minimum(np.arange(self.frames - 1, -1, -1), self.ages[slots][:, None])  # [B, K], oldest first
        return self.observations[(slots[:, None] - self.num_envs * back) % self._slots]

    def state_dict(self) -> dict[str, Any]:
        """All but the generator, up to the last slot in use. The tensors share the memory: write them out at once."""
        used = slice(0, self._filled)
        arrays = {name: torch.from_numpy(getattr(self, name)[used]) for name in self._arrays}
        counters = {name: torch.from_numpy(getattr(self, name)) for name in ("_heads", "_waiting", "_begun")}
        return {**arrays, **counters, "slots": self._slots, "filled": self._filled, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave.

        Raises: ValueError if that was of a memory of another size.
        """
        if state["slots"] != self._slots:
            raise ValueError(f"The memory has {self._slots} slots, the state is of one with {state['slots']}.")
        self._filled, self._count = state["filled"], state["count"]
        for name in self._arrays:
            getattr(self, name)[: self._filled] = state[name].numpy()
        for name in ("_heads", "_waiting", "_begun"):
            getattr(self, name)[:] = state[name].numpy()

    _arrays = ("observations", "actions", "rewards", "terminated", "ends", "ages", "ready")
