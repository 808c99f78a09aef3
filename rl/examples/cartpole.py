"""Balances a pole with a deep Q-network, over several seeds, and draws how fast each one learns.

Run: python -m rl.examples.cartpole   (minutes; --quick shows the way in seconds, and solves nothing)
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from rl.value_based.pictures import learning_curves_figure
from zoo.cli.scripts import plain_errors
from zoo.training import Run, train

# -- rl-baselines3-zoo, benchmark.md: one run of 50,000 steps, 300 episodes.
PUBLISHED = "stable-baselines3 at the same settings reaches 500 (rl-baselines3-zoo, one run)"
QUICK: dict[str, Any] = {"learning_starts": 100, "train_every": 64, "updates_per_train": 32}


def steps_to(run: Run, threshold: float, steps_per_epoch: int) -> int | None:
    """Environment steps until the validation episodes first reached the threshold on average, or None."""
    epochs = [record["epoch"] for record in run.history if record["mean_return"] >= threshold]
    return epochs[0] * steps_per_epoch if epochs else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="CartPole-v1", help="an environment with numbered actions and flat vectors")
    parser.add_argument("--model", default="dqn", help="dqn, double_dqn, dueling_dqn or prioritized_dqn")
    parser.add_argument("--seeds", type=int, default=5, help="runs to make, with the seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=50, help="of 1,000 environment steps each")
    parser.add_argument("--out", type=Path, default=Path("runs/cartpole"), help="directory for the runs and pictures")
    parser.add_argument("--quick", action="store_true", help="one seed, few steps")
    arguments = parser.parse_args()
    seeds = 1 if arguments.quick else arguments.seeds
    data: dict[str, Any] = {"steps_per_epoch": 200, "test_episodes": 10} if arguments.quick else {}
    runs: list[Run] = []
    with plain_errors():
        for seed in range(seeds):
            run = train(
                arguments.model, arguments.data, epochs=3 if arguments.quick else arguments.epochs, seed=seed,
                out=arguments.out / f"seed-{seed}", data_options=data, task_options=QUICK if arguments.quick else None,
            )  # fmt: skip
            runs.append(run)
            print(f"seed {seed}: mean return of {len(run.bundle.test or ())} test episodes "
                  f"{run.results['test']['mean_return']:.1f}")  # fmt: skip
    show(runs, arguments.out)


def show(runs: list[Run], out: Path) -> None:
    """Prints what all runs reached together, and draws their curves and the last one's first test episode."""
    spec, steps = runs[0].task.spec, len(runs[0].bundle.train)  # type: ignore[attr-defined]
    returns = [run.results["test"]["mean_return"] for run in runs]
    print(f"test return, median of {len(runs)} seeds: {statistics.median(returns):.1f} ({PUBLISHED})")
    threshold = spec.reward_threshold
    if threshold is not None:
        reached = [steps_to(run, threshold, steps) for run in runs]
        solved = [count for count in reached if count is not None]
        middle = f", median {statistics.median(solved):,.0f} environment steps" if solved else ""
        print(f"validation reached {threshold:g} in {len(solved)} of {len(runs)} runs{middle}: {reached}")
        success = [run.results["test"]["success"] for run in runs]
        print(f"test episodes of at least {threshold:g}: {statistics.mean(success):.1%}")
    curves = [[(record["epoch"] * steps, record["mean_return"]) for record in run.history] for run in runs]
    figure = learning_curves_figure({spec.id: curves}, threshold=threshold, ylabel="mean return, validation")
    figure.savefig(out / "learning_curves.png")
    last = runs[-1]
    total = last.task.record(last.model, out / "episode.gif", seed=0)  # type: ignore[attr-defined]
    print(f"{out / 'learning_curves.png'}, {out / 'episode.gif'} (an episode that paid {total:g})")


if __name__ == "__main__":
    main()
