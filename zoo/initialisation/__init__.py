"""The start of a model's weights, by name."""

from typing import Any

import torch
from torch import nn

from zoo.parts.initialisations import INITIALISATIONS

__all__ = ["INITIALISATIONS", "initialise", "needs_batch"]


def initialise(model: nn.Module, name: str, *, seed: int | torch.Generator = 0, **options: Any) -> tuple[str, ...]:
    """Lets the weights of `model` start anew, in place, by the initialisation called `name`.

    "normal", "xavier", "kaiming", "orthogonal" and "lsuv" draw the weights of linear layers, convolutions, recurrent
    layers and torch's multi-head attention, and set the biases of these layers to 0. "zero_gamma" sets scales of norms
    to 0 and draws nothing. All else stays: norms, embeddings and what shares their matrix, parameters that a module of
    another kind holds (class tokens, position tables), and what does not train.

    seed:    a number, which makes it the same each time on every device, or a generator to go on drawing from. The
             global generators are left as they are.
    options: of the initialisation, checked by name; "lsuv" needs a `batch`.
    Returns: names of the parameters that were set, as `model.named_parameters` has them.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for values, and for
             a model that has nothing of the kind.
    """
    build = INITIALISATIONS.check(name, options)
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    names: tuple[str, ...] = build(model, generator, **options)
    return names


def needs_batch(name: str) -> bool:
    """Whether the initialisation `name` looks at data, and takes them as `batch`. Raises: UnknownNameError."""
    INITIALISATIONS.check(name)
    return "batch" in INITIALISATIONS.option_names(name)
