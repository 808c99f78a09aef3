"""Deep Q-networks: the target of each slot by hand, the loop's order, and resumption bit for bit."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl.environments.reading import read_environment
from rl.replay.prioritized import PrioritizedReplay
from rl.replay.uniform import Transitions
from rl.value_based.dqn import DQN
from rl.value_based.networks import QNetwork
from rl.value_based.task import ValueLearning
from zoo.training import Callback, Recipe, Stage, Trainer
from zoo.training.checkpoint import load_checkpoint

FAST = {
    "learning_starts": 20, "train_every": 4, "updates_per_train": 2, "target_update_every": 8, "buffer_size": 500,
    "exploration_fraction": 0.5,
}  # fmt: skip


def trainer(
    environment: str = "CartPole-v1",
    *,
    directory: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    epochs: int = 3,
    steps: int = 60,
    limit: int | None = None,
    num_envs: int = 1,
    vectorisation: str = "loop",
    seed: int = 0,
    lr: float = 1e-3,
    batch_size: int = 8,
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> DQN:
    bundle = read_environment(
        environment, steps_per_epoch=steps, validation_episodes=2, test_episodes=0, num_envs=num_envs,
        vectorisation=vectorisation, max_episode_steps=limit,
    )  # fmt: skip
    if directory is not None:
        directory.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    shape = bundle.input_shape
    model = QNetwork(num_features=shape[0], num_actions=2, widths=(16,))
    stages = (Stage(epochs=epochs, lr=lr, schedule="constant"),)
    made = Recipe(
        stages=stages, batch_size=batch_size, optimizer="adam", weight_decay=0.0, seed=seed, accelerator="cpu",
        checkpoint_seconds=0.0, log_every_steps=7, **(recipe or {}),
    )  # fmt: skip
    return DQN(
        model=model, task=ValueLearning.from_bundle(bundle, **{**FAST, **options}), train=bundle.train,
        validation=bundle.validation, recipe=made, directory=directory, callbacks=callbacks, progress=False,
        bundle=bundle,
    )  # fmt: skip


class Fixed(torch.nn.Module):
    """Gives the same values [B, A] whatever it sees."""

    def __init__(self, values: list[list[float]]) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(values))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.values


def targets(*, double: bool) -> list[float]:
    agent = trainer(double=double)
    agent.model = Fixed([[1.0, 2.0], [9.0, 3.0], [5.0, 6.0]])
    agent.target = Fixed([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]])
    nothing = torch.zeros(3, 4)
    discounts = torch.tensor([0.5, 0.25, 0.0])
    batch = Transitions(
        nothing, torch.zeros(3, dtype=torch.long), torch.tensor([1.0, 1.0, 1.0]), nothing, discounts, None, np.arange(3)
    )
    return agent.td_targets(batch).tolist()


def test_target_by_hand() -> None:
    """Fails if the online network values, or a terminal state is worth something: 1 + d * max of the target's."""
    assert targets(double=False) == [11.0, 11.0, 1.0]


def test_double_target_by_hand() -> None:
    """Fails if the target network chooses: in row 1 the online one prefers action 0, which the target gives 30."""
    assert targets(double=True) == [11.0, 8.5, 1.0]


class Watch(Callback):
    """Calls a function after every optimizer step."""

    def __init__(self, look: Callable[[Any], None]) -> None:
        self.look = look

    def on_step_end(self, trainer: Trainer) -> None:
        self.look(trainer)


def test_the_loop_keeps_its_times() -> None:
    """Fails if learning starts early, takes another number of steps, or an epoch is not its environment steps."""
    steps: list[int] = []
    agent = trainer(callbacks=(Watch(lambda held: steps.append(held.environment_steps)),), epochs=2)
    history = agent.fit()
    assert steps == [step for step in range(24, 121, 4) for _ in range(2)]
    assert agent.environment_steps == 120
    assert [record["step"] for record in history] == [20, 50]
    assert history[-1]["train_epsilon"] == pytest.approx(0.04)
    assert history[0]["train_mean_return"] > 8


@pytest.mark.parametrize(("num_envs", "vectorisation"), [(3, "loop"), (3, "native")])
def test_several_environments_share_the_steps(num_envs: int, vectorisation: str) -> None:
    """Fails if steps are counted by turns of the loop, and not by what the environments did."""
    agent = trainer(num_envs=num_envs, vectorisation=vectorisation, epochs=2)
    agent.fit()
    assert 120 <= agent.environment_steps < 120 + 2 * num_envs
    assert len(agent.replay) == agent.environment_steps


def test_many_environments_learn_as_often() -> None:
    """Fails if a step of all environments that passes two turns of learning makes one of them: here 8 pass two."""
    agent = trainer(num_envs=8, epochs=1, steps=80)
    agent.fit()
    assert agent.position.step == (80 - 24 + 8) // 4 * 2


def test_target_network_changes_at_its_time() -> None:
    """Fails if the target follows at once: it is renewed after the updates of every 8th environment step."""
    renewed: list[bool] = []

    def look(agent: DQN) -> None:
        first = next(agent.target.parameters())
        renewed.append(bool(torch.equal(first, look.last)))
        look.last = first.clone()

    look.last = torch.zeros(0)
    agent = trainer(callbacks=(Watch(look),), epochs=1)
    agent.fit()
    assert renewed[1::2] == [True] * (len(renewed) // 2)  # within a turn nothing changes
    assert renewed[2::4] == [False] * len(renewed[2::4])  # environment steps 24, 32, ...: renewed before the next
    assert renewed[4::4] == [True] * len(renewed[4::4])


def test_soft_target_moves_by_tau() -> None:
    agent = trainer(tau=0.5, epochs=1)
    agent.fit()
    with torch.no_grad():
        before = next(agent.target.parameters()).clone()
        next(agent.model.parameters()).add_(2.0)
        online = next(agent.model.parameters())
        agent.update_target()
    assert torch.allclose(next(agent.target.parameters()), (before + online) / 2)


def test_priorities_are_the_errors_of_the_last_step() -> None:
    """Fails if the errors do not come back from the loss, or are those after the step."""
    agent = trainer(replay="prioritized", epochs=1)
    agent.fit()
    assert isinstance(agent.replay, PrioritizedReplay)
    priorities = agent.replay.tree[np.flatnonzero(agent.replay.ready)]
    assert len(np.unique(priorities)) > 10
    assert agent.replay._drawn == 20
    assert agent.replay.beta(20) == 1.0


def test_rewards_are_clipped_to_their_sign() -> None:
    agent = trainer("Corridor-v0", clip_rewards=True, epochs=1)
    agent.fit()
    assert set(np.unique(agent.replay.rewards[agent.replay.ready]).tolist()) == {-1.0, 1.0}
    assert agent.history[0]["train_mean_return"] > -1.01  # the record shows what was paid


SLOTS: list[dict[str, Any]] = [
    {},
    {"double": True, "replay": "prioritized", "n_step": 3, "loss": "mse"},
    {"num_envs": 3, "tau": 0.1, "n_step": 2},
    {"num_envs": 3, "vectorisation": "native", "replay": "prioritized"},
]


@pytest.mark.parametrize(
    ("slots", "after"), [(SLOTS[0], 3), (SLOTS[0], 20), (SLOTS[1], 31), (SLOTS[2], 20), (SLOTS[2], 31), (SLOTS[3], 3)]
)
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, slots: dict[str, Any], after: int) -> None:
    """Fails if anything is missing in a checkpoint: memory, environment, generators, counters, target, priorities.

    It is stopped in the middle of a turn of updates, at the end of an epoch, and in the middle of the next one.
    """
    whole = trainer(directory=tmp_path / "whole", **slots)
    whole.fit()

    with pytest.raises(KeyboardInterrupt):
        trainer(directory=tmp_path / "cut", callbacks=(Interrupt(after),), **slots).fit()
    resumed = trainer(directory=tmp_path / "cut", seed=0, **slots)
    resumed.fit(resume_from=tmp_path / "cut" / "checkpoints" / "last.pt")
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole.target.parameters(), resumed.target.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.history == resumed.history
    assert (whole.replay.observations == resumed.replay.observations).all()
    assert whole.generator.bit_generator.state == resumed.generator.bit_generator.state


class Interrupt(Callback):
    """As Ctrl-C does: asks to stop at a step; the loop saves and stops when its state is whole."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.position.step == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_while_the_memory_fills(tmp_path: Path) -> None:
    """Fails if only optimizer steps look for interruptions: filling the memory of an Atari game takes minutes."""
    agent = trainer(directory=tmp_path, learning_starts=10**6, epochs=1, steps=200)
    seen: list[int] = []
    act = agent.act

    def act_and_stop() -> None:
        act()
        seen.append(agent.environment_steps)
        if len(seen) == 50:
            os.kill(os.getpid(), signal.SIGINT)

    agent.act = act_and_stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        agent.fit()
    assert seen[-1] == 50
    state = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert state["extra"]["environment_steps"] == 50


def test_an_environment_that_cannot_be_put_back_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails if its episode runs on in the memory into the new one, or nothing is said."""
    monkeypatch.setattr("rl.environments.vector.is_restorable", lambda spec: False)
    with pytest.raises(KeyboardInterrupt):
        trainer(directory=tmp_path, callbacks=(Interrupt(6),)).fit()
    resumed = trainer(directory=tmp_path)
    resumed.fit(resume_from=tmp_path / "checkpoints" / "last.pt")
    assert "new episodes begin" in caplog.text
    assert resumed.environment_steps == 180
    replay = resumed.replay
    assert (replay.ready & replay.ends & ~replay.terminated).sum() == 1


def test_time_limit_keeps_the_value_of_what_follows(corridor: str) -> None:
    """Fails if the limit of 2 steps counts as an end: nobody is out by then, so what follows keeps its value."""
    agent = trainer(corridor, epochs=1, steps=20, limit=2)
    agent.fit()
    replay = agent.replay
    cut = np.flatnonzero(replay.ready & replay.ends)
    assert len(cut) == 10
    assert not replay.terminated[cut].any()
    batch = replay._gather(cut, None)
    assert batch.next_observations[:, 1].tolist() == [2.0] * 10  # the last observation, not the next episode's first
    agent.target = Fixed([[7.0, 5.0]] * 10)
    assert agent.td_targets(batch).tolist() == pytest.approx([-0.1 + 0.99 * 7.0] * 10)


@pytest.mark.parametrize(
    "slots",
    [{}, {"double": True}, {"replay": "prioritized"}, {"n_step": 3}, {"loss": "mse", "tau": 0.1}],
    ids=["plain", "double", "prioritized", "n-step", "mse-soft"],
)
def test_it_learns_the_corridor(corridor: str, slots: dict[str, Any]) -> None:
    """Fails if a sign or an index is wrong anywhere: the way out pays 0.8, staying -1."""
    agent = trainer(corridor, epochs=3, steps=200, lr=5e-3, batch_size=32, gamma=0.9, updates_per_train=4, **slots)
    history = agent.fit()
    assert history[-1]["mean_return"] == pytest.approx(0.8)
    assert history[-1]["success"] == 1.0


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="accumulate"):
        trainer(recipe={"accumulate": 2}).fit()
    agent = trainer()
    agent.train = agent.validation  # type: ignore[assignment]
    with pytest.raises(TypeError, match="environment"):
        agent.fit()
