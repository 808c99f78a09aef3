"""Losses by the overlap of two sets, for segmentation, from raw logits.

Source: soft Dice, Milletari et al. 2016, arXiv:1606.04797, section 3 (with plain sums in the denominator, as
  Drozdzal et al. 2016, arXiv:1608.04117); Tversky, Salehi et al. 2017, arXiv:1706.05721, the
  definition of T(alpha, beta); Dice with cross-entropy, Isensee et al. 2018, arXiv:1809.10486, Training Procedure.
Differs from the paper: counts are summed over the whole batch; classes that the batch does not show are left out of the
  mean, because their overlap is 0 whatever is predicted.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.losses.classification import counted_classes, cross_entropy
from zoo.losses.common import flat, precise

IGNORE_INDEX = 255
"""The class index of targets that count nothing, as Pascal VOC has it."""


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """One less the soft Dice coefficient 2 |P n T| / (|P| + |T|), mean over the classes shown; in 0..1.

    logits:       [B, C, *] for classes that exclude each other, or [B, *] for yes or no.
    target:       [B, *] integer class indices, or bool.
    smooth:       pixels added above and below, against division by zero and for small objects.
    ignore_index: class index whose targets count nothing.
    Returns:      [] in float32 at least; 0 with a gradient of 0 where no class is shown.
    Raises:       ValueError or TypeError if shapes, dtypes or ranges do not fit; an index out of range is an error on
                  the CPU at once.
    """
    return tversky_loss(
        logits, target, false_positives=0.5, false_negatives=0.5, smooth=smooth / 2, ignore_index=ignore_index
    )


def tversky_loss(
    logits: Tensor,
    target: Tensor,
    *,
    false_positives: float = 0.3,
    false_negatives: float = 0.7,
    smooth: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
) -> Tensor:
    """One less TP / (TP + a FP + b FN) of soft counts, mean over the classes shown; in 0..1.

    false_positives: a, what a pixel counts that is wrongly given to a class; false_negatives: b, what one counts that
                     is missed. 0.5 and 0.5 make Dice, 1 and 1 the Jaccard index.
    Other arguments as for `dice_loss`.
    """
    if min(false_positives, false_negatives, smooth) < 0:
        raise ValueError(
            f"false_positives, false_negatives and smooth must not be negative; got {false_positives}, "
            f"{false_negatives} and {smooth}."
        )
    probs, onehot = _memberships(logits, target, ignore_index)  # [B, C, N] both
    shared = (probs * onehot).sum((0, 2))  # [C]
    predicted, true = probs.sum((0, 2)), onehot.sum((0, 2))
    below = shared + false_positives * (predicted - shared) + false_negatives * (true - shared) + smooth
    overlap = (shared + smooth) / below.clamp_min(torch.finfo(below.dtype).tiny)
    shown = (true > 0).to(overlap.dtype)
    return ((1 - overlap) * shown).sum() / shown.sum().clamp_min(1)


def cross_entropy_dice_loss(
    logits: Tensor,
    target: Tensor,
    *,
    dice_weight: float = 1.0,
    class_weights: Tensor | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    smooth: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
) -> Tensor:
    """Cross-entropy, which counts pixels, plus `dice_weight` times the Dice loss, which counts classes alike.

    logits: [B, C, *]; target: [B, *]. `class_weights` and `label_smoothing` are for the cross-entropy.
    """
    pixels = cross_entropy(
        logits, target, class_weights=class_weights, label_smoothing=label_smoothing, ignore_index=ignore_index
    )
    return pixels + dice_weight * dice_loss(logits, target, smooth=smooth, ignore_index=ignore_index)


def _memberships(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """What the model and the target say of each pixel and class, both [B, C, N], 0 where the target is ignored."""
    if not logits.is_floating_point():
        raise TypeError(f"Logits must be floating point; got {logits.dtype}.")
    if target.is_floating_point():
        raise TypeError(f"Targets must be class indices; got {target.dtype}. Use target.long().")
    binary = logits.shape == target.shape
    if not binary and (logits.ndim < 2 or logits.shape[:1] + logits.shape[2:] != target.shape):
        raise ValueError(
            f"Logits [B, C, *] need targets [B, *], or logits [B, *] targets of their own shape; got "
            f"{list(logits.shape)} and {list(target.shape)}."
        )
    if not binary and logits.shape[1] == 1:
        raise ValueError("Logits of one column would be sure of class 0 everywhere. For yes or no: logits.squeeze(1).")
    dtype = precise(logits)
    logits = logits.to(dtype)
    target, counted = counted_classes(target, 2 if binary else logits.shape[1], ignore_index)
    if binary:
        probs = flat(logits.sigmoid(), 1)[:, None]
        onehot = flat((target == 1).to(dtype), 1)[:, None]
    else:
        probs = flat(logits.softmax(1), 2)
        onehot = torch.zeros_like(probs).scatter_(1, flat(target, 1)[:, None], 1.0)
    weight = flat(counted.to(dtype), 1)[:, None]
    return probs * weight, onehot * weight
