"""The weight matrices of a model that an initialisation draws, with how many values go into and out of each unit.

Source: fans as in Glorot and Bengio 2010 (AISTATS), section 4.2; of convolutions as in He et al. 2015,
  arXiv:1502.01852, section 2.2.
Differs from the papers: the inputs of a transposed convolution are counted as each output pixel sees them on average,
  by dividing through the strides; each group of a convolution and each gate of a recurrent layer is a matrix by itself.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

CONVOLUTION = nn.modules.conv._ConvNd
TRANSPOSED = nn.modules.conv._ConvTransposeNd
LAYERS = (nn.Linear, CONVOLUTION)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
GATES = {nn.LSTM: 4, nn.LSTMCell: 4, nn.GRU: 3, nn.GRUCell: 3}  # one for other recurrent layers


@dataclass(frozen=True)
class Matrix:
    """One weight tensor, which is `num_parts` matrices under each other.

    name:    of the parameter in the model.
    owner:   the module that holds it as `attribute`.
    fan_in:  values that go into a unit of a part; fan_out: units that a value goes into.
    """

    name: str
    owner: nn.Module
    attribute: str
    num_parts: int
    fan_in: float
    fan_out: float

    @property
    def value(self) -> Tensor:
        """The tensor as the layer uses it."""
        value: Tensor = getattr(self.owner, self.attribute)
        return value

    @torch.no_grad()
    def set(self, value: Tensor) -> None:
        """Lets the layer use `value`; of a parametrized weight, such as a spectral norm's, that is its original."""
        if is_parametrized(self.owner, self.attribute):
            setattr(self.owner, self.attribute, value.to(self.value))
        else:
            self.value.copy_(value)

    def draw(self, fill: Callable[[Tensor], object], generator: torch.Generator) -> None:
        """Lets `fill` write each part, in float32 on the generator's device, and sets the weight."""
        value = torch.empty(self.value.shape, device=generator.device)
        for part in value.chunk(self.num_parts):
            fill(part)
        self.set(value)


def matrices(model: nn.Module) -> list[Matrix]:
    """Every weight matrix of `model` to draw, once each, in the order of definition.

    Left out are matrices that an embedding holds too, and those that do not train.
    Raises: ValueError if there is none.
    """
    taken = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding | nn.EmbeddingBag)}
    found: list[Matrix] = []
    for path, module in model.named_modules():
        for matrix in _matrices_of(module, f"{path}." if path else ""):
            stored = _stored(matrix)
            if id(stored) not in taken and stored.requires_grad:
                taken.add(id(stored))
                found.append(matrix)
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no weight to draw: no linear layer, convolution, recurrent layer or "
            "multi-head attention that trains. Embeddings and norms keep their own start."
        )
    return found


def zero_biases(model: nn.Module, drawn: list[Matrix]) -> tuple[str, ...]:
    """Sets the biases of the layers of the `drawn` matrices to 0; the names of these biases."""
    owners = {id(matrix.owner) for matrix in drawn}
    names: list[str] = []
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False) if id(module) in owners else ():
            if "bias" in name and parameter.requires_grad:
                nn.init.zeros_(parameter)
                names.append(f"{path}.{name}" if path else name)
    return tuple(names)


def _stored(matrix: Matrix) -> Tensor:
    """The parameter behind the weight, which of a parametrized one is computed anew at each look."""
    if is_parametrized(matrix.owner, matrix.attribute):
        return next(matrix.owner.parametrizations[matrix.attribute].parameters())  # type: ignore[index,union-attr]
    return matrix.value


def _matrices_of(module: nn.Module, prefix: str) -> Iterator[Matrix]:
    if isinstance(module, LAYERS):
        fan_in, fan_out, groups = _fans(module)
        yield Matrix(_name(module, prefix), module, "weight", groups, fan_in, fan_out)
    elif isinstance(module, RECURRENT):
        gates = next((gates for kind, gates in GATES.items() if isinstance(module, kind)), 1)
        for name, weight in module.named_parameters(recurse=False):
            if name.startswith("weight"):
                parts = 1 if name.startswith("weight_hr") else gates  # the projection of an LSTM has no gates
                yield Matrix(prefix + name, module, name, parts, weight.shape[1], weight.shape[0] / parts)
    elif isinstance(module, nn.MultiheadAttention):
        for name, weight in module.named_parameters(recurse=False):
            if name.endswith("proj_weight"):
                parts = 3 if name == "in_proj_weight" else 1
                yield Matrix(prefix + name, module, name, parts, weight.shape[1], weight.shape[0] / parts)


def _name(module: nn.Module, prefix: str) -> str:
    return f"{prefix}parametrizations.weight.original" if is_parametrized(module, "weight") else f"{prefix}weight"


def _fans(module: nn.Module) -> tuple[float, float, int]:
    """Values into a unit, units a value goes into, and groups, of a linear layer or convolution."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features, 1
    assert isinstance(module, CONVOLUTION)
    kernel = math.prod(module.kernel_size)
    fan_in = module.in_channels / module.groups * kernel
    if isinstance(module, TRANSPOSED):
        fan_in /= math.prod(module.stride)
    return fan_in, module.out_channels / module.groups * kernel, module.groups
