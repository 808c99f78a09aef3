"""How far predicted values are from the true ones: MSE, RMSE, MAE, RMSPE and the coefficient of determination.

Source: Draper and Smith 1998, Applied Regression Analysis, 3rd ed., chapter 1; RMSPE from Hyndman and Koehler 2006,
  Another look at measures of forecast accuracy, doi:10.1016/j.ijforecast.2006.03.001, section 2.
Differs from the papers: RMSPE is a share, not in percent.
Shapes: * any dimensions, each entry a value of its own.
"""

import math
import warnings
from abc import abstractmethod

import torch
from torch import Tensor

from zoo.metrics.base import Metric, UndefinedMetricWarning, undefined


class _ErrorMean(Metric):
    """The mean of a function of the errors, summed in float64."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__({"total": torch.zeros((), dtype=torch.float64)})

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_values(outputs, target)
        total = self._open(outputs.device)["total"]
        total.add_(self._sizes(outputs.detach().to(total.dtype) - target.detach().to(total.dtype)).sum())
        self._count += target.numel()

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no value was seen")
        return self._sums["total"].item() / self._count

    @abstractmethod
    def _sizes(self, errors: Tensor) -> Tensor:
        """What each error counts [*]."""


class MAE(_ErrorMean):
    """Mean absolute error, in the unit of the targets."""

    def _sizes(self, errors: Tensor) -> Tensor:
        return errors.abs()


class MSE(_ErrorMean):
    """Mean squared error, in the squared unit of the targets."""

    def _sizes(self, errors: Tensor) -> Tensor:
        return errors.square()


class RMSE(MSE):
    """Root of the mean squared error, in the unit of the targets. The root is taken once, over all that was seen."""

    def compute(self) -> float:
        return math.sqrt(super().compute())


class RMSPE(Metric):
    """Root of the mean squared error relative to the targets: 0.1 is an error of a tenth of the true value.

    A relative error of a target of 0 is undefined: such targets are left out, with a warning.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__({"total": torch.zeros((), dtype=torch.float64), "zeros": torch.zeros((), dtype=torch.int64)})

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_values(outputs, target)
        sums = self._open(outputs.device)
        dtype = sums["total"].dtype
        values = target.detach().to(dtype)
        zero = values == 0
        shares = (outputs.detach().to(dtype) - values) / torch.where(zero, 1.0, values)
        sums["total"].add_(torch.where(zero, 0.0, shares).square().sum())
        sums["zeros"].add_(zero.sum())
        self._count += target.numel()

    def compute(self) -> float:
        zeros = int(self._sums["zeros"])
        if self._count == zeros:
            return undefined(self, "every target is 0" if zeros else "no value was seen")
        if zeros:
            warnings.warn(
                f"{type(self).__name__} is undefined for {zeros} of {self._count} targets, which are 0; "
                "they are left out.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
        return math.sqrt(self._sums["total"].item() / (self._count - zeros))


class R2(Metric):
    """Share of the targets' variance that is explained: 1 is perfect, 0 is as good as their mean, less is worse.

    center: a number near the targets' mean, in their unit; it changes no value, but keeps digits where the targets
            lie far from 0 for their spread.
    """

    higher_is_better = True

    def __init__(self, *, center: float = 0.0) -> None:
        zero = torch.zeros((), dtype=torch.float64)
        super().__init__({"errors": zero, "values": zero.clone(), "squares": zero.clone()})
        self.center = center

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_values(outputs, target)
        sums = self._open(outputs.device)
        dtype = sums["errors"].dtype
        values = target.detach().to(dtype)
        sums["errors"].add_((outputs.detach().to(dtype) - values).square().sum())
        values = values - self.center
        sums["values"].add_(values.sum())
        sums["squares"].add_(values.square().sum())
        self._count += target.numel()

    def compute(self) -> float:
        if self._count < 2:
            return undefined(self, "it needs two values or more")
        mean = self._sums["values"].item() / self._count
        spread = self._sums["squares"].item() - self._count * mean**2
        # What rounding leaves of targets that are all equal is no variance.
        if spread <= 1e-14 * self._sums["squares"].item():
            return undefined(self, "the targets are all equal")
        return 1 - self._sums["errors"].item() / spread


def mse(outputs: Tensor, target: Tensor) -> float:
    """`MSE` of one batch."""
    metric = MSE()
    metric.update(outputs, target)
    return metric.compute()


def rmspe(outputs: Tensor, target: Tensor) -> float:
    """`RMSPE` of one batch."""
    metric = RMSPE()
    metric.update(outputs, target)
    return metric.compute()


def rmse(outputs: Tensor, target: Tensor) -> float:
    """`RMSE` of one batch."""
    metric = RMSE()
    metric.update(outputs, target)
    return metric.compute()


def mae(outputs: Tensor, target: Tensor) -> float:
    """`MAE` of one batch."""
    metric = MAE()
    metric.update(outputs, target)
    return metric.compute()


def r2(outputs: Tensor, target: Tensor) -> float:
    """`R2` of one batch."""
    metric = R2(center=float(target.double().mean()) if target.numel() else 0.0)
    metric.update(outputs, target)
    return metric.compute()


def check_values(outputs: Tensor, target: Tensor) -> None:
    """Raises unless both are values of one shape: [B] beside [B, 1] would be broadcast to all pairs."""
    if not outputs.is_floating_point():
        raise TypeError(f"Predicted values must be floating point; got {outputs.dtype}.")
    if outputs.shape != target.shape:
        raise ValueError(
            f"Outputs {list(outputs.shape)} do not fit targets {list(target.shape)}: both need one shape. "
            "For outputs of one column use outputs.squeeze(1)."
        )
