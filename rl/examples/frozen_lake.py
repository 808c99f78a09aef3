"""Crosses a frozen lake with Q-learning in a table, and compares with planning by its known rules.

Run: python -m rl.examples.frozen_lake   (--data FrozenLake8x8-v1 for the large lake; --quick for seconds)
"""

import argparse
from pathlib import Path

from rl.environments.making import make_environment
from rl.value_based.value_iteration import expected_return, greedy_policy, transition_model, value_iteration
from zoo.cli.scripts import plain_errors
from zoo.training import train

DIRECTIONS = "←↓→↑"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="FrozenLake-v1", help="an environment that tells its rules")
    parser.add_argument("--epochs", type=int, help="of 1,000 steps each; the model's own choice if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the run")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    parser.add_argument("--quick", action="store_true", help="few steps")
    arguments = parser.parse_args()
    with plain_errors():
        run = train(
            "q_learning", arguments.data, epochs=5 if arguments.quick else arguments.epochs, seed=arguments.seed,
            out=arguments.out,
        )  # fmt: skip
    task = run.task
    spec, gamma = task.spec, task.gamma  # type: ignore[attr-defined]
    rules = transition_model(make_environment(spec))
    values = value_iteration(rules, gamma=gamma)
    best = greedy_policy(rules, values, gamma=gamma)
    learned = run.model.values.detach().argmax(1).numpy()  # type: ignore[operator, union-attr]
    print(f"{spec.id}: {run.results['test']['mean_return']:.1%} of 100 test episodes arrive, run in {run.directory}")
    for name, policy in (("Q-learning", learned), ("value iteration, the best for its discount", best)):
        exact = expected_return(rules, policy, steps=spec.step_limit)
        print(f"{exact:6.2%} arrive on average, exact over all episodes: {name}")
    side = round(len(best) ** 0.5)
    for row in range(side if spec.num_actions == len(DIRECTIONS) and side * side == len(best) else 0):
        places = slice(row * side, (row + 1) * side)
        arrows = ["".join(DIRECTIONS[action] for action in policy[places]) for policy in (learned, best)]
        print(f"  {arrows[0]}    {arrows[1]}{'    learned, planned' if row == 0 else ''}")


if __name__ == "__main__":
    main()
