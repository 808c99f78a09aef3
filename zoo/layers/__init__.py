"""Building blocks that models of several papers share, had by name through one factory for each kind."""

from typing import Any

from torch import nn

from zoo.parts.activations import ACTIVATIONS
from zoo.parts.layers import LAYERS
from zoo.parts.normalisations import NORMALISATIONS

__all__ = ["ACTIVATIONS", "LAYERS", "NORMALISATIONS", "make_activation", "make_layer", "make_normalisation"]


def make_activation(name: str, **options: Any) -> nn.Module:
    """The activation called `name`: "relu", "gelu", "softmax" with its `dim` and so on.

    options: of the activation, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for values.
    """
    module: nn.Module = ACTIVATIONS.make(name, **options)
    return module


def make_normalisation(name: str, channels: int, **options: Any) -> nn.Module:
    """The normalisation called `name` of `channels`: "batch", "layer", "instance", "group", "rms" or "none".

    options: of the normalisation, checked by name. Raises: as `make_activation`.
    """
    module: nn.Module = NORMALISATIONS.make(name, channels, **options)
    return module


def make_layer(name: str, **options: Any) -> nn.Module:
    """The layer called `name`: "drop_path", "multi_head_attention" and so on.

    options: of the layer, checked by name. Raises: as `make_activation`.
    """
    module: nn.Module = LAYERS.make(name, **options)
    return module
