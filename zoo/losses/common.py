"""What the losses share: the number type they compute in, the reductions, and the checks of shapes and types."""

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def precise(values: Tensor) -> torch.dtype:
    """The dtype to compute in: float32 at least, since bf16 and fp16 keep too few digits for sums and logarithms."""
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def shape_of(tensor: Tensor) -> str:
    """The shape as errors show it: "[4, 3]"."""
    return str(list(tensor.shape))


def flat(values: Tensor, dimensions: int) -> Tensor:
    """The first `dimensions` as they are and all further ones as one, of size 1 if there is none: [B, *] to [B, P]."""
    return values.flatten(dimensions) if values.ndim > dimensions else values.unsqueeze(-1)


def reduced(values: Tensor, reduction: Reduction) -> Tensor:
    """The mean, the sum or all of the values; the mean over none is NaN.

    Raises: ValueError for another reduction.
    """
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f'reduction must be "mean", "sum" or "none"; got {reduction!r}.')


def check_floating(name: str, values: Tensor) -> None:
    """Raises TypeError, with `name` at the front, for integers, bools and complex numbers."""
    if not values.is_floating_point():
        raise TypeError(f"{name} must be floating point; got {values.dtype}.")


def same_shape(prediction: Tensor, target: Tensor, *, name: str = "Predicted values") -> tuple[Tensor, Tensor]:
    """Both in float32 at least.

    Raises: TypeError if the prediction is not floating point; ValueError if shapes differ.
    """
    check_floating(name, prediction)
    if prediction.shape != target.shape:
        raise ValueError(
            f"Prediction {shape_of(prediction)} and target {shape_of(target)} need the same shape. "
            "For predictions of one column use prediction.squeeze(1)."
        )
    return prediction.to(precise(prediction)), target.to(precise(prediction))


def yes_or_no(target: Tensor, shape: torch.Size) -> Tensor:
    """Which targets are yes, bool of the shape `shape`.

    target: bool, or integers 0 and 1.
    Raises: TypeError for other dtypes; ValueError for another shape, and on the CPU for other integers, such as -1 for
            no: elsewhere the device would have to be waited for.
    """
    if target.is_floating_point() or target.is_complex():
        raise TypeError(f"Targets must be bool or integers 0 and 1; got {target.dtype}. Use target > 0.")
    if target.shape != shape:
        raise ValueError(f"Targets need the shape {list(shape)}; got {shape_of(target)}.")
    if target.dtype == torch.bool:
        return target
    if target.device.type == "cpu" and target.numel():
        low, high = target.aminmax()
        if low < 0 or high > 1:
            raise ValueError(f"Targets are 0 for no and 1 for yes; got {low.item()} to {high.item()}. Use target > 0.")
    return target == 1
