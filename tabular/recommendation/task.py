"""Recommendation: what a user would rate an item, from the ratings that all users gave.

Shapes: B pairs of a user and an item.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tabular.data.files import SUFFIXES
from tabular.recommendation.ratings import RatingSchema, as_pairs, rating_schema_from, read_pairs
from zoo.data import ArraySource, Bundle
from zoo.errors import DataError, check_name
from zoo.losses import make_loss
from zoo.metrics import ListMetric, Metric, make_metric
from zoo.records import Entry
from zoo.training import Batch, Inputs, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

METHODS = ("contributions",)


class Recommendation(Task):
    """Trains and judges models of pairs by squared error, plus what the model's paper punishes.

    Predictions are kept within the range of the training ratings.

    ratings:        what the run knows of its table of ratings.
    regularisation: weight of the model's `penalty`, the paper's lambda.
    """

    name = "tabular/recommendation"
    monitor = "rmse"
    mode: Literal["min", "max"] = "min"
    suffixes = SUFFIXES
    explanation: ClassVar[str] = "contributions"

    def __init__(self, *, ratings: RatingSchema | Mapping[str, Any], regularisation: float = 0.0) -> None:
        if not 0 <= regularisation < float("inf"):
            raise ValueError(f"regularisation is {regularisation}; a number from 0 up is needed.")
        self.ratings = rating_schema_from(ratings)
        self.regularisation = regularisation
        self._loss = make_loss("mse")

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "Recommendation":
        """The task for the ratings of a bundle."""
        if not isinstance(bundle.preprocessing, RatingSchema):
            raise DataError(
                "Recommendation needs a bundle of read_ratings or rating_bundle of tabular.recommendation.ratings; "
                "the latter takes a pandas DataFrame."
            )
        return cls(ratings=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return {"ratings": self.ratings.as_dict(), "regularisation": self.regularisation}

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        known = self.ratings
        return {"num_users": len(known.users), "num_items": len(known.items), "mean": known.mean}

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        pairs, ratings = batch
        error = self._loss(model(pairs), ratings)
        if not self.regularisation:
            return {"loss": error}
        penalty = model.penalty(pairs).mean()  # type: ignore[operator]
        return {"loss": error + self.regularisation * penalty, "squared_error": error}

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        pairs, ratings = batch
        return self._clipped(model(pairs)), ratings

    def _clipped(self, ratings: Tensor) -> Tensor:
        return ratings.float().clamp(self.ratings.low, self.ratings.high)

    def metrics(self) -> dict[str, Metric | ListMetric]:  # type: ignore[override]
        from tabular.metrics import Pairs, StandardLoss

        return {
            "rmse": make_metric("rmse"), "mae": make_metric("mae"), "r2": make_metric("r2", center=self.ratings.mean),
            "loss": StandardLoss(self._loss, std=1.0), "pairs": Pairs(),
        }  # fmt: skip

    def figures(self, metrics: Mapping[str, Any]) -> dict[str, "Figure"]:
        from tabular.pictures import predicted_figure

        return {"predicted": predicted_figure(metrics["pairs"].compute(), target=self.ratings.rating)}

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 10) -> list[Prediction]:
        """For each row the rating; for a row without an item the `top` items of the user, rated ones among them.

        inputs: a data frame with the run's columns, dicts of them, or pairs of numbers int64 [B, 2].
        """
        device = next(model.parameters()).device
        pairs = as_pairs(inputs)
        with evaluation_mode(model):
            if pairs is not None:
                return [{"rating": rating} for rating in self._clipped(model(pairs.to(device))).tolist()]
            frame = self._frame(inputs)
            asked = frame[self.ratings.item].isna().to_numpy()
            found = self.ratings.pairs(frame)
            ratings = self._clipped(model(torch.from_numpy(found).to(device))).tolist()
            best = self._best(model, found[asked, 0], top=top, device=device)
        predictions: list[Prediction] = []
        for row, (user, item) in enumerate(zip(frame[self.ratings.user], frame[self.ratings.item], strict=True)):
            given = {"user": str(user)} if asked[row] else {"user": str(user), "item": str(item)}
            predictions.append({**given, **({"top": next(best)} if asked[row] else {"rating": ratings[row]})})
        return predictions

    def _best(self, model: nn.Module, users: "np.ndarray[Any, Any]", *, top: int, device: torch.device) -> Any:
        """For each user number the items with the highest ratings, one list after the other."""
        items = torch.arange(1, len(self.ratings.items) + 1, device=device)
        for user in users.tolist():
            ratings = model(torch.stack([torch.full_like(items, user), items], dim=1))
            values, places = ratings.topk(min(top, len(items)))
            yield [
                {"item": self.ratings.items[place], "rating": value}
                for place, value in zip(places.tolist(), self._clipped(values).tolist(), strict=True)
            ]

    def describe(self, prediction: Prediction) -> str:
        if "top" in prediction:
            return "  ".join(f"{best['item']} {best['rating']:.2f}" for best in prediction["top"])
        item = f"{self.ratings.item} {prediction['item']}: " if "item" in prediction else ""
        return f"{item}{self.ratings.rating} {prediction['rating']:.2f}"

    def read_inputs(self, items: Sequence[str | Path]) -> Inputs:
        """Tables of users and items; or texts, each the name of a user to recommend to."""
        frame, names = read_pairs(items, self.ratings)
        return Inputs(rows=frame, names=names)

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "contributions",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """What makes up each rating: heat [B, 3] of the user's bias, the item's and their taste, over the average.

        They add up exactly; `raw` [B, 4] holds the average too, before ratings are kept within their range.
        """
        from zoo.explanation import ColumnView, Explanation

        check_name("explanation method", method, METHODS)
        if target is not None or layer is not None or options:
            raise ValueError("contributions takes neither target nor layer nor options.")
        if not hasattr(model, "parts"):
            raise ValueError(f"{type(model).__name__} gives no `parts` of its ratings.")
        pairs, texts = as_pairs(inputs), None
        if pairs is None:
            frame = self._frame(inputs)
            if frame[self.ratings.item].isna().any():
                raise DataError("A rating is explained for a user and an item: give a table with both columns.")
            texts = [(str(user), str(item)) for user, item in frame[[self.ratings.user, self.ratings.item]].to_numpy()]
            pairs = torch.from_numpy(self.ratings.pairs(frame))
        pairs = pairs.to(next(model.parameters()).device)
        with torch.no_grad(), evaluation_mode(model):
            raw = model.parts(pairs).float()  # type: ignore[operator]
        names = texts or [(str(user), str(item)) for user, item in pairs.tolist()]
        titles = [f"{u}, {i}: {rating:.2f}" for (u, i), rating in zip(names, raw.sum(1).tolist(), strict=True)]
        return Explanation(
            inputs=pairs, heat=raw[:, 1:], raw=raw, method=method, signed=True, labels=titles,
            view=ColumnView(
                names=(self.ratings.user, self.ratings.item, "taste"),
                values=[(user, item, "of the user for the item") for user, item in names],
                unit=f"{self.ratings.rating} over the average",
            ),
        )  # fmt: skip

    def _frame(self, inputs: Any) -> "pd.DataFrame":
        import pandas as pd

        if isinstance(inputs, Mapping):
            inputs = [inputs]
        if isinstance(inputs, Sequence) and inputs and all(isinstance(row, Mapping) for row in inputs):
            inputs = pd.DataFrame(inputs)
        if not isinstance(inputs, pd.DataFrame) or self.ratings.user not in inputs or not len(inputs):
            raise DataError(
                f"Expected a data frame or dicts with {self.ratings.user!r} and {self.ratings.item!r}, or pairs of "
                f"numbers [B, 2], got {type(inputs).__name__}."
            )
        return inputs.reindex(columns=[self.ratings.user, self.ratings.item]).reset_index(drop=True)

    def reading(self) -> dict[str, Any]:
        return {"schema": self.ratings.as_dict()}

    def check_bundle(self, bundle: Bundle) -> None:
        if bundle.preprocessing != self.ratings:
            raise DataError(
                "These ratings are numbered otherwise than the run's users and items. Read them in its form: give "
                "their path, or read_ratings(path, schema=run.task.ratings)."
            )

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        return {
            "mean": partial(self._judge, mean_ratings),
            "user and item biases": partial(self._judge, biased_ratings),
        }

    def _judge(self, fit: "Fit", bundle: Bundle, split: str) -> dict[str, float]:
        train, test = bundle.train, bundle.parts.get(split)
        if not isinstance(train, ArraySource) or not isinstance(test, ArraySource):
            raise DataError(f"There is no {split!r} part of ratings; there are {', '.join(bundle.parts)}.")
        outputs = self._clipped(torch.from_numpy(fit(train, test.tensors[0].numpy())))
        found = {name: metric for name, metric in self.metrics().items() if name != "pairs"}
        for metric in found.values():
            metric.update(outputs, test.targets())
        return {name: float(metric.compute()) for name, metric in found.items()}


Fit = Callable[[ArraySource, "np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


def mean_ratings(train: ArraySource, pairs: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The average of the training ratings for each of `pairs` [B, 2]."""
    return np.full(len(pairs), float(train.targets().double().mean()))


def biased_ratings(
    train: ArraySource, pairs: "np.ndarray[Any, Any]", *, item_damping: float = 10, user_damping: float = 15,
    rounds: int = 10,
) -> "np.ndarray[Any, Any]":  # fmt: skip
    """Average, user's and item's bias for each of `pairs` [B, 2], the biases found in turns.

    Source: Koren 2010, doi:10.1145/1644873.1644874, section 2.1.
    damping: ratings of 0 that are added to those of each user and item, so that few ratings give small biases.
    """
    users, items = train.tensors[0].numpy().T
    ratings = train.targets().double().numpy()
    mean = ratings.mean()
    size_users = max(int(users.max()), int(pairs[:, 0].max())) + 1
    size_items = max(int(items.max()), int(pairs[:, 1].max())) + 1
    of_user, of_item = np.zeros(size_users), np.zeros(size_items)
    num_user, num_item = np.bincount(users, minlength=size_users), np.bincount(items, minlength=size_items)
    for _ in range(rounds):
        rest = ratings - mean - of_user[users]
        of_item = np.bincount(items, weights=rest, minlength=size_items) / np.maximum(item_damping + num_item, 1e-9)
        rest = ratings - mean - of_item[items]
        of_user = np.bincount(users, weights=rest, minlength=size_users) / np.maximum(user_damping + num_user, 1e-9)
    found: np.ndarray[Any, Any] = mean + of_user[pairs[:, 0]] + of_item[pairs[:, 1]]
    return found
