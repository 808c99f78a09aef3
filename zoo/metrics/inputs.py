"""How the outputs of a model become predicted labels. What they are is told by an argument, never guessed from values.

Shapes: B samples, C classes, * any further dimensions.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

Inputs = Literal["logits", "probabilities", "labels"]


def check_inputs(inputs: str, *, allowed: tuple[str, ...] = get_args(Inputs)) -> None:
    """Raises ValueError unless `inputs` is one of `allowed`."""
    if inputs not in allowed:
        raise ValueError(f"inputs must be one of {', '.join(map(repr, allowed))}; got {inputs!r}.")


def predicted_labels(outputs: Tensor, target: Tensor, *, inputs: Inputs) -> Tensor:
    """The label predicted for each target.

    outputs: [B, C, *] scores of C classes, the highest one wins; or [*] in the shape of `target`: scores of "yes",
             which wins above logit 0 or probability 0.5; or, for inputs="labels", integer labels [*].
    target:  [*] integer or bool labels.
    Returns: [*] integer labels, or the labels given.
    Raises:  ValueError or TypeError if shapes or dtypes do not fit.
    """
    check_target(target)
    if inputs == "labels":
        if outputs.is_floating_point():
            raise TypeError(f"Labels must be integers; got {outputs.dtype}. Scores need inputs='logits'.")
        if outputs.shape != target.shape:
            raise ValueError(f"Labels {list(outputs.shape)} do not fit targets {list(target.shape)}.")
        return outputs
    if outputs.ndim == target.ndim + 1:
        check_scores(outputs, target)
        return outputs.argmax(1)
    if outputs.shape != target.shape:
        raise ValueError(
            f"Targets {list(target.shape)} need outputs [B, C, *] or of their own shape; got {list(outputs.shape)}."
        )
    if inputs == "logits":
        return (outputs > 0).long()
    check_probabilities(outputs)
    return (outputs > 0.5).long()


def check_target(target: Tensor) -> None:
    """Raises TypeError unless `target` holds integer or bool labels."""
    if target.is_floating_point():
        raise TypeError(f"Targets must be integer labels; got {target.dtype}.")


def check_scores(outputs: Tensor, target: Tensor) -> None:
    """Raises ValueError unless outputs are [B, C, *] with C > 1 for targets [B, *]."""
    if outputs.ndim < 2 or outputs.shape[:1] + outputs.shape[2:] != target.shape:
        raise ValueError(f"Outputs [B, C, *] of shape {list(outputs.shape)} do not fit targets {list(target.shape)}.")
    if outputs.shape[1] == 1:
        raise ValueError("Outputs of one column would always predict class 0. For yes or no: outputs.squeeze(1).")


def check_probabilities(outputs: Tensor, *, class_dimension: bool = False) -> None:
    """Raises ValueError if values are outside 0..1 or, with classes in dimension 1, do not sum to 1.

    Only on the CPU: on other devices the host would have to wait for the answer.
    """
    if outputs.device.type != "cpu" or not outputs.numel():
        return
    low, high = outputs.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"Probabilities must lie in 0..1; got values from {low.item():g} to {high.item():g}. "
            "Raw outputs need inputs='logits'."
        )
    if class_dimension:
        # Each of C addends is off by up to half an eps of its dtype.
        tolerance = max(1e-4, torch.finfo(outputs.dtype).eps * outputs.shape[1])
        worst = (outputs.detach().to(torch.float32).sum(1) - 1).abs().max().item()
        if worst > tolerance:
            raise ValueError(f"The probabilities of a sample must sum to 1; one sum is off by {worst:g}.")


def check_range(target: Tensor, *, num_classes: int) -> None:
    """Raises ValueError for labels outside 0..num_classes-1.

    Only on the CPU: on other devices the host would have to wait for the answer.
    """
    if target.device.type != "cpu" or target.dtype == torch.bool or not target.numel():
        return
    low, high = target.aminmax()
    if low < 0 or high >= num_classes:
        raise ValueError(f"Targets must lie in 0..{num_classes - 1}; got {low.item()} to {high.item()}.")
