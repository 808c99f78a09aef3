"""Values of classes, and their average: what is undefined is NaN, left out of the average, and warned of by name.

Shapes: C classes.
"""

import warnings
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from zoo.metrics.base import Accumulator, ListMetric, UndefinedMetricWarning, undefined

Average = Literal["binary", "micro", "macro", "weighted", "none"]
MOST_NAMES = 10  # classes that a warning names


def check_average(average: str) -> None:
    """Raises ValueError unless `average` is one of the choices."""
    if average not in get_args(Average):
        raise ValueError(f"average must be one of {', '.join(map(repr, get_args(Average)))}; got {average!r}.")


def check_names(classes: Sequence[str] | None, num_classes: int | None = None) -> tuple[str, ...] | None:
    """The names of classes, or None where there are none.

    num_classes: how many there must be; None where that is not known yet.
    Raises: ValueError if they are not one for each class.
    """
    if classes is None:
        return None
    if isinstance(classes, str) or num_classes not in (None, len(classes)):
        raise ValueError(
            f"{'The' if num_classes is None else num_classes} classes need as many names; got {classes!r}."
        )
    return tuple(classes)


def average_of(
    metric: Accumulator | ListMetric,
    values: Tensor,
    weights: Tensor,
    *,
    average: Average,
    reason: str,
    classes: Sequence[str] | None = None,
) -> float | Tensor:
    """The average of values [C], NaN where undefined; with a warning for every class that is left out.

    weights: how often each class occurs [C].
    average: "macro", "weighted", or "none" for the values as they are.
    reason:  why the average is undefined where all classes are.
    classes: names for the warning; numbers where there are none.
    """
    left_out = values.isnan()
    if average == "none":
        _warn_of(metric, left_out, classes)
        return values
    weights = weights if average == "weighted" else torch.ones_like(values)
    _warn_of(metric, left_out & (weights > 0) & ~left_out.all(), classes)
    kept = torch.where(left_out, 0.0, weights)
    return defined((values.nan_to_num(0.0) * kept).sum() / kept.sum(), metric, reason)


def defined(value: Tensor, metric: Accumulator | ListMetric, reason: str) -> float:
    """The value [] as a number; NaN with a warning where it is undefined."""
    return undefined(metric, reason) if value.isnan() else value.item()


def _warn_of(metric: Accumulator | ListMetric, left_out: Tensor, classes: Sequence[str] | None) -> None:
    if left_out.any():
        numbers = left_out.nonzero().flatten().tolist()
        names = [str(number) if classes is None else classes[number] for number in numbers]
        shown = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
        warnings.warn(
            f"{type(metric).__name__} is undefined for {len(names)} of {len(left_out)} classes ({shown}); "
            "averages leave them out.",
            UndefinedMetricWarning,
            stacklevel=4,
        )
