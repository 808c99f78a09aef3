"""Initialisations that draw each weight matrix by its shape alone.

Source: normal, Radford et al. 2015, arXiv:1511.06434, section 4; xavier, Glorot and Bengio 2010 (AISTATS), equations 12
  and 16; kaiming, He et al. 2015, arXiv:1502.01852, equations 10 and 14; orthogonal, Saxe et al. 2013, arXiv:1312.6120.
Differs from the papers: all weights of a model are drawn alike, its first and last layer too, where He et al. need no
  factor of 2 for what does not follow a rectifier; the fans of transposed convolutions are those of
  `zoo/initialisation/matrices.py`.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from zoo.initialisation.matrices import Matrix, matrices, zero_biases

Distribution = Literal["normal", "uniform"]
Fan = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu"]


def normal(model: nn.Module, generator: torch.Generator, *, std: float = 0.02) -> tuple[str, ...]:
    """Weights from a normal distribution around 0 with the standard deviation `std`, biases of 0."""
    _check_positive(std=std)
    found = matrices(model)
    for matrix in found:
        _spread(matrix, std, "normal", generator)
    return _set_all(model, found)


def xavier(
    model: nn.Module, generator: torch.Generator, *, distribution: Distribution = "uniform", gain: float = 1.0
) -> tuple[str, ...]:
    """Weights with the variance 2 gain^2 / (fan_in + fan_out), biases of 0.

    distribution: "uniform" between plus and minus sqrt(3) standard deviations, as in the paper, or "normal".
    gain:         above 0; 1 is for layers followed by a tanh or nothing.
    Raises:       ValueError for a value that cannot be used.
    """
    _check_choice("distribution", distribution, get_args(Distribution))
    _check_positive(gain=gain)
    found = matrices(model)
    for matrix in found:
        _spread(matrix, gain * math.sqrt(2 / (matrix.fan_in + matrix.fan_out)), distribution, generator)
    return _set_all(model, found)


def kaiming(
    model: nn.Module,
    generator: torch.Generator,
    *,
    fan: Fan = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    slope: float = 0.01,
    distribution: Distribution = "normal",
) -> tuple[str, ...]:
    """Weights with the variance gain^2 / fan, biases of 0.

    fan:          "fan_in" keeps the size of the signals on the way forward, "fan_out" that of the gradients on the way
                  back; torchvision's ResNets have the latter.
    nonlinearity: what follows the layers: its gain is sqrt(2) for "relu", sqrt(2 / (1 + slope^2)) for "leaky_relu", 1
                  for "linear" and "sigmoid", 5 / 3 for "tanh", 3 / 4 for "selu", as torch has them.
    slope:        of "leaky_relu" below 0.
    distribution: "normal" as in the paper, or "uniform".
    Raises:       ValueError for a value that cannot be used.
    """
    _check_choice("fan", fan, get_args(Fan))
    _check_choice("nonlinearity", nonlinearity, get_args(Nonlinearity))
    _check_choice("distribution", distribution, get_args(Distribution))
    if not math.isfinite(slope):
        raise ValueError(f"slope is {slope}; a finite number is needed.")
    gain = nn.init.calculate_gain(nonlinearity, slope if nonlinearity == "leaky_relu" else None)
    found = matrices(model)
    for matrix in found:
        count = matrix.fan_in if fan == "fan_in" else matrix.fan_out
        _spread(matrix, gain / math.sqrt(count), distribution, generator)
    return _set_all(model, found)


def orthogonal(model: nn.Module, generator: torch.Generator, *, gain: float = 1.0) -> tuple[str, ...]:
    """Matrices [out, in times kernel] drawn from all with orthonormal rows, or columns where they are taller than
    wide, times `gain`; biases of 0.

    Each takes a QR decomposition, which of a large matrix on a CPU is a matter of seconds, or of a minute for VGG's
    [4096, 25088]; with a generator of a GPU as the seed it is done there.
    """
    _check_positive(gain=gain)
    found = matrices(model)
    for matrix in found:
        matrix.draw(lambda part: nn.init.orthogonal_(part, gain=gain, generator=generator), generator)
    return _set_all(model, found)


def _set_all(model: nn.Module, drawn: list[Matrix]) -> tuple[str, ...]:
    return (*(matrix.name for matrix in drawn), *zero_biases(model, drawn))


def _spread(matrix: Matrix, std: float, distribution: Distribution, generator: torch.Generator) -> None:
    """Draws a matrix around 0 with the standard deviation `std`."""

    def fill(part: Tensor) -> None:
        if distribution == "normal":
            nn.init.normal_(part, std=std, generator=generator)
        else:
            bound = math.sqrt(3) * std
            nn.init.uniform_(part, -bound, bound, generator=generator)

    matrix.draw(fill, generator)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; it must be above 0 and finite.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
