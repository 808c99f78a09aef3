"""Connectionist temporal classification: labels of a sequence that are not aligned with its steps.

Source: Graves et al. 2006, doi:10.1145/1143844.1143891, section 4.
Differs from the paper: the mean divides each sequence's loss by its number of labels, as torch does; logits in place of
probabilities.
Shapes: B sequences, T steps, C labels with the blank, S labels of the longest target.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import Reduction, check_floating, precise, shape_of


def ctc(
    logits: Tensor,
    target: Tensor,
    num_steps: Tensor,
    num_labels: Tensor,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Minus the log probability in nats of all paths that read as the target, computed in float32 at least.

    A path names a label or the blank at each step; repeated labels read as one, blanks as nothing.
    logits:        [B, T, C]
    target:        [B, S] integer labels, none of them `blank`; what lies beyond a target's length is not read.
    num_steps:     [B] integers, how many steps of each row are there, up to T.
    num_labels:    [B] integers, how many labels of each row are there, up to S.
    blank:         number of the label that reads as nothing.
    zero_infinity: a target that cannot be read from so few steps has a loss and gradient of 0, not infinity.
    reduction:     "mean" divides each sequence's loss by its number of labels, 1 at least, then has the mean over B.
    Returns:       [], or [B] for "none". The mean over no sequence at all is NaN.
    Raises:        ValueError or TypeError if shapes or dtypes do not fit; lengths and labels out of range are errors on
                   the CPU only.
    """
    _check_shapes(logits, target, num_steps, num_labels, blank)
    if not len(logits):
        empty = logits.sum((1, 2)).to(precise(logits))
        return empty if reduction == "none" else empty.sum() if reduction == "sum" else empty.mean()
    if logits.device.type == target.device.type == "cpu":
        _check_ranges(logits, target, num_steps.cpu(), num_labels.cpu(), blank)
    log_probs = F.log_softmax(logits.to(precise(logits)), dim=2).transpose(0, 1)  # [T, B, C]
    return F.ctc_loss(
        log_probs,
        target.long(),
        num_steps.long(),
        num_labels.long(),
        blank=blank,
        reduction=reduction,
        zero_infinity=zero_infinity,
    )


def _check_shapes(logits: Tensor, target: Tensor, num_steps: Tensor, num_labels: Tensor, blank: int) -> None:
    check_floating("Logits", logits)
    if logits.ndim != 3 or target.ndim != 2 or len(target) != len(logits):
        raise ValueError(
            f"Logits [B, T, C] and targets [B, S] are needed; got {shape_of(logits)} and {shape_of(target)}. "
            "Steps come second: logits.transpose(0, 1) of what torch's ctc_loss takes."
        )
    for name, lengths in (("num_steps", num_steps), ("num_labels", num_labels), ("target", target)):
        if lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise TypeError(f"{name} must be integers; got {lengths.dtype}.")
        if name != "target" and lengths.shape != logits.shape[:1]:
            raise ValueError(f"{name} must be [B], {len(logits)} integers; got {shape_of(lengths)}.")
    if not 0 <= blank < logits.shape[2]:
        raise ValueError(f"blank must be one of the {logits.shape[2]} labels, 0..{logits.shape[2] - 1}; got {blank}.")


def _check_ranges(logits: Tensor, target: Tensor, num_steps: Tensor, num_labels: Tensor, blank: int) -> None:
    """Torch reads beyond its memory, or takes a blank for a label, without a word."""
    for name, lengths, most, least in (
        ("num_steps", num_steps, logits.shape[1], 1),
        ("num_labels", num_labels, target.shape[1], 0),
    ):
        if (lengths < least).any() or (lengths > most).any():
            raise ValueError(f"{name} must lie in {least}..{most}; got {lengths.tolist()}.")
    read = torch.arange(target.shape[1]) < num_labels[:, None]
    wrong = read & ((target < 0) | (target >= logits.shape[2]) | (target == blank))
    if wrong.any():
        raise ValueError(
            f"Labels must lie in 0..{logits.shape[2] - 1} without the blank, {blank}; got {target[wrong][:5].tolist()}."
        )
