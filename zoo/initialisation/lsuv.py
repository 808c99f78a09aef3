"""Layer-sequential unit variance: orthogonal weights, scaled layer by layer until outputs have the variance 1.

Source: Mishkin and Matas 2015, arXiv:1511.06422, section 3, algorithm 1.
Differs from the paper: one pass of the batch does for all layers, as each is scaled before its output goes on.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.randomness import isolated_generators
from zoo.initialisation.matrices import LAYERS, Matrix, matrices
from zoo.initialisation.schemes import orthogonal
from zoo.modes import evaluation_mode


@torch.no_grad()
def lsuv(
    model: nn.Module,
    generator: torch.Generator,
    *,
    batch: Any,
    forward: Callable[[nn.Module, Any], Any] | None = None,
    tolerance: float = 0.01,
    max_scalings: int = 10,
) -> tuple[str, ...]:
    """Orthogonal weights, then each linear layer and convolution divided by its output's standard deviation.

    The layers go in the order in which the model calls them; one that it calls several times counts at its first call.
    Recurrent layers, torch's multi-head attention and layers that the model does not call keep orthogonal weights. The
    model runs in evaluation mode, without dropout and with running statistics, and is given back in its own mode.

    batch:        what the model is called with, on its device; the more rows, the closer the variance of other data.
    forward:      called with the model and the batch where `model(batch)` is not how it is run.
    tolerance:    how far from 1 the variance of a layer's output may stay; max_scalings: how often a layer is tried.
    Raises:       ValueError for a number that cannot be used, and naming the layer whose output is constant, is not
                  finite, or keeps another variance.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}; give a distance from a variance of 1 in (0, 1).")
    if max_scalings < 1:
        raise ValueError(f"max_scalings is {max_scalings}; at least 1 is needed.")
    names = orthogonal(model, generator)
    waiting = {id(matrix.owner): matrix for matrix in matrices(model) if isinstance(matrix.owner, LAYERS)}

    def scale(layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Tensor) -> Tensor:
        matrix = waiting.pop(id(layer), None)
        if matrix is None:
            return output
        return _scaled(matrix, output, lambda: layer.forward(*inputs, **options), tolerance, max_scalings)

    device = next(model.parameters()).device
    with ExitStack() as hooks, evaluation_mode(model), isolated_generators(device):
        for matrix in list(waiting.values()):
            hooks.callback(matrix.owner.register_forward_hook(scale, with_kwargs=True).remove)
        if forward is None:
            model(batch)
        else:
            forward(model, batch)
    return names


def _scaled(matrix: Matrix, output: Tensor, again: Callable[[], Tensor], tolerance: float, max_scalings: int) -> Tensor:
    """Divides a layer's weight by its output's deviation until the variance is 1; the output then."""
    for _ in range(max_scalings):
        variance = _variance(matrix, output)
        if abs(variance - 1) <= tolerance:
            return output
        matrix.set(matrix.value / math.sqrt(variance))
        output = again()
    variance = _variance(matrix, output)
    if abs(variance - 1) > tolerance:
        raise ValueError(
            f"The output of the layer of {matrix.name} has the variance {variance:.4g} after {max_scalings} scalings "
            "of its weight. Something else decides it, such as a bias that does not train or a spectral norm: take "
            "another initialisation."
        )
    return output


def _variance(matrix: Matrix, output: Tensor) -> float:
    """The variance of all values of an output together."""
    variance = output.double().var(correction=0).item() if output.numel() else math.nan
    if not 0 < variance < math.inf:
        raise ValueError(
            f"The output of the layer of {matrix.name} has the variance {variance} on this batch, so that its weight "
            "cannot be scaled. Pass a batch of several different, finite rows; if a norm before the layer starts at a "
            "scale of 0, set it after LSUV."
        )
    return variance
