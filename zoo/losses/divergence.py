"""Kullback-Leibler divergence between the class probabilities of a target and of a model.

Source: Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.
Differs from the paper: nothing known.
Shapes: B samples, C classes, * any further dimensions.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.classification import check_classes
from zoo.losses.common import Reduction, precise, reduced, shape_of


def kl_divergence(
    logits: Tensor,
    target: Tensor,
    *,
    target_form: Literal["probabilities", "logits"] = "probabilities",
    direction: Literal["forward", "reverse"] = "forward",
    reduction: Reduction = "mean",
) -> Tensor:
    """Nats lost by taking one distribution for another, summed over the classes, computed in float32 at least.

    logits:      [B, C, *]
    target:      [B, C, *] floating point: probabilities that add up to 1 over C, or logits.
    target_form: which of the two `target` holds.
    direction:   "forward" is KL(target || model) = sum of target log(target / model): the model must cover all of the
                 target. "reverse" is KL(model || target): the model may keep to a part of it; infinite where the target
                 gives probability 0, so rather take logits for it.
    reduction:   "mean" is over B and *, as torch's "batchmean" for [B, C]: no mean over the classes.
    Returns:     [], or [B, *] for "none". The mean over no sample at all is NaN.
    Raises:      ValueError or TypeError if shapes, dtypes or ranges do not fit; the range of `target` is checked on the
                 CPU only.
    """
    if direction not in ("forward", "reverse"):
        raise ValueError(f'direction must be "forward" or "reverse"; got {direction!r}.')
    check_classes(logits)
    check_classes(target, name="Targets")
    if logits.shape != target.shape:
        raise ValueError(f"Logits and target need the same shape; got {shape_of(logits)} and {shape_of(target)}.")
    model = F.log_softmax(logits.to(precise(logits)), dim=1)
    if target_form == "logits":
        other = F.log_softmax(target.to(model.dtype), dim=1)
    elif target_form == "probabilities":
        _check_probabilities(target)
        other = target.to(model.dtype).log()
    else:
        raise ValueError(f'target_form must be "probabilities" or "logits"; got {target_form!r}.')
    true, taken = (other, model) if direction == "forward" else (model, other)
    probs = true.exp()
    # A class of probability 0 adds 0, though its logarithm may be infinite: 0 times that is NaN, in gradients too.
    return reduced((probs * torch.where(probs > 0, true - taken, 0.0)).sum(1), reduction)


def _check_probabilities(target: Tensor) -> None:
    if target.device.type != "cpu" or not target.numel():
        return
    low, total = target.min(), target.float().sum(1)
    if low < 0 or ((total - 1).abs() > 0.02).any():  # bf16 probabilities of many classes add up to 1 no better
        raise ValueError(
            f"Target probabilities must be 0 or above and add up to 1 over the classes; got values from {low.item()} "
            f'and sums from {total.min().item()} to {total.max().item()}. For logits: target_form="logits".'
        )
