"""Test-time augmentation: a model that answers for several views of each row, and gives the mean of the answers.

Source: the mean of the softmax over crops and mirror images: Krizhevsky et al. 2012, Advances in Neural
    Information Processing Systems 25, section 4.1.
A task says which views of its inputs there are; here is nothing but the mean.
Shapes: B rows, C classes, * further dimensions such as H, W of a mask.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from zoo.errors import check_name

Average = Literal["probabilities", "logits"]


def unchanged(outputs: Tensor) -> Tensor:
    """Outputs as they are: those of a row as a whole have no place in it that a view could move."""
    return outputs


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a batch.

    change:  inputs of a batch, as the model takes them, to changed ones.
    restore: outputs [B, C, *] for the changed inputs to outputs in the places of the unchanged ones.
    """

    change: Callable[[Any], Any]
    restore: Callable[[Tensor], Tensor] = unchanged


class Viewed(Protocol):
    """What a task must have for its rows to be looked at in several ways.

    views: by name, what makes them.
    """

    name: str
    views: Mapping[str, Callable[[], Sequence[View]]]

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The model's logits [B, C, *] for the inputs of a batch."""
        ...


class AveragedViews(nn.Module):
    """Takes what `model` takes, and gives the mean of its answers for all views, as logits [B, C, *].

    logits:     `(model, inputs)` to the model's logits.
    average:    "probabilities" takes the mean of the softmax, and gives its logarithm, of which the softmax is that
                mean; "logits" takes the mean of the logits. The answer of a single view stays as it is.
    attributes: of the model that are the wrapper's as well.
    """

    def __init__(
        self,
        model: nn.Module,
        views: Sequence[View],
        *,
        logits: Callable[[nn.Module, Any], Tensor],
        average: Average = "probabilities",
        attributes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_name("average of views", average, get_args(Average))
        if not views:
            raise ValueError("There are no views to average over; one at least is needed.")
        self.model = model
        self.views = tuple(views)
        self.logits = logits
        self.average = average
        self.training = model.training
        for name in attributes:
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    def forward(self, inputs: Any) -> Tensor:
        """The mean for a batch; float32 at least where there is more than one view."""
        first, *others = self.views
        if not others:
            return self._seen(first, inputs)
        total = self._counted(first, inputs)
        for view in others:
            found = self._counted(view, inputs)
            total = total + found if self.average == "logits" else torch.logaddexp(total, found)
        count = len(self.views)
        return total / count if self.average == "logits" else total - math.log(count)

    def _seen(self, view: View, inputs: Any) -> Tensor:
        return view.restore(self.logits(self.model, view.change(inputs)))

    def _counted(self, view: View, inputs: Any) -> Tensor:
        """What is summed: logits, or logarithms of probabilities, whose exponentials would vanish."""
        found = self._seen(view, inputs)
        found = found if found.dtype == torch.float64 else found.float()
        return found if self.average == "logits" else found.log_softmax(1)


def with_views(task: Any, model: nn.Module, *, tta: str | None, average: Average = "probabilities") -> nn.Module:
    """The model that a task judges or predicts by: `model` itself, or the mean of it over the views called `tta`.

    Raises: ValueError for a task that has no views, or an average of none; UnknownNameError for views that the task
            does not have, or an average that there is not.
    """
    check_name("average of views", average, get_args(Average))
    if tta is None:
        if average != "probabilities":
            raise ValueError(f"average={average!r} is of views; choose tta, such as flip, or leave it out.")
        return model
    if not task.views:
        raise ValueError(f"The task {task.name} has no views for test-time augmentation; leave tta out.")
    check_name(f"view for test-time augmentation of the task {task.name}", tta, task.views)
    viewed: Viewed = task
    attributes = getattr(task, "model_attributes", ())
    return AveragedViews(model, viewed.views[tta](), logits=viewed.logits, average=average, attributes=attributes)


def judged_as(split: str, *, tta: str | None, average: Average) -> str:
    """The name of a part of the data among results, which says how it was looked at."""
    return split if tta is None else f"{split} tta={tta} average={average}"
