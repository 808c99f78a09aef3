"""Gradients of the score with respect to the input: plain, times the input, averaged over noise or along a path.

Shapes: B rows, C channels; `*` is the shape of one row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zoo.explanation.methods import InputMethod

Gradient = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class _UnsignedMethod(InputMethod):
    """Heat is the largest absolute value over the channels (Simonyan et al. 2014, section 3.1)."""

    signed: ClassVar[bool] = False

    def over_channels(self, attributions: Tensor) -> Tensor:
        """Attributions [B, C, *] to heat [B, *], at least 0."""
        return attributions.abs().amax(dim=1) if attributions.ndim > 2 else attributions.abs()


@dataclass(frozen=True, kw_only=True)
class _SignedMethod(InputMethod):
    """Heat is the sum over the channels, so that its sum over the row stays that of the attributions."""

    signed: ClassVar[bool] = True

    def over_channels(self, attributions: Tensor) -> Tensor:
        """Attributions [B, C, *] to heat [B, *]."""
        return attributions.sum(dim=1) if attributions.ndim > 2 else attributions


@dataclass(frozen=True, kw_only=True)
class Saliency(_UnsignedMethod):
    """Gradient of the score: which elements change it most, to first order.

    Source: Simonyan et al. 2014, arXiv:1312.6034, section 3.1.
    Differs from the paper: nothing known.
    """

    name: ClassVar[str] = "saliency"

    def attribute(self, inputs: Tensor, gradient: Gradient) -> Tensor:
        """Gradients [B, *], signed; the heat is made of their absolute values."""
        return gradient(inputs)


@dataclass(frozen=True, kw_only=True)
class InputXGradient(_SignedMethod):
    """Gradient times input: the share of each element in the score, were the model linear.

    Source: Shrikumar et al. 2016, arXiv:1605.01713, section 3.2.
    Differs from the paper: nothing known.
    """

    name: ClassVar[str] = "input_x_gradient"

    def attribute(self, inputs: Tensor, gradient: Gradient) -> Tensor:
        """Attributions [B, *], in the unit of the score."""
        return inputs * gradient(inputs)


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(_UnsignedMethod):
    """Mean gradient over noisy copies of the input.

    Source: Smilkov et al. 2017, arXiv:1706.03825, section 3.
    Differs from the paper: all rows of a batch get the same noise, so that a row's heat does not depend on the others.

    num_samples: noisy copies, one forward and backward pass each.
    noise_level: standard deviation of the noise, as a share of the row's largest less smallest value.
    seed:        of a generator of its own; the global one is not touched.
    """

    name: ClassVar[str] = "smooth_grad"
    num_samples: int = 25
    noise_level: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}.")
        if self.noise_level < 0:
            raise ValueError(f"noise_level must be 0 or more, got {self.noise_level}.")

    def attribute(self, inputs: Tensor, gradient: Gradient) -> Tensor:
        """Mean gradients [B, *], signed."""
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU, so that every device sees the same noise
        rows = inputs.flatten(1)
        spread = (rows.amax(dim=1) - rows.amin(dim=1)).view(-1, *[1] * (inputs.ndim - 1))
        total = torch.zeros_like(inputs)
        for _ in range(self.num_samples):
            noise = torch.randn(inputs.shape[1:], generator=generator).to(inputs)
            total += gradient(inputs + self.noise_level * spread * noise)
        return total / self.num_samples


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(_SignedMethod):
    """Mean gradient on the straight way from a baseline to the input, times the way.

    The attributions of a row add up to its score less the baseline's (completeness).
    Source: Sundararajan et al. 2017, arXiv:1703.01365, equations 1 and 3.
    Differs from the paper: Gauss-Legendre nodes for equal steps, which come closer with as many gradients.

    steps:    points on the way, one forward and backward pass each.
    baseline: one value for all elements, or a tensor that broadcasts to the inputs, in the inputs' unit. 0 is the
              mean colour of normalised images; black is (0 - mean) / std for each channel.
    """

    name: ClassVar[str] = "integrated_gradients"
    steps: int = 50
    baseline: float | Tensor = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}.")

    def attribute(self, inputs: Tensor, gradient: Gradient) -> Tensor:
        """Attributions [B, *], in the unit of the score."""
        baseline = torch.as_tensor(self.baseline).detach().to(inputs)
        try:
            way = inputs - baseline.expand_as(inputs)
        except RuntimeError as error:
            raise ValueError(
                f"baseline {list(baseline.shape)} does not broadcast to inputs {list(inputs.shape)}."
            ) from error
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)  # on -1..1
        total = torch.zeros_like(inputs)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            total += weight / 2 * gradient(inputs - (1 - node) / 2 * way)
        return way * total
