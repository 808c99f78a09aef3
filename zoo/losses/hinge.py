"""Losses of margins: nothing to pay for an answer that is right by enough.

Source: Cortes and Vapnik 1995, doi:10.1007/BF00994018; for several classes Crammer and Singer 2001, Journal of Machine
Learning Research 2, and Weston and Watkins 1999 (ESANN); of distances torch.nn.HingeEmbeddingLoss, the form of Hadsell
et al. 2006, doi:10.1109/CVPR.2006.100, that is linear in the distance.
Differs from the paper: means over the samples, without the penalty on the weights, which is the optimizer's decay; the
margin of Weston and Watkins is 1 by default as in the others, theirs is 2. Targets are 1 and 0, not 1 and -1.
Shapes: B samples, C classes, * any further dimensions.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.classification import check_classes, counted_indices
from zoo.losses.common import Reduction, check_floating, precise, reduced, yes_or_no


def hinge(
    scores: Tensor, target: Tensor, *, margin: float = 1.0, power: Literal[1, 2] = 1, reduction: Reduction = "mean"
) -> Tensor:
    """How far each score falls short of `margin` on its side of 0, computed in float32 at least.

    scores:  [*] of any shape, above 0 for yes.
    target:  [*] of the same shape: bool, or integers 0 and 1.
    power:   2 squares the shortfall.
    Returns: [], or [*] for "none". The mean over no target at all is NaN.
    Raises:  ValueError or TypeError if shapes, dtypes or ranges do not fit; the range of `target` on the CPU only.
    """
    _check_margin(margin)
    check_floating("Scores", scores)
    yes = yes_or_no(target, scores.shape)
    scores = scores.to(precise(scores))
    return reduced(_powered(F.relu(margin - torch.where(yes, scores, -scores)), power), reduction)


def multi_class_hinge(
    scores: Tensor,
    target: Tensor,
    *,
    form: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
    margin: float = 1.0,
    power: Literal[1, 2] = 1,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """How far the true class's score falls short of `margin` above the others', computed in float32 at least.

    scores:       [B, C, *]
    target:       [B, *] integer class indices.
    form:         "crammer_singer" counts the highest of the other classes, "weston_watkins" adds up all of them.
    power:        2 squares each shortfall.
    ignore_index: class index whose targets count nothing.
    Returns:      [], or [B, *] for "none". The mean over no target at all is NaN.
    Raises:       ValueError or TypeError if shapes, dtypes or ranges do not fit; a class index out of range is an error
                  on the CPU at once.
    """
    _check_margin(margin)
    check_classes(scores, name="Scores")
    if form not in ("crammer_singer", "weston_watkins"):
        raise ValueError(f'form must be "crammer_singer" or "weston_watkins"; got {form!r}.')
    target, counted = counted_indices(scores, target, ignore_index)
    scores = scores.to(precise(scores))
    index = target[:, None]  # [B, 1, *]
    short = _powered(F.relu(margin + scores - scores.gather(1, index)), power).scatter(1, index, 0.0)  # [B, C, *]
    losses = (short.amax(1) if form == "crammer_singer" else short.sum(1)) * counted
    return losses.sum() / counted.sum() if reduction == "mean" else reduced(losses, reduction)


def hinge_embedding(distances: Tensor, target: Tensor, *, margin: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """The distance itself where two things are alike, else how far it falls short of `margin`; in float32 at least.

    distances: [*] from 0 up, of pairs.
    target:    [*] of the same shape: bool, or integers, 1 for alike and 0 for unlike (torch has -1 there).
    margin:    above 0, in the unit of `distances`.
    Returns:   [], or [*] for "none". The mean over no pair at all is NaN.
    Raises:    ValueError or TypeError if shapes, dtypes or ranges do not fit; the range of `target` is checked on the
               CPU.
    """
    _check_margin(margin)
    check_floating("Distances", distances)
    alike = yes_or_no(target, distances.shape)
    distances = distances.to(precise(distances))
    return reduced(torch.where(alike, distances, F.relu(margin - distances)), reduction)


def _powered(short: Tensor, power: int) -> Tensor:
    if power not in (1, 2):
        raise ValueError(f"power must be 1 or 2; got {power}.")
    return short if power == 1 else short.square()


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"margin is {margin}; it must be above 0.")
