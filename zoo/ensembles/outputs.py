"""What a run answers for the rows of a source, as numbers that answers of other runs can be added to.

Shapes: N rows, C classes, or numbers of one target.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.data import Bundle, Source
from zoo.errors import DataError
from zoo.training import Engine, Recipe, Run, Task, evaluation_mode
from zoo.training.directory import PathLike
from zoo.training.loggers import shown
from zoo.training.task import Prediction
from zoo.training.test_time import Average, with_views

KINDS = ("classification", "regression")


@torch.no_grad()
def outputs_of(
    run: Run, source: Source, *, title: str = "rows", tta: str | None = None, average: Average = "probabilities"
) -> tuple[Tensor, Tensor]:
    """A run's outputs for the rows of a source in their order, as its task's metrics take them, and the targets.

    tta, average: as of `Run.evaluate`.
    Returns: logits [N, C] or values [N, ...], and targets [N, ...], on the CPU.
    Raises:  DataError for a task whose outputs are not one tensor, such as boxes.
    """
    engine = Engine(Recipe(accelerator=run.recipe.accelerator), launch=False)
    model = with_views(run.task, run.model.to(engine.device), tta=tta, average=average)
    size = run.recipe.batch_size
    plain = source.unaugmented()
    batches = plain.batches(batch_size=size, num_workers=run.recipe.num_workers)
    outputs, targets = [], []
    with evaluation_mode(model):
        for batch in shown(batches, total=plain.num_batches(batch_size=size), title=title):
            output, target = run.task.evaluate(model, engine.to_device(batch))
            if not isinstance(output, Tensor) or not isinstance(target, Tensor):
                raise DataError(
                    f"{run.task.name} answers with {type(output).__name__}, which cannot be averaged; models that "
                    "classify or predict numbers can be combined."
                )
            outputs.append(output.float().cpu())
            targets.append(target.cpu())
    return torch.cat(outputs), torch.cat(targets)


def prepared_for(run: Run, data: Bundle | PathLike) -> Bundle:
    """Data in the form of those that a run was trained on, with what was fitted to its training rows."""
    return run._data(data)


def check_kind(bundle: Bundle, what: str) -> str:
    """The kind of the problem. Raises: DataError unless it is one class a row, or numbers."""
    if bundle.kind not in KINDS:
        raise DataError(
            f"{what} combines classes or numbers, and {bundle.task} has neither: its answers do not add up."
        )
    return str(bundle.kind)


def as_answers(outputs: Tensor, kind: str) -> Tensor:
    """Outputs as `outputs_of` gives them to what is averaged: probabilities [N, C], or values [N, C]."""
    if kind == "classification":
        return outputs.float().softmax(1)
    return outputs.float().flatten(1) if outputs.ndim > 1 else outputs.float()[:, None]


def as_outputs(answers: Tensor, kind: str, like: Tensor) -> Tensor:
    """Probabilities or values [N, C] as metrics take them: as logits, or in the shape of the outputs `like`.

    A probability of 0 becomes minus infinity, so that the loss of a wrong answer without a doubt is infinite.
    """
    return answers.log() if kind == "classification" else answers.reshape(like.shape)


def metrics_of(task: Task, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], dict[str, Any]]:
    """The single numbers among a task's metrics of outputs [N, ...] against targets, and the filled metrics."""
    metrics = task.metrics()
    for metric in metrics.values():
        metric.update(outputs, targets)
    values = {name: metric.compute() for name, metric in metrics.items()}
    numbers = {name: float(value) for name, value in values.items() if not hasattr(value, "ndim") or value.ndim == 0}
    return numbers, metrics


def predicted_answers(predictions: Sequence[Prediction], kind: str, classes: Sequence[str] | None) -> Tensor:
    """What a task predicted, with all its classes, as probabilities [N, C] or values [N, C].

    Raises: DataError for predictions that hold neither.
    """
    if kind == "regression":
        names = [name for name, value in predictions[0].items() if isinstance(value, float)]
        if not names:
            raise DataError(f"A prediction with {', '.join(predictions[0])} holds no number that could be averaged.")
        return torch.tensor([[prediction[name] for name in names] for prediction in predictions], dtype=torch.float64)
    assert classes is not None, "classification has classes"
    number = {name: index for index, name in enumerate(classes)}
    found = torch.zeros(len(predictions), len(classes), dtype=torch.float64)
    for row, prediction in enumerate(predictions):
        for item in prediction["top"]:
            found[row, number[item["label"]]] = item["probability"]
    return found


def with_values(prediction: Prediction, values: Sequence[float]) -> Prediction:
    """A prediction of numbers with others in place of its own, in their order."""
    rest = iter(values)
    filled: Mapping[str, Any] = {
        name: next(rest) if isinstance(value, float) else value for name, value in prediction.items()
    }
    return dict(filled)
