"""Losses of values: squared, absolute, and those between the two.

Source: least squares, Legendre 1805 and Gauss 1809, Theoria motus, article 179; least absolute errors, Laplace 1774;
Huber 1964, doi:10.1214/aoms/1177703732; log-cosh, Green 1990, doi:10.1109/42.52985, and Saleh and Saleh 2022,
arXiv:2208.04564; Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553.
Differs from the paper: means where sums are minimised; `charbonnier` is sqrt(e^2 + epsilon^2), as Lai et al. 2017,
arXiv:1704.03915, have it, without the constant that is taken off in the older form.
Shapes: * any dimensions.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import Reduction, reduced, same_shape


def mse(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Squared error, in the target's unit squared, computed in float32 at least.

    prediction: [*] floating point.
    target:     [*] of the same shape.
    Returns:    [], or [*] for "none". The mean over no value at all is NaN.
    Raises:     ValueError or TypeError if shapes or dtypes do not fit.
    """
    return F.mse_loss(*same_shape(prediction, target), reduction=reduction)


def rmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error, in the target's unit; arguments as for `mse`.

    It is no mean of single errors: the mean of several batches' is not that of all their rows.
    Returns: [] with a gradient of 0 where every error is 0, at which the root has none. NaN for no value at all.
    """
    prediction, target = same_shape(prediction, target)
    # A norm has the subgradient 0 at 0; that of a bare root would be 0 times infinity.
    return torch.linalg.vector_norm(prediction - target) / prediction.numel() ** 0.5


def mae(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Absolute error, in the target's unit; arguments as for `mse`."""
    return F.l1_loss(*same_shape(prediction, target), reduction=reduction)


def huber(prediction: Tensor, target: Tensor, *, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Half the squared error up to `delta`, beyond it `delta` times (the absolute error less half of `delta`).

    delta: above 0, in the target's unit. Other arguments as for `mse`.
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta}; it must be above 0, in the target's unit.")
    return F.huber_loss(*same_shape(prediction, target), delta=delta, reduction=reduction)


def log_cosh(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Logarithm of the hyperbolic cosine of the error: half its square near 0, its absolute value less log 2 far away.

    Arguments as for `mse`. The scale is fixed: errors should be around 1, as those of standardised targets are.
    """
    prediction, target = same_shape(prediction, target)
    size = (prediction - target).abs()
    far = size + F.softplus(-2 * size) - math.log(2)
    # Near 0 the sum above cancels: cosh(e) = 1 + 2 sinh(e / 2)^2 keeps all digits.
    near = torch.log1p(2 * torch.sinh(size.clamp(max=1) / 2).square())
    return reduced(torch.where(size < 1, near, far), reduction)


def charbonnier(prediction: Tensor, target: Tensor, *, epsilon: float = 1e-3, reduction: Reduction = "mean") -> Tensor:
    """sqrt(error^2 + epsilon^2): the absolute error with its corner at 0 rounded off, `epsilon` where nothing is wrong.

    epsilon: above 0, in the target's unit. Other arguments as for `mse`.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; it must be above 0, in the target's unit.")
    prediction, target = same_shape(prediction, target)
    return reduced(torch.hypot(prediction - target, torch.full_like(target, epsilon)), reduction)
