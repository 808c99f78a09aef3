"""Losses by name.

A loss is a function `(prediction, target, *, options) -> Tensor`. One file holds one family; `zoo.parts.losses` is the
one list of them. Those of two players against each other have a table of their own: `ADVERSARIAL_LOSSES`.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from zoo.losses.adversarial import (
    ADVERSARIAL_LOSSES,
    AdversarialLoss,
    gradient_penalty,
    make_adversarial_loss,
    r1_penalty,
)
from zoo.losses.classification import binary_cross_entropy, cross_entropy
from zoo.losses.overlap import cross_entropy_dice_loss, dice_loss, tversky_loss
from zoo.losses.regression import huber, mae, mse
from zoo.parts.losses import LOSSES

Loss = Callable[[Tensor, Tensor], Tensor]

__all__ = [
    "ADVERSARIAL_LOSSES",
    "LOSSES",
    "AdversarialLoss",
    "Loss",
    "binary_cross_entropy",
    "cross_entropy",
    "cross_entropy_dice_loss",
    "dice_loss",
    "gradient_penalty",
    "huber",
    "mae",
    "make_adversarial_loss",
    "make_loss",
    "mse",
    "r1_penalty",
    "tversky_loss",
]


def make_loss(name: str, **options: Any) -> Loss:
    """The loss called `name` with its options bound: a function of prediction and target.

    options: keyword-only arguments of the loss, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names.
    """
    return LOSSES.bind(name, **options)
