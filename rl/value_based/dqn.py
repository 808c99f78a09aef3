"""Deep Q-networks, with the slots that later papers added: double, dueling, prioritised, several steps.

Source: Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1; van Hasselt et al. 2016, arXiv:1509.06461, equation 4
(double); Schaul et al. 2016, arXiv:1511.05952, algorithm 1 (prioritised); Hessel et al. 2018, arXiv:1710.02298,
"Multi-step learning". The dueling head is the network's own business.
Differs from the paper: several environments may act in turn, and several optimizer steps may follow each other, as the
task's options say. The time limit of an environment does not count as an end: the value of what would follow stays in
the target. Of prioritised replay, alpha stays what it is over the run. The optimizer is the recipe's, Adam in the
catalogue, in place of centred RMSProp.
Shapes: B rows, A actions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.arithmetic import quick_arithmetic
from rl.environments.episodes import Policy
from rl.replay.prioritized import PrioritizedReplay
from rl.replay.uniform import Transitions, UniformReplay
from rl.schedules import LinearSchedule
from rl.targets import hard_update, soft_update, target_copy
from rl.training import ActingTrainer
from rl.value_based.acting import epsilon_greedy, q_function
from rl.value_based.task import ValueBatch, ValueLearning
from zoo.training.interrupts import Interrupts


class DQN(ActingTrainer):
    """The algorithm as a trainer. Between two passes of its loop the state is whole, so there it may stop.

    updates_due: optimizer steps still to make before the next action; target_due: whether the target network is to
                 be changed after them.
    """

    updates_due = 0
    target_due = False
    _copied_at = -1  # a resumed run copies once more than it must, which changes nothing

    def train_epoch(self, interrupts: Interrupts) -> None:
        self.begin()
        with quick_arithmetic(self.model):
            while True:
                while self.updates_due:
                    self.update()
                    self.updates_due -= 1
                    self.after_step(interrupts)
                    if self.finished:
                        return
                if self.target_due:  # every C steps reset Q^ = Q
                    self.update_target()
                    self.target_due = False
                if self.epoch_steps >= len(self.experience):
                    break
                self.act()
                if interrupts.pending and not self.updates_due:
                    self.save()
                    interrupts.stop()
        self.end_of_epoch(self.epsilon)

    def act(self) -> None:
        """A step of all environments, into the memory."""
        task, environments = self.learning, self.environments
        observations = environments.observations
        actions = epsilon_greedy(  # with probability epsilon select a random action, otherwise the best
            self.best, observations, epsilon=self.epsilon, num_actions=environments.spec.num_actions,
            generator=self.generator,
        )  # fmt: skip
        step = environments.step(actions)  # execute the action, observe reward and image
        rewards = np.sign(step.rewards) if task.clip_rewards else step.rewards
        self.replay.add(observations, actions, step, rewards)  # store the transition
        acted = self.count(step)
        if self.environment_steps > task.learning_starts:
            self.updates_due = task.updates_per_train * self.passed(task.train_every, acted=acted)
        self.target_due = self.passed(task.target_update_every, acted=acted) > 0

    def update(self) -> None:
        """A gradient step on the squared (or Huber's) error of a minibatch."""
        batch = self.engine.to_device(self.replay.sample(self.recipe.batch_size))  # sample a random minibatch
        targets = self.td_targets(batch)
        errors = torch.empty_like(targets) if isinstance(self.replay, PrioritizedReplay) else None
        self.step([ValueBatch(batch.observations, batch.actions, targets, batch.weights, errors)])
        if isinstance(self.replay, PrioritizedReplay) and errors is not None:
            self.replay.update(batch.slots, errors.cpu().numpy())

    @torch.no_grad()
    def td_targets(self, batch: Transitions) -> Tensor:
        """y = r + gamma * max_a Q^(s', a), [B]; double: the a that is best by Q."""
        with self.engine.autocast():
            values = self.target(batch.next_observations)  # [B, A]
            if self.learning.double:
                best = self.model(batch.next_observations).argmax(1, keepdim=True)
                value = values.gather(1, best)[:, 0]
            else:
                value = values.amax(1)
        return torch.addcmul(batch.rewards, batch.discounts, value.float())

    def update_target(self) -> None:
        """Moves the target network to the online one, all the way or by `tau`."""
        if self.learning.tau < 1:
            soft_update(self.target, self.model, tau=self.learning.tau)
        elif self.position.step > self._copied_at:  # else the online network is as it was
            hard_update(self.target, self.model)
            self._copied_at = self.position.step

    @property
    def epsilon(self) -> float:
        """The chance of a random action at the present step."""
        if self.environment_steps < self.learning.learning_starts:
            return 1.0
        return self.schedule(self.environment_steps)

    @property
    def learning(self) -> ValueLearning:
        """The task.

        Raises: TypeError for one of another kind.
        """
        if not isinstance(self.task, ValueLearning):
            raise TypeError(f"DQN trains the task {ValueLearning.name}, not {self.task.name}.")
        return self.task

    @property
    def steps_per_update(self) -> float:
        return self.learning.train_every / self.learning.updates_per_train

    def set_up(self) -> None:
        task = self.learning
        self.target = target_copy(self.model)
        values = q_function(self.model)
        self.best: Policy = lambda observations: values(observations).argmax(1)
        self.schedule = self.exploration(
            start=task.initial_epsilon, end=task.final_epsilon, fraction=task.exploration_fraction,
            steps=task.exploration_steps,
        )  # fmt: skip
        self.replay = self._make_replay()

    def _make_replay(self) -> UniformReplay:
        task, source = self.learning, self.experience
        spec = source.spec
        options: dict[str, Any] = {
            "capacity": task.buffer_size, "num_envs": source.num_envs, "shape": spec.observation_shape,
            "dtype": spec.observation_dtype, "gamma": task.gamma, "generator": self.generator, "n_step": task.n_step,
            "frames": spec.frames[0] if spec.frames else 0,
        }  # fmt: skip
        if task.replay == "uniform":
            return UniformReplay(**options)
        updates = (self.total_steps - task.learning_starts) // task.train_every * task.updates_per_train
        beta = LinearSchedule(task.priority_beta, 1.0, max(0, updates))
        return PrioritizedReplay(**options, alpha=task.priority_alpha, beta=beta)

    def algorithm_state(self) -> dict[str, Any]:
        return {
            "updates_due": self.updates_due,
            "target_due": self.target_due,
            "target": self.target.state_dict(),
            "replay": self.replay.state_dict(),
        }

    def load_algorithm_state(self, state: Mapping[str, Any]) -> None:
        self.updates_due, self.target_due = state["updates_due"], state["target_due"]
        self.target.load_state_dict(state["target"])
        self.replay.load_state_dict(state["replay"])

    def forget_episodes(self) -> None:
        self.replay.cut_episodes()
