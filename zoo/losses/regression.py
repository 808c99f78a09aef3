"""Losses of values: squared, absolute, and Huber's between the two.

Source: Huber 1964, doi:10.1214/aoms/1177703732, section 5.
Differs from the paper: nothing known.
Shapes: * any dimensions.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def mse(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Squared error, in the target's unit squared, computed in float32 at least.

    prediction: [*] floating point.
    target:     [*] of the same shape.
    Returns:    [], or [*] for "none". The mean over no value at all is NaN.
    Raises:     ValueError or TypeError if shapes or dtypes do not fit.
    """
    return F.mse_loss(*_checked(prediction, target), reduction=reduction)


def mae(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Absolute error, in the target's unit; arguments as for `mse`."""
    return F.l1_loss(*_checked(prediction, target), reduction=reduction)


def huber(prediction: Tensor, target: Tensor, *, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Half the squared error up to `delta`, beyond it `delta` times (the absolute error less half of `delta`).

    delta: above 0, in the target's unit. Other arguments as for `mse`.
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta}; it must be above 0, in the target's unit.")
    return F.huber_loss(*_checked(prediction, target), delta=delta, reduction=reduction)


def _checked(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if not prediction.is_floating_point():
        raise TypeError(f"Predicted values must be floating point; got {prediction.dtype}.")
    if prediction.shape != target.shape:
        raise ValueError(
            f"Prediction {list(prediction.shape)} and target {list(target.shape)} need the same shape. "
            "For predictions of one column use prediction.squeeze(1)."
        )
    precise = torch.float64 if prediction.dtype == torch.float64 else torch.float32
    return prediction.to(precise), target.to(precise)
