"""Speed and sample efficiency of DQN on CartPole, beside stable-baselines3, at rl-baselines3-zoo's settings.

The contestants take turns in one process on one thread, a whole run each with the same seed. Seconds are those of the
CPU that the process had, so that other programs do not count; judging, every 5,000 steps by the same 20 episodes, is
left out. Run: pip install stable-baselines3; python benchmarks/dqn.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rl.arithmetic import no_search_for_devices
from rl.environments.episodes import seeds_of
from rl.environments.reading import read_environment
from rl.value_based.dqn import DQN
from rl.value_based.networks import QNetwork
from rl.value_based.task import ValueLearning
from zoo.training import Callback, Recipe, Stage, Trainer

ENVIRONMENT = "CartPole-v1"
THRESHOLD = 475.0
JUDGED_EVERY = 5_000


@dataclass
class Course:
    """A run: seconds of learning alone, and the mean return of the judged episodes by environment steps."""

    task: ValueLearning
    seconds: float = 0.0
    curve: dict[int, float] = field(default_factory=dict)
    since: float = 0.0

    def start(self) -> None:
        self.since = time.process_time()

    def pause(self) -> None:
        self.seconds += time.process_time() - self.since

    def judge(self, steps: int, policy: Callable[[np.ndarray], np.ndarray]) -> None:
        """Plays the validation episodes, off the clock."""
        self.pause()
        seeds = seeds_of("validation", count=20, seed=0)
        self.curve[steps] = float(self.task.play(policy, seeds).returns.mean())
        self.start()


class Judge(Callback):
    """Judges the zoo's run at the end of its epochs, and keeps it on the clock otherwise."""

    def __init__(self, course: Course) -> None:
        self.course = course

    def on_log(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        if record["event"] == "epoch":
            self.course.judge(record["epoch"] * JUDGED_EVERY, self.course.task.policy(trainer.model))


def ours(task: ValueLearning, *, seed: int, steps: int) -> Course:
    """The zoo's trainer with all of its files and checkpoints."""
    course = Course(task)
    bundle = read_environment(ENVIRONMENT, steps_per_epoch=JUDGED_EVERY, validation_episodes=0)
    torch.manual_seed(seed)
    stage = Stage(epochs=steps // JUDGED_EVERY, lr=2.3e-3, schedule="constant")
    recipe = Recipe(
        stages=(stage,), optimizer="adam", weight_decay=0.0, batch_size=64, clip_norm=10.0, seed=seed,
        accelerator="cpu", checkpoint_seconds=30.0, log_every_steps=128,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        trainer = DQN(
            model=QNetwork(), task=task, train=bundle.train, recipe=recipe, directory=Path(directory), progress=False,
            callbacks=(Judge(course),), bundle=bundle,
        )  # fmt: skip
        course.start()
        trainer.fit()
        course.pause()
    return course


def peer(task: ValueLearning, *, seed: int, steps: int) -> Course:
    """stable-baselines3's DQN."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback

    course = Course(task)

    class PeerJudge(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % JUDGED_EVERY == 0:
                course.judge(self.num_timesteps, lambda seen: self.model.predict(seen, deterministic=True)[0])
            return True

    model = stable_baselines3.DQN(
        "MlpPolicy", ENVIRONMENT, learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1_000,
        gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
        exploration_final_eps=0.04, policy_kwargs={"net_arch": [256, 256]}, seed=seed, device="cpu",
    )  # fmt: skip
    with no_search_for_devices():  # which Lightning Fabric, imported by the zoo alone, turns on for the whole process
        course.start()
        model.learn(total_timesteps=steps, callback=PeerJudge())
        course.pause()
    return course


def reached(course: Course) -> int | None:
    """Environment steps at which the judged episodes first paid the threshold on average."""
    return next((steps for steps, value in sorted(course.curve.items()) if value >= THRESHOLD), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each contestant")
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps of a run, a multiple of 5,000")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = ValueLearning.from_bundle(read_environment(ENVIRONMENT))
    contestants = {"zoo": ours, "stable-baselines3": peer}
    courses: dict[str, list[Course]] = {name: [] for name in contestants}
    for contestant in contestants.values():  # imports are not what is measured
        contestant(task, seed=0, steps=JUDGED_EVERY)
    for seed in range(arguments.seeds):
        for name, contestant in contestants.items():
            course = contestant(task, seed=seed, steps=arguments.steps)
            courses[name].append(course)
            rate = arguments.steps / course.seconds
            print(f"seed {seed}  {name:18s} {rate:7,.0f} steps/s  {list(course.curve.values())}", flush=True)
    speeds = {}
    for name, runs in courses.items():
        speeds[name] = statistics.median(arguments.steps / course.seconds for course in runs)
        found = [steps for course in runs if (steps := reached(course)) is not None]
        best = statistics.mean(max(course.curve.values()) for course in runs)
        last = statistics.mean(course.curve[max(course.curve)] for course in runs)
        area = statistics.mean(statistics.mean(course.curve.values()) for course in runs)
        middle = f"{statistics.median(found):,.0f}" if found else "-"
        print(f"{name:18s} {speeds[name]:7,.0f} steps/s; {THRESHOLD:g} in {len(found)} of {len(runs)} runs, median")
        print(f"{'':18s} after {middle} steps; mean return over the run {area:.0f}, best {best:.0f}, last {last:.0f}")
    print(f"steps per CPU second, zoo over stable-baselines3: {speeds['zoo'] / speeds['stable-baselines3']:.2f}x")


if __name__ == "__main__":
    main()
