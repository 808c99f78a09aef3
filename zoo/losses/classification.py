"""Losses of classifiers, from raw logits.

Source: the negative log-likelihood of a softmax or logistic model (Bishop 2006, Pattern Recognition and Machine
Learning, sections 4.3.2 and 4.3.4), which is likelihood maximised as in Fisher 1922, doi:10.1098/rsta.1922.0009; label
smoothing from Szegedy et al. 2016, arXiv:1512.00567, section 7.
Differs from the paper: nothing known.
Shapes: B samples, C classes, * any further dimensions, such as H, W of an image.
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import Reduction, check_floating, precise, shape_of

IGNORED = -100  # what torch leaves out
LARGEST_LOG_PROB = 0.01  # above 0 by the rounding of bf16


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    class_weights: Tensor | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Softmax cross-entropy in nats, computed in float32 at least.

    logits:          [B, C, *]
    target:          [B, *] integer class indices, or [B, C, *] floating-point probabilities.
    class_weights:   C numbers from 0 up; a tensor must lie on the device of `logits`.
    label_smoothing: probability in [0, 1] taken from the target and spread evenly over all C classes.
    reduction:       "mean" divides by the total weight of the targets that count, for probabilities by their number.
    ignore_index:    class index whose targets count nothing; without effect on probabilities.
    Returns:         [], or [B, *] for "none". The mean over no target at all is NaN.
    Raises:          ValueError or TypeError if shapes, dtypes or ranges do not fit; a class index out of range is
                     an error on the CPU at once, on other devices when they report it.
    """
    check_classes(logits)
    _check_smoothing(label_smoothing)
    num_classes = logits.shape[1]
    if target.is_floating_point():
        if target.shape != logits.shape:
            raise ValueError(
                f"Floating-point targets are class probabilities and need the shape of the logits, "
                f"{shape_of(logits)}; got {shape_of(target)}. Class indices must be integers: target.long()."
            )
        target = target.to(precise(logits))
    else:
        check_indices(logits, target)
        target = target.long()
    weight = None if class_weights is None else weights_of(class_weights, logits)
    try:
        return F.cross_entropy(
            logits.to(precise(logits)),
            target,
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    except IndexError as error:  # torch checks indices on the CPU only, where it costs nothing
        raise ValueError(
            f"A class index lies outside 0..{num_classes - 1} and is not ignore_index={ignore_index}: {error}"
        ) from error


def binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    positive_weight: float | Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Logistic cross-entropy in nats of independent yes-or-no answers, computed in float32 at least.

    logits:          [*] of any shape, above 0 for yes.
    target:          [*] of the same shape: bool, integers 0 and 1, or probabilities of yes.
    positive_weight: factor on the loss of the positive part of each target, such as negatives / positives in the
                     data; a tensor is broadcast over `logits` and must lie on their device.
    label_smoothing: probability in [0, 1] taken from the target and spread evenly over yes and no.
    Returns:         [], or [*] for "none". The mean over no target at all is NaN.
    Raises:          ValueError or TypeError if shapes, dtypes or ranges do not fit; the range of `target` is
                     checked on the CPU only, since other devices would have to wait for it.
    """
    check_floating("Logits", logits)
    _check_smoothing(label_smoothing)
    if target.shape != logits.shape:
        raise ValueError(
            f"Logits and target need the same shape; got {shape_of(logits)} and {shape_of(target)}. "
            "For logits of one column use logits.squeeze(1)."
        )
    if target.device.type == "cpu" and target.dtype != torch.bool and target.numel():
        low, high = target.aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"Targets must lie in 0..1; got values from {low.item()} to {high.item()}.")
    dtype = precise(logits)
    target = target.to(dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / 2
    weight = None
    if isinstance(positive_weight, Tensor):
        _check_device("positive_weight", positive_weight, logits)
        weight = positive_weight.to(dtype)
    elif positive_weight is not None:
        weight = _constant((positive_weight,), logits.device, dtype)
    return F.binary_cross_entropy_with_logits(logits.to(dtype), target, pos_weight=weight, reduction=reduction)


def nll(
    log_probs: Tensor,
    target: Tensor,
    *,
    class_weights: Tensor | Sequence[float] | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Negative log-likelihood in nats of models that give logarithms of probabilities, computed in float32 at least.

    log_probs: [B, C, *] from 0 down, as log_softmax gives them: for logits take `cross_entropy`, since nothing here
               makes their exponentials add up to 1. Values above 0 are refused on the CPU.
    Other arguments, result and errors as for `cross_entropy` of class indices.
    """
    check_classes(log_probs, name="Log-probabilities")
    target, counted = counted_indices(log_probs, target, ignore_index)
    if log_probs.device.type == "cpu" and log_probs.numel() and log_probs.max() > LARGEST_LOG_PROB:
        raise ValueError(
            f"Log-probabilities lie at 0 or below; got {log_probs.max().item()}. For logits use cross_entropy."
        )
    weight = None if class_weights is None else weights_of(class_weights, log_probs)
    index = torch.where(counted, target, IGNORED)
    return F.nll_loss(log_probs.to(precise(log_probs)), index, weight=weight, ignore_index=IGNORED, reduction=reduction)


def check_classes(logits: Tensor, *, name: str = "Logits") -> None:
    """Raises TypeError or ValueError unless `logits` are floating point [B, C, *]."""
    check_floating(name, logits)
    if logits.ndim < 2:
        raise ValueError(
            f"{name} must be [B, C, *]; got {shape_of(logits)}. Add a batch dimension: logits.unsqueeze(0)."
        )


def check_indices(logits: Tensor, target: Tensor) -> None:
    """Raises TypeError or ValueError unless `target` is integers [B, *] to `logits` [B, C, *]."""
    if target.is_floating_point() or target.dtype == torch.bool or target.is_complex():
        raise TypeError(f"Class indices must be integers; got {target.dtype}. Use target.long().")
    expected = logits.shape[:1] + logits.shape[2:]
    if target.shape == expected:
        return
    if target.shape == logits.shape:
        remedy = "One-hot targets must be floating point: target.float()."
    elif target.ndim == len(expected) + 1 and target.shape[1] == 1:
        remedy = "Drop the dimension of one: target.squeeze(1)."
    else:
        remedy = "Classes are dimension 1 of the logits."
    raise ValueError(
        f"Logits {shape_of(logits)} need class indices of shape {list(expected)}; got {shape_of(target)}. {remedy}"
    )


def counted_indices(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Class indices int64 [B, *] with 0 where they are ignored, and which of them count, bool [B, *].

    Raises: TypeError or ValueError if they do not fit logits [B, C, *]; one out of range is an error on the CPU.
    """
    check_indices(logits, target)
    return counted_classes(target, logits.shape[1], ignore_index)


def counted_classes(target: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Class indices int64 [*] with 0 where they are ignored, and which of them count, bool [*].

    target: [*] integers or bool.
    Raises: ValueError on the CPU for an index outside 0..`num_classes` - 1.
    """
    target = target.long()
    counted = target != ignore_index
    if target.device.type == "cpu" and not bool(((target >= 0) & (target < num_classes) | ~counted).all()):
        raise ValueError(f"A class index lies outside 0..{num_classes - 1} and is not ignore_index={ignore_index}.")
    return torch.where(counted, target, 0), counted


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is a probability in [0, 1]; got {label_smoothing}.")


def _check_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(
            f"{name} lies on {tensor.device} and the logits on {logits.device}. Move it there once, before training."
        )


def weights_of(class_weights: Tensor | Sequence[float], logits: Tensor) -> Tensor:
    """One weight for each class of logits [B, C, *], as a tensor [C] beside them.

    Raises: ValueError for another number of weights, or a tensor on another device.
    """
    num_classes = logits.shape[1]
    if len(class_weights) != num_classes:
        raise ValueError(
            f"class_weights must hold {num_classes} numbers, one for each class; got {len(class_weights)}."
        )
    if isinstance(class_weights, Tensor):
        _check_device("class_weights", class_weights, logits)
        return class_weights.to(precise(logits))
    return _constant(tuple(class_weights), logits.device, precise(logits))


@functools.lru_cache(maxsize=16)
def _constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Options as a tensor, made once: a copy to a GPU at each step would make the host wait for it."""
    with torch.inference_mode(False):  # an inference tensor could not take part in a later backward
        return torch.tensor(values, device=device, dtype=dtype)
