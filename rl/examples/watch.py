"""Draws an episode that the agent of a run plays, as a GIF, and says what it paid.

Run: python -m rl.examples.watch runs/cartpole/seed-0 --out episode.gif
"""

import argparse
from pathlib import Path

from rl.environments.episodes import seeds_of
from rl.value_based.task import ValueLearning
from zoo.cli.scripts import plain_errors
from zoo.training import load_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a run that learned in an environment")
    parser.add_argument("--episode", type=int, default=0, help="which one of the test episodes, counted from 0")
    parser.add_argument("--frames", type=int, default=500, help="of the picture at most")
    parser.add_argument("--out", type=Path, default=Path("episode.gif"), help="the picture")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.exit(2, f"{arguments.out} exists; choose another --out.\n")
    with plain_errors():
        run = load_run(arguments.run)
        if not isinstance(run.task, ValueLearning):
            parser.exit(2, f"{arguments.run} is a run of the task {run.task.name}; no agent learned there.\n")
        first = int(seeds_of("test", count=1, seed=run.config["data"]["origin"].get("seed", 0))[0])
        total = run.task.record(
            run.model, arguments.out, seed=first + arguments.episode, max_frames=arguments.frames
        )  # fmt: skip
    print(f"{arguments.out}: test episode {arguments.episode} paid {total:g}")


if __name__ == "__main__":
    main()
