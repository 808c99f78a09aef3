"""Why a model of tables answers so, column by column.

Source of permutation importance: Breiman 2001, doi:10.1023/A:1010933404324, section 10; for any model Fisher, Rudin
  and Dominici 2019, arXiv:1801.01489, section 3.2.
Differs from the paper: rows are permuted, not all pairs of rows compared; all that a column gives moves together.
Source of integrated gradients: Sundararajan et al. 2017, arXiv:1703.01365; over learned vectors as their section 6.
Shapes: B rows, F columns, D inputs of the perceptron, R repetitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tabular.data.source import TableBatch
from zoo.errors import check_name
from zoo.explanation import METHODS, ColumnView, Explanation, FromLayer, InputMethod, explain
from zoo.lookup import check_arguments

if TYPE_CHECKING:
    from tabular.prediction.task import TablePrediction

EMBEDDING = "embedding"
GRADIENT_METHODS = tuple(name for name, method in METHODS.items() if issubclass(method, InputMethod))
IN_UNITS_OF_THE_ANSWER = ("integrated_gradients", "input_x_gradient")


def by_gradients(
    task: "TablePrediction",
    model: nn.Module,
    inputs: Any,
    *,
    method: str,
    target: Any,
    layer: str | None,
    options: Mapping[str, Any] | None,
) -> Explanation:
    """Heat [B, F] over the columns of each row, by a gradient method over the vector [B, D] that the model makes of it.

    The heat of a column adds up that of its numbers and vectors (the largest, for methods without a sign). Of numbers
    it is in the target's unit, of classes in that of the logits. Integrated gradients start from a blank row: numbers
    at their middle, categories unknown.
    """
    check_name("explanation method of tables", method, (*GRADIENT_METHODS, "permutation_importance"))
    table = task.table_of(inputs)
    path = layer or EMBEDDING
    if path not in dict(model.named_modules()):
        raise ValueError(
            f"{type(model).__name__} has no submodule {path!r} that makes one vector of a row. Name it by layer=, or "
            "use method='permutation_importance', which takes any model."
        )
    device = next(model.parameters()).device
    table = TableBatch(*(part.to(device) for part in table))
    seen = FromLayer(model, path, tuple(table), unpack=True)
    owners = _owners(task, model.get_submodule(path), seen.values.shape[1])
    given = dict(options or {})
    if method == "integrated_gradients" and "baseline" not in given:
        blank = tuple(torch.zeros_like(part[:1]) for part in table)
        given["baseline"] = FromLayer(model, path, blank, unpack=True).values
    classes = task.table.classes
    found = explain(
        seen, seen.values, method=method, options=given, labels=classes, target=_class_number(target, classes),
        target_function=None if classes is not None else task.answers, view=ColumnView(names=()),
    )  # fmt: skip
    columns = [(owners == index).nonzero().flatten().to(device) for index in range(len(task.table.columns))]
    heat = torch.stack([_joined(found.heat[:, own], signed=found.signed) for own in columns], dim=1)  # [B, F]
    unit = ("logit of the class" if classes else task.table.target) if method in IN_UNITS_OF_THE_ANSWER else ""
    view = ColumnView(names=task.table.names, values=_texts(task, inputs), unit=unit)
    if classes is None:
        answers = task.run(model, table).tolist()
        return replace(found, heat=heat, view=view, labels=[f"{task.table.target} {answer:.4g}" for answer in answers])
    return replace(found, heat=heat, view=view)


def permutation_importance(
    task: "TablePrediction",
    model: nn.Module,
    inputs: Any,
    *,
    metric: str | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Explanation:
    """Heat [1, F]: by how much the metric gets worse when a column's values are dealt out among the rows.

    inputs:  rows whose target is known.
    metric:  any of the task's that is a number; None takes the one by which the best weights are chosen.
    repeats: R, of which `raw` [1, R, F] holds each.
    """
    known = {"metric": metric, "repeats": repeats, "seed": seed}
    check_arguments("Method 'permutation_importance'", permutation_importance, known)
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; at least 1 is needed.")
    name = metric or task.monitor
    check_name("metric", name, [key for key in task.metrics() if key not in ("confusion_matrix", "pairs")])
    table, targets = task.table_of(inputs), task.targets_of(inputs)
    whole = _measure(task, model, table, targets, name)
    sign = -1 if task.metrics()[name].higher_is_better else 1
    generator = torch.Generator().manual_seed(seed)
    losses = torch.zeros(repeats, len(task.table.columns))
    for repeat in range(repeats):
        order = torch.randperm(table.num_rows, generator=generator)
        for index, (numbers, categories) in enumerate(task.table.inputs_of):
            mixed = TableBatch(table.continuous.clone(), table.categories.clone())
            mixed.continuous[:, list(numbers)] = table.continuous[order][:, list(numbers)]
            mixed.categories[:, list(categories)] = table.categories[order][:, list(categories)]
            losses[repeat, index] = sign * (_measure(task, model, mixed, targets, name) - whole)
    return Explanation(
        inputs=table.continuous, heat=losses.mean(0, keepdim=True), raw=losses[None], method="permutation_importance",
        signed=True, labels=[f"{name} {whole:.4f} of {table.num_rows:,} rows"],
        view=ColumnView(names=task.table.names, unit=f"how much worse {name} gets when a column is permuted"),
    )  # fmt: skip


def _measure(task: "TablePrediction", model: nn.Module, table: TableBatch, targets: Tensor, name: str) -> float:
    metric = task.metrics()[name]
    metric.update(task.run(model, table), targets)
    return float(metric.compute())


def _owners(task: "TablePrediction", embedding: nn.Module, num_features: int) -> Tensor:
    """The number of the column that each element of the vector [D] comes from."""
    continuous = torch.zeros(task.table.num_continuous, dtype=torch.int64)
    sizes = list(getattr(embedding, "sizes", ()))
    categorical: list[int] = []
    for index, (numbers, categories) in enumerate(task.table.inputs_of):
        continuous[list(numbers)] = index
        for category in categories:
            categorical += [index] * (sizes[category] if category < len(sizes) else 0)
    owners = torch.cat([continuous, torch.tensor(categorical, dtype=torch.int64)])
    if len(owners) != num_features:
        raise ValueError(
            f"The vector of a row has {num_features} elements, not {len(owners)} for the numbers followed by the "
            "vectors of the categories, whose lengths the submodule must give as `sizes`."
        )
    return owners


def _joined(heat: Tensor, *, signed: bool) -> Tensor:
    return heat.sum(1) if signed else heat.amax(1)


def _class_number(target: Any, classes: Sequence[str] | None) -> Any:
    if target is not None and classes is None:
        raise ValueError(f"The answer is a number, which has no classes: leave target={target!r} out.")
    if isinstance(target, str) and classes is not None:
        check_name("class", target, classes)
        return classes.index(target)
    return target


def _texts(task: "TablePrediction", inputs: Any) -> list[list[str]]:
    """What each row holds in the schema's columns; nothing for rows that are given encoded."""
    import pandas as pd

    if isinstance(inputs, Mapping):
        inputs = [inputs]
    frame = inputs if isinstance(inputs, pd.DataFrame) else pd.DataFrame(inputs) if isinstance(inputs, list) else None
    if frame is None:
        return []
    return [[_text(value) for value in row] for row in frame[list(task.table.names)].itertuples(index=False)]


def _text(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
