"""Losses by name.

A loss is a function `(prediction, target, *, options) -> Tensor`. One file holds one family; the table below is the
one list of them.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from zoo.errors import check_name
from zoo.lookup import check_arguments
from zoo.losses.classification import binary_cross_entropy, cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "binary_cross_entropy": binary_cross_entropy,
        "cross_entropy": cross_entropy,
    }
)

__all__ = ["LOSSES", "Loss", "binary_cross_entropy", "cross_entropy", "make_loss"]


def make_loss(name: str, **options: Any) -> Loss:
    """The loss called `name` with its options bound: a function of prediction and target.

    options: keyword-only arguments of the loss, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names.
    """
    check_name("loss", name, LOSSES)
    # Binding the two tensors leaves the keyword-only arguments, which alone are options.
    check_arguments(f"Loss {name!r}", functools.partial(LOSSES[name], None, None), options)
    return functools.partial(LOSSES[name], **options)
