"""Focal loss: cross-entropy that counts samples less the surer they are, from raw logits.

Source: Lin et al. 2017, arXiv:1708.02002, equation 5; for several classes the same with the softmax probability of the
true class.
Differs from the paper: means over the samples, where detection divides by the number of matched anchors: for that take
`reduction="sum"`. The paper's alpha of the multi-class form is a weight for each class.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.classification import check_classes, counted_indices, weights_of
from zoo.losses.common import Reduction, check_floating, precise, reduced, yes_or_no


def focal(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    class_weights: Tensor | Sequence[float] | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """-(1 - p)^gamma log p of the true class's softmax probability p, in nats, computed in float32 at least.

    logits:        [B, C, *]
    target:        [B, *] integer class indices.
    gamma:         from 0 up; at 0 this is `cross_entropy`.
    class_weights: C numbers from 0 up; a tensor must lie on the device of `logits`.
    reduction:     "mean" divides by the total weight of the targets that count.
    ignore_index:  class index whose targets count nothing.
    Returns:       [], or [B, *] for "none". The mean over no target at all is NaN.
    Raises:        ValueError or TypeError if shapes, dtypes or ranges do not fit; a class index out of range is an
                   error on the CPU at once.
    """
    _check_gamma(gamma)
    check_classes(logits)
    target, counted = counted_indices(logits, target, ignore_index)
    logits = logits.to(precise(logits))
    logits = logits - logits.detach().amax(1, keepdim=True)  # small numbers keep more digits
    index = target[:, None]  # [B, 1, *]
    total = logits.logsumexp(1)
    log_prob = logits.gather(1, index)[:, 0] - total  # [B, *]
    # log(1 - p) from the other logits: from p itself, its slope would be infinite where p rounds to 1.
    others = logits.scatter(1, index, torch.finfo(logits.dtype).min)
    log_missing = others.logsumexp(1) - total
    weight = counted.to(logits.dtype)
    if class_weights is not None:
        weight = weight * weights_of(class_weights, logits)[target]
    losses = -(gamma * log_missing).exp() * log_prob * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction)


def binary_focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float | None = 0.25, reduction: Reduction = "mean"
) -> Tensor:
    """-(1 - p)^gamma log p of the right answer's logistic probability p, in nats, computed in float32 at least.

    logits:  [*] of any shape, above 0 for yes.
    target:  [*] of the same shape: bool, or integers 0 and 1.
    gamma:   from 0 up; at 0 this is `binary_cross_entropy`, weighted by alpha.
    alpha:   weight in 0..1 of yes, and 1 - alpha of no; None weighs both 1.
    Returns: [], or [*] for "none". The mean over no target at all is NaN.
    Raises:  ValueError or TypeError if shapes, dtypes or ranges do not fit; the range of `target` on the CPU only.
    """
    _check_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a weight in 0..1, or None; got {alpha}.")
    check_floating("Logits", logits)
    yes = yes_or_no(target, logits.shape)
    logits = logits.to(precise(logits))
    margin = torch.where(yes, logits, -logits)
    losses = -(gamma * F.logsigmoid(-margin)).exp() * F.logsigmoid(margin)
    if alpha is not None:
        losses = losses * (yes.to(losses.dtype) * (2 * alpha - 1) + (1 - alpha))
    return reduced(losses, reduction)


def _check_gamma(gamma: float) -> None:
    if not gamma >= 0:
        raise ValueError(f"gamma is {gamma}; it must be 0 or above.")
