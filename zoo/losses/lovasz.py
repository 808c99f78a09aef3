"""Lovász losses: the intersection over union of predicted and true regions, extended to what a model is unsure of.

Source: Berman et al. 2018, arXiv:1705.08790, algorithm 1; the hinge form also Yu and Blaschko 2015, arXiv:1512.07797.
Differs from the paper: algorithm 1's differences of Jaccard indices are taken in closed form from whole counts, since
float32 loses them among a million pixels. Classes that are not shown are left out by default, as in `dice_loss`.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image; P pixels.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.classification import check_classes, counted_classes, counted_indices
from zoo.losses.common import check_floating, flat, precise, shape_of
from zoo.losses.overlap import IGNORE_INDEX

Over = Literal["batch", "image"]


def lovasz_softmax(
    logits: Tensor,
    target: Tensor,
    *,
    classes: Literal["shown", "all"] = "shown",
    over: Over = "batch",
    ignore_index: int = IGNORE_INDEX,
) -> Tensor:
    """The Lovász extension of 1 - IoU at the softmax errors, mean over classes; in 0..1.

    logits:       [B, C, *]
    target:       [B, *] integer class indices.
    classes:      "shown" has the mean over classes that occur in the target, "all" over all of them.
    over:         "batch" has one region of each class in the whole batch, "image" one in each sample, and their mean.
    ignore_index: class index whose targets count nothing.
    Returns:      [] in float32 at least; 0 with a gradient of 0 where nothing counts.
    Raises:       ValueError or TypeError if shapes, dtypes or ranges do not fit; a class index out of range is an error
                  on the CPU at once.
    """
    if classes not in ("shown", "all"):
        raise ValueError(f'classes must be "shown" or "all"; got {classes!r}.')
    check_classes(logits)
    target, counted = counted_indices(logits, target, ignore_index)
    num_classes = logits.shape[1]
    probs = flat(logits.to(precise(logits)).softmax(1), 2)  # [B, C, P]
    counted = flat(counted, 1)[:, None]
    numbers = torch.arange(num_classes, device=logits.device)[:, None]
    true = (flat(target, 1)[:, None] == numbers) & counted
    errors = torch.where(true, 1 - probs, probs)
    errors, true, counted = (_regions(part, over) for part in (errors, true, counted))  # [R, C, P]
    losses = _lovasz(errors, true, counted.expand_as(true))  # [R, C]
    of_class = true.any(-1) if classes == "shown" else counted.any(-1).expand_as(losses)
    return _mean(losses, of_class)


def lovasz_hinge(logits: Tensor, target: Tensor, *, over: Over = "batch", ignore_index: int = IGNORE_INDEX) -> Tensor:
    """The Lovász extension of 1 - IoU of the region of yes, at the hinge errors; from 0 up.

    logits: [B, *] of yes or no, above 0 for yes.
    target: [B, *] bool, or integers 0 and 1.
    Other arguments, result and errors as for `lovasz_softmax`. Where nothing is yes, the worst error counts alone.
    """
    check_floating("Logits", logits)
    if logits.shape != target.shape or not logits.ndim:
        raise ValueError(
            f"Logits and target need one shape [B, *]; got {shape_of(logits)} and {shape_of(target)}. "
            "For logits of one column use logits.squeeze(1), for several classes lovasz_softmax."
        )
    if target.is_floating_point():
        raise TypeError(f"Targets must be bool or integers 0 and 1; got {target.dtype}. Use target > 0.")
    index, counted = counted_classes(target, 2, ignore_index)
    true = (index == 1) & counted
    logits = logits.to(precise(logits))
    errors = 1 - torch.where(true, logits, -logits)
    errors, true, counted = (_regions(flat(part, 1)[:, None], over) for part in (errors, true, counted))  # [R, 1, P]
    return _mean(_lovasz(errors, true, counted), counted.any(-1))


def _regions(values: Tensor, over: Over) -> Tensor:
    """[B, C, P] to what has regions of its own: [B, C, P], or [1, C, B P]."""
    if over == "image":
        return values
    if over == "batch":
        return values.movedim(1, 0).flatten(1)[None]
    raise ValueError(f'over must be "batch" or "image"; got {over!r}.')


def _lovasz(errors: Tensor, true: Tensor, counted: Tensor) -> Tensor:
    """Sum of the errors [..., P] above 0, from the largest down, times what each adds to 1 - IoU; [...]."""
    # Pixels that do not count come last, behind all whose error is 0, and add nothing.
    order = errors.detach().masked_fill(~counted, -torch.inf).argsort(-1, descending=True)
    errors = F.relu(errors.masked_fill(~counted, 0.0)).gather(-1, order)
    missed = true.gather(-1, order)
    num_true = true.sum(-1, keepdim=True)
    union = num_true + (~missed).cumsum(-1)  # after each pixel
    shared = num_true - missed.cumsum(-1)
    # A true pixel takes 1 off the intersection, another adds 1 to the union.
    union, shared = union.to(errors.dtype), shared.to(errors.dtype)
    added = torch.where(missed, 1 / union, shared / (union * (union - 1)).clamp_min(1))
    first = torch.arange(errors.shape[-1], device=errors.device) == 0
    added = torch.where((num_true == 0) & first, 1.0, added)  # no true pixel: one error makes the IoU 0
    return (errors * added).sum(-1)


def _mean(losses: Tensor, counted: Tensor) -> Tensor:
    """Mean over the regions with something to count of the mean over their classes that count, [R, C] to []."""
    of_region = (losses * counted).sum(1) / counted.sum(1).clamp_min(1)
    return of_region.sum() / counted.any(1).sum().clamp_min(1)
