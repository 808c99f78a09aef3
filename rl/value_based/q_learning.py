"""Q-learning with a value for each state and action in a table.

Source: Watkins and Dayan 1992, doi:10.1007/BF00992698; as in Sutton and Barto 2018, "Reinforcement Learning", 2nd
edition, section 6.5, equation 6.8.
Differs from the paper: the step size, which is the recipe's learning rate, follows the recipe's schedule over the run
and not the number of visits of each state and action. Time limits do not count as ends.
Shapes: S states, A actions.
"""

import numpy as np
import torch

from rl.schedules import LinearSchedule
from rl.training import ActingTrainer
from rl.value_based.acting import best_actions, epsilon_greedy
from rl.value_based.networks import QTable
from rl.value_based.task import ValueLearning
from zoo.optim import apply_schedule
from zoo.training.interrupts import Interrupts


def q_update(
    table: np.ndarray,
    *,
    state: int,
    action: int,
    reward: float,
    after: int,
    terminated: bool,
    step_size: float,
    gamma: float,
) -> float:
    """Moves one value of a table [S, A] towards what was found, in place; returns the temporal-difference error.

    Q(s, a) += step_size * (r + gamma * max_a' Q(s', a') - Q(s, a)), where a terminal s' is worth nothing.
    """
    follows = 0.0 if terminated else gamma * float(table[after].max())
    error = reward + follows - float(table[state, action])
    table[state, action] += step_size * error
    return error


class QLearning(ActingTrainer):
    """The algorithm as a trainer. A step of the optimizer's schedule is a step of all environments."""

    def train_epoch(self, interrupts: Interrupts) -> None:
        self.begin()
        environments, phase = self.environments, self.phases[0]
        while self.epoch_steps < len(self.experience):
            if phase.schedule is not None:
                apply_schedule(phase.optimizer, phase.schedule, self.position.stage_step)
            states = environments.observations
            actions = epsilon_greedy(  # choose A from S by the policy derived from Q
                lambda rows: best_actions(self.table[rows], self.generator), states,
                epsilon=self.schedule(self.environment_steps), num_actions=environments.spec.num_actions,
                generator=self.generator,
            )  # fmt: skip
            step = environments.step(actions)  # take action A, observe R, S'
            rows = np.flatnonzero(step.real)
            errors = [
                q_update(
                    self.table, state=int(states[row]), action=int(actions[row]), reward=float(step.rewards[row]),
                    after=int(step.observations[row]), terminated=bool(step.terminated[row]),
                    step_size=phase.optimizer.param_groups[0]["lr"], gamma=self.learning.gamma,
                )
                for row in rows
            ]  # fmt: skip
            self.count(step)
            self._note(errors)
            self.after_step(interrupts)
            if self.finished:
                break
        self.end_of_epoch(self.schedule(self.environment_steps))

    def _note(self, errors: list[float]) -> None:
        """Counts a step, with the squared errors as its loss."""
        position = self.position
        if errors:
            loss = torch.tensor(np.square(errors).mean() / 2)
            self.window.add(position.step, {"loss": loss}, weight=len(errors))
        position.step += 1
        position.stage_step += 1
        position.batch += 1
        for hook in self._on_step:
            hook.on_step_end(self)

    @property
    def table(self) -> np.ndarray:
        """The values [S, A], in the memory of the model's parameter."""
        return self._table

    @property
    def learning(self) -> ValueLearning:
        """The task.

        Raises: TypeError for one of another kind.
        """
        if not isinstance(self.task, ValueLearning):
            raise TypeError(f"Q-learning trains the task {ValueLearning.name}, not {self.task.name}.")
        return self.task

    @property
    def steps_per_update(self) -> float:
        return float(self.experience.num_envs)

    def set_up(self) -> None:
        task, model = self.learning, self.model
        if not isinstance(model, QTable) or model.values.device.type != "cpu":
            raise TypeError(f"Q-learning needs a QTable on the CPU, got {type(model).__name__}; networks train by dqn.")
        self._table = model.values.detach().numpy()
        self.schedule: LinearSchedule = self.exploration(
            start=task.initial_epsilon, end=task.final_epsilon, fraction=task.exploration_fraction,
            steps=task.exploration_steps,
        )  # fmt: skip
