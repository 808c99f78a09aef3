"""Losses of boxes by corners: distances of coordinates, and of their overlap.

Source: "smooth_l1", Girshick 2015, arXiv:1504.08083, equation 3; "iou" and "giou", Rezatofighi et al. 2019,
arXiv:1902.09630, algorithm 2; "diou" and "ciou", Zheng et al. 2020, arXiv:1911.08287, the sections on the two losses.
Differs from the paper: a predicted box whose corners are exchanged has no area; sizes of 0 give finite losses and
gradients. As in the authors' code, no gradient goes through the weight alpha of CIoU.
Shapes: N boxes, [x1, y1, x2, y2] each.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import Reduction, check_floating, precise, reduced, shape_of

EPSILON = 1e-7  # as torchvision: added to areas and lengths that are divided by


def smooth_l1(prediction: Tensor, target: Tensor, *, beta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Half the squared error over `beta` up to that size, beyond it the absolute error less half of `beta`.

    prediction, target: [N, 4] corners, or the offsets that a network gives.
    beta:               above 0, in the unit of the target. This is Huber's loss over its delta.
    Returns:            [], or [N, 4] for "none", in float32 at least. The mean over no box at all is 0: images without
                        things are no mistake.
    Raises:             ValueError or TypeError if shapes or dtypes do not fit.
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta}; it must be above 0, in the target's unit. For 0 use mae.")
    prediction, target = _boxes(prediction, target)
    return _reduced(F.smooth_l1_loss(prediction, target, beta=beta, reduction="none"), reduction)


def iou_loss(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """1 less the intersection over union, 0..1; flat for boxes that do not meet.

    prediction, target: [N, 4] corners x1, y1, x2, y2 in one unit, with x1 <= x2 and y1 <= y2.
    Returns:            [], or [N] for "none", in float32 at least. The mean over no box at all is 0.
    Raises:             ValueError or TypeError if shapes or dtypes do not fit, and on the CPU for target boxes whose
                        corners are exchanged.
    """
    return _reduced(1 - _overlap(prediction, target).iou, reduction)


def giou_loss(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """1 less the generalised IoU, 0..2: also counts the share of the hull that neither box covers.

    Arguments, result and errors as for `iou_loss`.
    """
    pair = _overlap(prediction, target)
    hull = pair.hull.prod(1)
    return _reduced(1 - pair.iou + (hull - pair.union) / (hull + EPSILON), reduction)


def diou_loss(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """1 less the IoU, plus the squared distance of the centres over that of the hull's corners; 0..2.

    Arguments, result and errors as for `iou_loss`.
    """
    pair = _overlap(prediction, target)
    return _reduced(1 - pair.iou + pair.apart, reduction)


def ciou_loss(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """`diou_loss` plus a weighted difference of the boxes' proportions.

    Arguments, result and errors as for `iou_loss`.
    """
    pair = _overlap(prediction, target)
    # The angle of the diagonal by atan2: a height of 0 is no division.
    found, wanted = (torch.atan2(size[:, 0], size[:, 1] + EPSILON) for size in (pair.size, pair.target_size))
    shape = 4 / math.pi**2 * (wanted - found).square()
    with torch.no_grad():
        alpha = shape / (1 - pair.iou + shape + EPSILON)
    return _reduced(1 - pair.iou + pair.apart + alpha * shape, reduction)


class _Overlap(NamedTuple):
    """What the losses are made of, one row for each pair of boxes.

    iou, union:        [N]
    hull:              [N, 2] width and height of the smallest box around both.
    apart:             [N] squared distance of the centres over the squared diagonal of the hull.
    size, target_size: [N, 2] width and height.
    """

    iou: Tensor
    union: Tensor
    hull: Tensor
    apart: Tensor
    size: Tensor
    target_size: Tensor


def _overlap(prediction: Tensor, target: Tensor) -> _Overlap:
    prediction, target = _boxes(prediction, target)
    if target.device.type == "cpu" and (target[:, 2:] < target[:, :2]).any():
        raise ValueError("Target boxes must be [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2. From centres or sizes: "
                         "torchvision.ops.box_convert.")  # fmt: skip
    size, target_size = (F.relu(boxes[:, 2:] - boxes[:, :2]) for boxes in (prediction, target))
    low, high = prediction[:, :2], prediction[:, 2:]
    common = F.relu(torch.minimum(high, target[:, 2:]) - torch.maximum(low, target[:, :2])).prod(1)
    union = size.prod(1) + target_size.prod(1) - common
    corners = torch.stack([low, high, target[:, :2], target[:, 2:]])
    hull = corners.amax(0) - corners.amin(0)
    centres = (low + high - target[:, :2] - target[:, 2:]) / 2
    apart = centres.square().sum(1) / (hull.square().sum(1) + EPSILON)
    return _Overlap(common / (union + EPSILON), union, hull, apart, size, target_size)


def _boxes(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    check_floating("Predicted boxes", prediction)
    if prediction.shape != target.shape or prediction.ndim != 2 or prediction.shape[1] != 4:
        raise ValueError(
            f"Boxes must be [N, 4], each prediction beside its target; got {shape_of(prediction)} and "
            f"{shape_of(target)}."
        )
    return prediction.to(precise(prediction)), target.to(precise(prediction))


def _reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "mean" and not losses.numel():
        return losses.sum()  # 0, with the graph
    return reduced(losses, reduction)
