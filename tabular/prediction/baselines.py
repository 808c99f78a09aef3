"""Classical models to compare a network with, on the same rows and the same encoding.

Shapes: N rows, C classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabular.data.source import TableSource
from zoo.data import Bundle
from zoo.errors import DataError

if TYPE_CHECKING:
    from tabular.prediction.task import TablePrediction

Array = np.ndarray[Any, np.dtype[Any]]
Fit = Callable[["TablePrediction", TableSource, TableSource], Array]
MOST_TREE_CATEGORIES = 255
"""More than this many categories scikit-learn's trees take as ordered numbers only."""


def baselines(task: "TablePrediction") -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
    """By name: the constant answer, a linear model on one-hot categories, gradient boosting on their numbers."""
    fits: dict[str, Fit] = (
        {"mean": _mean, "ridge regression": _ridge, "gradient boosting": _boosted_values}
        if task.table.classes is None
        else {"majority": _majority, "logistic regression": _logistic, "gradient boosting": _boosted_classes}
    )
    return {name: partial(_judge, task, fit) for name, fit in fits.items()}


def _judge(task: "TablePrediction", fit: Fit, bundle: Bundle, split: str) -> dict[str, float]:
    """Fits on the training rows and gives the task's metrics on those of `split`."""
    train, test = bundle.train, bundle.parts.get(split)
    if not isinstance(train, TableSource) or not isinstance(test, TableSource):
        raise DataError(f"There is no {split!r} part of a table; there are {', '.join(bundle.parts)}.")
    outputs, targets = torch.from_numpy(fit(task, train, test)).float(), test.targets()
    found = {}
    for name, metric in task.metrics().items():
        metric.update(outputs, targets)
        value = metric.compute()
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            found[name] = float(value)
    return found


def _majority(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    counts = np.bincount(train.targets().numpy(), minlength=len(task.classes))
    return np.tile(np.log((counts + 1e-9) / counts.sum()), (len(test), 1))


def _mean(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    return np.full(len(test), float(train.targets().double().mean()))


def _logistic(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(_one_hot(task, train), train.targets().numpy())
    return _log_probabilities(model, _one_hot(task, test), len(task.classes))


def _ridge(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    from sklearn.linear_model import Ridge

    found: Array = Ridge().fit(_one_hot(task, train), train.targets().numpy()).predict(_one_hot(task, test))
    return found


def _boosted_classes(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    from sklearn.ensemble import HistGradientBoostingClassifier

    inputs, categorical = _ordinal(task, train)
    model = HistGradientBoostingClassifier(categorical_features=categorical, random_state=0)
    model.fit(inputs, train.targets().numpy())
    return _log_probabilities(model, _ordinal(task, test)[0], len(task.classes))


def _boosted_values(task: "TablePrediction", train: TableSource, test: TableSource) -> Array:
    from sklearn.ensemble import HistGradientBoostingRegressor

    inputs, categorical = _ordinal(task, train)
    model = HistGradientBoostingRegressor(categorical_features=categorical, random_state=0)
    found: Array = model.fit(inputs, train.targets().numpy()).predict(_ordinal(task, test)[0])
    return found


def _one_hot(task: "TablePrediction", source: TableSource) -> Any:
    """Numbers beside a column for each category, sparse [N, *]."""
    from scipy import sparse

    continuous, categories = (part.numpy() for part in source.table)
    blocks = [sparse.csr_matrix(continuous)]
    for index, cardinality in enumerate(task.table.cardinalities):
        rows = np.arange(len(categories))
        ones = np.ones(len(categories), dtype=np.float32)
        blocks.append(sparse.csr_matrix((ones, (rows, categories[:, index])), shape=(len(categories), cardinality)))
    return sparse.hstack(blocks, format="csr")


def _ordinal(task: "TablePrediction", source: TableSource) -> tuple[Array, Array]:
    """Numbers beside the numbers of the categories [N, F + K], and which are categories that trees can take so."""
    continuous, categories = (part.numpy() for part in source.table)
    few = [cardinality <= MOST_TREE_CATEGORIES for cardinality in task.table.cardinalities]
    flags = np.array([False] * continuous.shape[1] + few)
    return np.concatenate([continuous, categories.astype(np.float32)], axis=1), flags


def _log_probabilities(model: Any, inputs: Any, num_classes: int) -> Array:
    """Of all classes [N, C], those that training lacks at the log of next to nothing."""
    found = np.full((inputs.shape[0], num_classes), 1e-12)
    found[:, model.classes_] = model.predict_proba(inputs)
    return np.log(np.clip(found, 1e-12, None))
