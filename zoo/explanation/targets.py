"""What is explained: one number per row, read from the model's output.

Shapes: B rows, C classes.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Target = int | Sequence[int] | Tensor | None
TargetFunction = Callable[[Any], Tensor]


class Objective:
    """The score whose evidence is looked for: the logit of a class of each row, or the user's function of the output.

    target:   None for the predicted class, one class for all rows, or one for each row.
    function: model output to scores [B], in place of a class.
    """

    def __init__(self, *, target: Target, function: TargetFunction | None, num_rows: int) -> None:
        if function is not None and target is not None:
            raise ValueError("Give target or target_function, not both.")
        self.function = function
        self.num_rows = num_rows
        self.wanted = target
        self.logits: Tensor | None = None  # [B, C]
        self.target: Tensor | None = None  # [B]

    def read(self, output: Any) -> None:
        """Takes logits and target classes from the output for the inputs themselves."""
        logits = find_logits(output)
        if logits is not None and logits.ndim == 2 and logits.shape[0] == self.num_rows:
            self.logits = logits.detach()
        if self.function is None:
            if self.logits is None:
                came = type(output).__name__ if logits is None else f"shape {list(logits.shape)}"
                raise ValueError(
                    f"Expected logits [{self.num_rows}, C] from the model, got {came}. "
                    "Pass target_function, which takes the model's output and returns one score per row."
                )
            self.target = _check_target(self.wanted, self.logits)

    def score(self, output: Any) -> Tensor:
        """The scores of all rows [B]; call `read` before."""
        if self.function is None:
            logits = find_logits(output)
            if logits is None or self.target is None:
                raise RuntimeError("Objective.read was not called with an output that holds logits.")
            return logits.gather(1, self.target[:, None])[:, 0]
        scores = self.function(output)
        if not isinstance(scores, Tensor) or scores.shape != (self.num_rows,):
            came = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"target_function must return one score per row [{self.num_rows}], got {came}.")
        return scores


def find_logits(output: Any) -> Tensor | None:
    """The logits in a model's output: itself, its `.logits`, or its item "logits"; None if there are none."""
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    output = getattr(output, "logits", output)
    return output if isinstance(output, Tensor) else None


def gradients(scores: Tensor, sources: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradient of each row's score with respect to each source; None for a source that no score depends on.

    Raises: ValueError if the scores have no graph at all.
    """
    if not scores.requires_grad:
        raise ValueError(
            "The score does not depend on the inputs in a differentiable way: does the model run under no_grad or "
            "detach its features, or is the layer one that the output is not made from?"
        )
    return list(torch.autograd.grad(scores.sum(), sources, allow_unused=True))


def _check_target(target: Target, logits: Tensor) -> Tensor:
    """Class indices [B] on the device of `logits` [B, C]; raises for a wrong shape, type or range."""
    num_rows, num_classes = logits.shape
    if target is None:
        return logits.argmax(dim=1)
    if isinstance(target, bool | str):
        raise TypeError(f"target must be a class index (an integer), got {target!r}.")
    if isinstance(target, Tensor | Sequence):
        classes = torch.as_tensor(target)
        if classes.dtype == torch.bool or classes.is_floating_point() or classes.is_complex():
            raise TypeError(f"target must hold class indices (integers), got {classes.dtype}.")
        if classes.ndim == 0:
            classes = classes.expand(num_rows)
        if classes.shape != (num_rows,):
            raise ValueError(f"target must be one class or one per row [{num_rows}], got {list(classes.shape)}.")
    else:
        classes = torch.full((num_rows,), operator.index(target))
    if classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError(f"target must be in 0..{num_classes - 1}, got {sorted(set(classes.tolist()))}.")
    return classes.to(logits.device, torch.long)
