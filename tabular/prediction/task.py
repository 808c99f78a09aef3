"""Prediction from tables: a class or a number for each row.

Shapes: B rows, F continuous inputs, K categorical ones, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from tabular.data.encoding import encode
from tabular.data.files import SUFFIXES, typed
from tabular.data.reader import read_rows
from tabular.data.schema import TableSchema, schema_from
from tabular.data.source import TableBatch, TableSource
from tabular.data.targets import known_target
from zoo.data import Bundle
from zoo.errors import DataError, check_name
from zoo.losses import make_loss
from zoo.metrics import ListMetric, Metric, make_metric
from zoo.metrics.chosen import check_chosen, chosen_figures, chosen_metrics
from zoo.records import Entry
from zoo.training import Batch, Inputs, Losses, Prediction, Task, evaluation_mode
from zoo.training.classification import ClassLoss, RowMixing, class_losses, confusion_figures, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

RegressionLoss = Literal["mse", "mae", "huber", "log_cosh", "charbonnier"]

# Means over rows: "rmse" is none, so that batches could not be added up; it has its best model where "mse" has.
LOSSES: tuple[RegressionLoss, ...] = get_args(RegressionLoss)
ROWS_AT_ONCE = 8192


class TablePrediction(Task):
    """Trains and judges models of rows: classes by cross-entropy, numbers by a loss of the standardised target.

    A model takes (continuous [B, F], categories [B, K]) and gives logits [B, C], or [B, 1]: the target less its mean,
    over its standard deviation, both of the training rows. Predictions and metrics are in the target's own unit.

    table:           what the run knows of its table.
    label_smoothing: share of the class that is spread over all classes, 0..1.
    class_weights:   one for each class, or None for equal ones.
    mixing:          of classes in tables without categorical columns, "mixup", or None: see
                     `zoo.training.classification.Classification`.
    mixing_alpha:    see there.
    extra_metrics:   of classes, as of that class; of two classes "roc_auc" is always among them.
    loss:            of numbers: "mse", "mae", or between them "huber" with its bend at one standard deviation,
                     "log_cosh", which is smooth, and "charbonnier", which is "mae" with a round corner.
    """

    name = "tabular/prediction"
    suffixes = SUFFIXES
    explanation: ClassVar[str] = "integrated_gradients"

    def __init__(
        self,
        *,
        table: TableSchema | Mapping[str, Any],
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        mixing: str | None = None,
        mixing_alpha: float = 1.0,
        extra_metrics: Sequence[str] = (),
        loss: RegressionLoss = "mse",
    ) -> None:
        check_name("loss of numbers", loss, LOSSES)
        self.table = schema_from(table)
        self.loss_name = loss
        self.class_loss: ClassLoss | None = None
        self.mixing = RowMixing(mixing, alpha=mixing_alpha, choices=("mixup",))
        self.extra_metrics = check_chosen(extra_metrics)
        if self.table.classes is None:
            if class_weights is not None or label_smoothing or mixing is not None or extra_metrics:
                raise ValueError(
                    "class_weights, label_smoothing, mixing and extra_metrics are for classes; "
                    f"{self.table.target!r} is a number."
                )
            self.monitor, self.mode = "rmse", "min"
            self.number_loss = make_loss(loss)
            return
        if loss != "mse":
            raise ValueError(f"loss={loss!r} is for numbers; {self.table.target!r} holds classes.")
        if mixing is not None and self.table.cardinalities:
            raise ValueError(
                f"mixing takes means of rows, which {len(self.table.cardinalities)} of this table's columns, being "
                "categorical, do not have; leave mixing out."
            )
        self.classes = self.table.classes
        self.monitor, self.mode = "accuracy", "max"
        self.class_loss = ClassLoss(classes=self.classes, label_smoothing=label_smoothing, class_weights=class_weights)

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "TablePrediction":
        """The task for the table of a bundle."""
        if not isinstance(bundle.preprocessing, TableSchema):
            raise DataError(
                "Prediction from tables needs a bundle of read_table or table_bundle of tabular.data.reader; "
                "the latter takes a pandas DataFrame."
            )
        return cls(table=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        of_classes = {} if self.class_loss is None else self.class_loss.options()
        extra = {"extra_metrics": list(self.extra_metrics)} if self.extra_metrics else {}
        return {"table": self.table.as_dict(), "loss": self.loss_name, **of_classes, **self.mixing.options(), **extra}

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        return {
            "num_continuous": self.table.num_continuous,
            "cardinalities": list(self.table.cardinalities),
            "num_outputs": 1 if self.table.classes is None else len(self.table.classes),
        }

    def rows(self, batch: Batch) -> int:
        return len(batch[1])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        return self.rows(batch) if self.class_loss is None else self.class_loss.weight(batch[1])

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        (continuous, categories), targets = batch
        mixed = self.mixing(continuous) if self.mixing.applies(model) else None
        outputs = model(continuous if mixed is None else mixed.inputs, categories)
        if self.class_loss is None:
            standard = (targets - self.table.target_mean) / self.table.target_std
            return {"loss": self.number_loss(outputs[:, 0], standard)}
        return class_losses(self.class_loss(outputs, targets, mixed), outputs, targets, mixed)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        return self.answers(model(*inputs)), targets

    def answers(self, outputs: Tensor) -> Tensor:
        """A model's outputs as logits float32 [B, C], or as values [B] in the target's unit."""
        if self.table.classes is not None:
            return outputs.float()
        return outputs[:, 0].float() * self.table.target_std + self.table.target_mean

    def metrics(self) -> dict[str, Metric | ListMetric]:  # type: ignore[override]
        from tabular.metrics import Pairs, StandardLoss

        if self.table.classes is None:
            return {
                "rmse": make_metric("rmse"), "mae": make_metric("mae"),
                "r2": make_metric("r2", center=self.table.target_mean),
                "loss": StandardLoss(self.number_loss, std=self.table.target_std), "pairs": Pairs(),
            }  # fmt: skip
        count = len(self.table.classes)
        found: dict[str, Metric | ListMetric] = {
            "accuracy": make_metric("accuracy"), "loss": make_metric("log_loss"),
            "f1": make_metric("f1", num_classes=count),
            "confusion_matrix": make_metric("confusion_matrix", num_classes=count),
        }  # fmt: skip
        usual = ("roc_auc",) if count == 2 else ()
        return {**found, **chosen_metrics(tuple(dict.fromkeys((*usual, *self.extra_metrics))), self.table.classes)}

    def figures(self, metrics: Mapping[str, Any]) -> dict[str, "Figure"]:
        if self.table.classes is None:
            from tabular.pictures import predicted_figure

            return {"predicted": predicted_figure(metrics["pairs"].compute(), target=self.table.target)}
        return {**confusion_figures(metrics, self.table.classes), **chosen_figures(metrics, self.table.classes)}

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 5) -> list[Prediction]:
        """For each row "label", "probability" and the `top` classes; or the "value", in the target's unit.

        inputs: a data frame with the run's columns, a list of dicts of them, or a TableBatch.
        """
        answers = self.run(model, self.table_of(inputs))
        if self.table.classes is None:
            return [{"value": value} for value in answers.tolist()]
        return ranked(answers.softmax(1), self.classes, top=top)

    @torch.no_grad()
    def run(self, model: nn.Module, table: TableBatch) -> Tensor:
        """`answers` of all rows on the CPU, some thousands at a time, in evaluation mode."""
        device = next(model.parameters()).device
        with evaluation_mode(model):
            parts = [
                self.answers(model(*(part.to(device) for part in table.rows(slice(first, first + ROWS_AT_ONCE))))).cpu()
                for first in range(0, table.num_rows, ROWS_AT_ONCE)
            ]
        return torch.cat(parts)

    def describe(self, prediction: Prediction) -> str:
        if "value" in prediction:
            return f"{self.table.target} {prediction['value']:.6g}"
        return super().describe(prediction)

    def read_inputs(self, items: Sequence[str | Path]) -> Inputs:
        frame, names = read_rows(items, self.table)
        return Inputs(rows=frame, names=names)

    def table_of(self, inputs: Any) -> TableBatch:
        """What `predict` takes, encoded.

        Raises: DataError for anything else, no rows, or a table that does not fit the run's.
        """
        import pandas as pd

        if isinstance(inputs, TableSource):
            return inputs.table
        if isinstance(inputs, TableBatch):
            return inputs
        if isinstance(inputs, Mapping):
            inputs = [inputs]
        if isinstance(inputs, Sequence) and inputs and all(isinstance(row, Mapping) for row in inputs):
            inputs = typed(pd.DataFrame(inputs))
        if not isinstance(inputs, pd.DataFrame):
            raise DataError(
                f"Expected files, a pandas DataFrame, or rows as dicts of columns, got {type(inputs).__name__}."
            )
        if not len(inputs):
            raise DataError("The table holds no rows to predict for.")
        return encode(inputs, self.table)

    def targets_of(self, inputs: Any) -> Tensor:
        """The targets that come with what `predict` takes.

        Raises: DataError if it holds none.
        """
        import pandas as pd

        if isinstance(inputs, TableSource):
            return inputs.targets()
        if (
            not isinstance(inputs, pd.DataFrame)
            or self.table.target not in inputs
            or inputs[self.table.target].isna().any()
        ):
            raise DataError(
                f"This needs rows whose {self.table.target!r} is known: give a table with that column filled in, or a "
                "part of the run's data such as run.bundle.validation."
            )
        return torch.from_numpy(known_target(inputs, self.table).values)

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "integrated_gradients",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Which columns made the answer: of each row by gradients, or of all rows by "permutation_importance".

        target: class explained, by name or number; the predicted one if None.
        layer:  name of the submodule that makes one vector of a row; "embedding" if None.
        """
        from tabular.prediction.explaining import by_gradients, permutation_importance

        if method == "permutation_importance":
            if target is not None or layer is not None:
                raise ValueError("permutation_importance is of all classes and layers: leave target and layer out.")
            return permutation_importance(self, model, inputs, **dict(options or {}))
        return by_gradients(self, model, inputs, method=method, target=target, layer=layer, options=options)

    def reading(self) -> dict[str, Any]:
        return {"schema": self.table.as_dict()}

    def check_bundle(self, bundle: Bundle) -> None:
        other = bundle.preprocessing
        faults = self.table.differences(other) if isinstance(other, TableSchema) else ["it is no table"]
        if faults:
            raise DataError(
                f"These data do not fit the run's table: {'; '.join(faults[:5])}. Read them in its form: give their "
                "path, or read_table(path, schema=run.task.table)."
            )

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        from tabular.prediction.baselines import baselines

        return baselines(self)
