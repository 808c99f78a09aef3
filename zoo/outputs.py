"""What a network returns when a plain tensor of logits is not enough."""

from typing import NamedTuple

from torch import Tensor


class AuxiliaryLogits(NamedTuple):
    """Logits in training of a network with side classifiers.

    logits:    [B, num_classes] of the main head.
    auxiliary: [B, num_classes] of each side head.
    weight:    what the loss of each side head counts, beside 1 for the main head's.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float
