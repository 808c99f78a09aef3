"""Q-learning in tables: the update by hand, the optimum where it is known, resumption."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from rl.environments.reading import read_environment
from rl.value_based.networks import QNetwork, QTable
from rl.value_based.q_learning import QLearning, q_update
from rl.value_based.task import ValueLearning
from zoo.training import Callback, Recipe, Stage, Trainer


def trainer(
    *, directory: Path | None = None, callbacks: tuple[Callback, ...] = (), epochs: int = 3, steps: int = 100,
    num_envs: int = 1, slippery: bool = True, schedule: str = "cosine", lr: float = 0.5,
) -> QLearning:  # fmt: skip
    bundle = read_environment(
        "FrozenLake-v1", options={"is_slippery": slippery}, steps_per_epoch=steps, validation_episodes=2,
        test_episodes=0, num_envs=num_envs,
    )  # fmt: skip
    stages = (Stage(epochs=epochs, lr=lr, schedule=schedule),)
    recipe = Recipe(
        stages=stages, optimizer="sgd", weight_decay=0.0, accelerator="cpu", checkpoint_seconds=0.0, log_every_steps=7
    )
    return QLearning(
        model=QTable(), task=ValueLearning.from_bundle(bundle, algorithm="q_learning", final_epsilon=0.3, gamma=0.9),
        train=bundle.train, validation=bundle.validation, recipe=recipe, directory=directory, callbacks=callbacks,
        progress=False, bundle=bundle,
    )  # fmt: skip


def update(*, terminated: bool) -> tuple[float, list[list[float]]]:
    table = np.array([[1.0, 2.0], [3.0, 5.0]])
    error = q_update(table, state=0, action=1, reward=4.0, after=1, terminated=terminated, step_size=0.5, gamma=0.8)
    return error, table.tolist()


def test_update_by_hand() -> None:
    """Fails for SARSA, a wrong cell or a missing discount: 4 + 0.8 * 5 - 2 = 6, half of it to the 2."""
    assert update(terminated=False) == (6.0, [[1.0, 5.0], [3.0, 5.0]])


def test_update_at_the_end_by_hand() -> None:
    """Fails if a terminal state is worth something: 4 - 2 = 2, half of it to the 2."""
    assert update(terminated=True) == (2.0, [[1.0, 3.0], [3.0, 5.0]])


def test_update_is_gradient_descent_on_half_the_squared_error() -> None:
    """Fails if the step size is not the learning rate of equation 6.8: against SGD by autograd."""
    table = torch.rand(4, 3, dtype=torch.float64).requires_grad_()
    held = table.detach().numpy().copy()
    target = 1.5 + 0.9 * table.detach()[2].max()
    (0.5 * (target - table[1, 2]) ** 2).backward()
    assert table.grad is not None
    q_update(held, state=1, action=2, reward=1.5, after=2, terminated=False, step_size=0.3, gamma=0.9)
    np.testing.assert_allclose(held, (table - 0.3 * table.grad).detach().numpy())


def test_it_finds_the_way_over_dry_ice() -> None:
    """Fails if anything is wrong in the loop: without slipping the start is worth 0.9^5 and the way takes 6 steps."""
    agent = trainer(epochs=6, steps=1500, slippery=False, schedule="constant")
    history = agent.fit()
    assert history[-1]["mean_return"] == 1.0
    assert history[-1]["length"] == 6.0
    assert agent.model.values[0].max().item() == pytest.approx(0.9**5, abs=1e-3)
    assert agent.model.values[[5, 15]].abs().sum().item() == 0.0


def test_step_size_follows_the_schedule() -> None:
    """Fails if the table learns at one rate throughout: a cosine ends near 0."""
    rates: list[float] = []

    class Watch(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            rates.append(trainer.phases[0].optimizer.param_groups[0]["lr"])

    agent = trainer(callbacks=(Watch(),))
    agent.fit()
    assert agent.position.step == len(rates) == 300
    assert rates[0] == 0.5
    assert rates[150] == pytest.approx(0.25, abs=0.01)
    assert rates[-1] < 0.001


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Fails if counters, table, generator or environment are missing in the checkpoint."""

    class Interrupt(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.position.step == 130:
                os.kill(os.getpid(), signal.SIGINT)

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = trainer(directory=tmp_path / "whole")
    whole.fit()
    with pytest.raises(KeyboardInterrupt):
        trainer(directory=tmp_path / "cut", callbacks=(Interrupt(),)).fit()
    resumed = trainer(directory=tmp_path / "cut")
    resumed.fit(resume_from=tmp_path / "cut" / "checkpoints" / "last.pt")
    assert torch.equal(whole.model.values, resumed.model.values)
    assert whole.model.values.abs().sum() > 0
    assert whole.history == resumed.history


def test_several_environments_share_a_table() -> None:
    agent = trainer(num_envs=4)
    agent.fit()
    assert agent.environment_steps == 300
    assert agent.position.step == 75


def test_networks_are_refused() -> None:
    agent = trainer()
    agent.model = QNetwork()
    with pytest.raises(TypeError, match="QTable"):
        agent.fit()
