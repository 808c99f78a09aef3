"""CPU seconds of an epoch on Adult: the zoo beside fastai's tabular learner at equal settings, on one thread.

Equal are rows, columns, batch, optimizer (AdamW at a constant rate), embeddings and layers. fastai's own way puts
BatchNorm into every layer; "fastai, plain" leaves that out, as the zoo's model has none. The contestants take turns;
the median epoch counts, the first of each turn is left out. No validation on either side. CPU seconds, since one thread
never waits here, and other work on the machine then counts little.
fastai is looked for where this runs; it may stand in an environment of its own beside the same torch.
Run: ZOO_DATA=path/to/data python benchmarks/tables.py     (ZOO_DATA holds adult/adult.csv.gz; or --data)
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tabular.data.reader import table_bundle
from tabular.prediction.table_mlp import TableMLP
from tabular.prediction.task import TablePrediction
from zoo.data import Bundle
from zoo.training import Callback, Recipe, Stage, Trainer

Turn = Callable[[], list[float]]
TARGET, LR = "income", 1e-3
# -- fastai's defaults, and those of `table_mlp`.
SETTINGS = {"layers 200, 100, batch 64": ((200, 100), 64), "layers 256, 256, 256, batch 256": ((256, 256, 256), 256)}


class EpochTimes(Callback):
    """Seconds of each epoch but the first."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_log(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        if record["event"] == "epoch":
            self.marks.append(time.process_time())

    def seconds(self) -> list[float]:
        return [end - start for start, end in zip(self.marks, self.marks[1:], strict=False)]


def ours(bundle: Bundle, *, epochs: int, widths: Sequence[int], batch_size: int) -> Turn:
    """The zoo's trainer on `table_mlp`."""
    task = TablePrediction.from_bundle(bundle)
    table = task.table

    def turn() -> list[float]:
        torch.manual_seed(0)
        model = TableMLP(
            num_continuous=table.num_continuous, cardinalities=table.cardinalities, widths=widths, dropout=0.0
        )
        times = EpochTimes()
        recipe = Recipe(
            stages=(Stage(epochs=epochs, lr=LR, schedule="constant"),), batch_size=batch_size, accelerator="cpu"
        )
        Trainer(model=model, task=task, train=bundle.train, recipe=recipe, progress=False, callbacks=[times]).fit()
        return times.seconds()

    return turn


def fastais(
    frame: pd.DataFrame, bundle: Bundle, *, epochs: int, widths: Sequence[int], batch_size: int, norms: bool
) -> Turn:
    """fastai's learner with the same columns, embeddings and layers."""
    from fastai.callback.core import Callback as FastaiCallback
    from fastai.tabular import all as fastai

    table = bundle.preprocessing
    numbers = [column.name for column in table.columns if column.kind == "continuous"]
    categories = [column.name for column in table.columns if column.kind == "categorical"]
    data = fastai.TabularDataLoaders.from_df(
        frame, procs=[fastai.Categorify, fastai.FillMissing, fastai.Normalize],
        cat_names=categories, cont_names=numbers, y_names=TARGET,
        y_block=fastai.CategoryBlock(), valid_idx=[0], bs=batch_size, device=torch.device("cpu"),
    )  # fmt: skip

    class Times(FastaiCallback):
        def __init__(self) -> None:
            super().__init__()
            self.marks: list[float] = []

        def after_train(self) -> None:
            self.marks.append(time.process_time())

    def turn() -> list[float]:
        torch.manual_seed(0)
        sizes = [
            (len(data.classes[name]), min(600, round(1.6 * len(data.classes[name]) ** 0.56))) for name in categories
        ]
        model = fastai.TabularModel(sizes, len(numbers), 2, list(widths), use_bn=norms, bn_cont=norms)
        times = Times()
        learner = fastai.Learner(
            data, model, loss_func=fastai.CrossEntropyLossFlat(), opt_func=fastai.Adam, cbs=[times]
        )
        with learner.no_bar(), learner.no_logging():
            learner.fit(epochs, lr=LR, wd=0.01)
        return [end - start for start, end in zip(times.marks, times.marks[1:], strict=False)]

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("ZOO_DATA", ".")) / "adult" / "adult.csv.gz"
    parser.add_argument("--data", type=Path, default=default, help="Adult, with its names of columns")
    parser.add_argument("--turns", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a turn, of which the first is left out")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    frame = pd.read_csv(arguments.data, na_values=["?"])
    bundle = table_bundle(frame, target=TARGET, encoding="standard", validation=0.0, show=False)
    for title, (widths, batch_size) in SETTINGS.items():
        options = {"epochs": arguments.epochs, "widths": widths, "batch_size": batch_size}
        contestants = {"zoo": ours(bundle, **options)}
        try:
            contestants["fastai"] = fastais(frame, bundle, norms=True, **options)
            contestants["fastai, plain"] = fastais(frame, bundle, norms=False, **options)
        except ImportError as error:
            print(f"without fastai ({error}): pip install fastai")
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(arguments.turns):
            for name, turn in contestants.items():
                seconds[name] += turn()
        base = statistics.median(seconds["zoo"])
        print(f"Adult, {len(frame)} rows, {title}")
        for name, found in seconds.items():
            median = statistics.median(found)
            print(f"  {name:16} {median:7.2f} s an epoch   {median / base:5.2f} x the zoo's")


if __name__ == "__main__":
    main()
