"""Plays Pong from pixels with the network and the settings of Mnih et al. 2015.

Run: python -m rl.examples.pong --epochs 40   (10 million steps, for a GPU; --quick for a minute)
It needs pip install "domain-zoo[atari]", 8 GB of memory for the last million frames (16 while a run is resumed), and
8 GB on disk for the checkpoint that holds them. Ctrl-C stops and keeps the state; `zoo resume RUN` goes on exactly.
The same from the command line: zoo train dqn_nature --data ALE/Pong-v5 --epochs 40
"""

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.training import train

PUBLISHED = "18.9 in Mnih et al. 2015, extended data table 2, after 50 million steps; 20.6 by rl-baselines3-zoo"
QUICK: dict[str, Any] = {"learning_starts": 200, "buffer_size": 2000, "exploration_steps": 500}
QUICK_DATA: dict[str, Any] = {
    "steps_per_epoch": 400, "validation_episodes": 1, "test_episodes": 1, "max_episode_steps": 400,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="ALE/Pong-v5", help="an Atari game, such as ALE/Breakout-v5")
    parser.add_argument("--epochs", type=int, default=40, help="of 250,000 steps each; the paper took 200")
    parser.add_argument("--seed", type=int, default=0, help="of the run")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    parser.add_argument("--quick", action="store_true", help="800 steps, to see that all is in place")
    arguments = parser.parse_args()
    with plain_errors():
        run = train(
            "dqn_nature", arguments.data, epochs=2 if arguments.quick else arguments.epochs, seed=arguments.seed,
            out=arguments.out, data_options=QUICK_DATA if arguments.quick else None,
            task_options=QUICK if arguments.quick else None,
        )  # fmt: skip
    print(f"mean return {run.results['test']['mean_return']:.1f}, run in {run.directory}")
    print(f"to compare, Pong: {PUBLISHED}")
    picture = run.directory / "episode.gif"
    total = run.task.record(run.model, picture, seed=0)  # type: ignore[attr-defined]
    print(f"{picture} (an episode that paid {total:g})")


if __name__ == "__main__":
    main()
