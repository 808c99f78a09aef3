"""Cross-entropy for classes of unequal size, with weights of the user's own or from the counts of the training rows.

Source: weighted likelihood, King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868; the effective number of
samples, Cui et al. 2019, arXiv:1901.05555, proposition 1.
Differs from the paper: the mean divides by the total weight of the samples, as `cross_entropy` does, not by their
number; a class without samples is refused, for its weight would be infinite.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image.
"""

import functools
from collections.abc import Sequence

from torch import Tensor

from zoo.losses.classification import cross_entropy
from zoo.losses.common import Reduction


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    class_weights: Tensor | Sequence[float],
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Softmax cross-entropy in nats, each sample times its class's weight: `cross_entropy` that insists on weights.

    Arguments, result and errors as there.
    """
    return cross_entropy(
        logits,
        target,
        class_weights=class_weights,
        label_smoothing=label_smoothing,
        reduction=reduction,
        ignore_index=ignore_index,
    )


def class_balanced_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: Sequence[int],
    beta: float = 0.999,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Softmax cross-entropy in nats with the weights of `effective_number_weights`.

    class_counts: training samples of each class, C integers from 1 up.
    beta:         0..1, below 1: 0 weighs all classes alike, values near 1 by the inverse of their counts.
    Other arguments, result and errors as for `cross_entropy`.
    """
    return cross_entropy(
        logits,
        target,
        class_weights=_kept_weights(tuple(class_counts), beta),
        label_smoothing=label_smoothing,
        reduction=reduction,
        ignore_index=ignore_index,
    )


def effective_number_weights(class_counts: Sequence[int], *, beta: float = 0.999) -> list[float]:
    """Weights of C classes, inverse to (1 - beta^n) / (1 - beta), the effective number of n samples that overlap.

    Arguments as for `class_balanced_cross_entropy`.
    Returns: C numbers above 0 that add up to C.
    Raises:  ValueError for no class, a class without samples, or a beta outside [0, 1).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1); got {beta}. For weights inverse to the counts take 0.999999.")
    empty = [index for index, count in enumerate(class_counts) if not count >= 1]
    if empty or not len(class_counts):
        raise ValueError(
            f"Every class needs 1 sample or more; got {list(class_counts)}. "
            "Leave classes without samples out, or count them as 1."
        )
    inverse = [1 / (1 - beta**count) for count in class_counts]
    return [len(inverse) * weight / sum(inverse) for weight in inverse]


@functools.lru_cache(maxsize=16)
def _kept_weights(class_counts: tuple[int, ...], beta: float) -> tuple[float, ...]:
    return tuple(effective_number_weights(class_counts, beta=beta))
