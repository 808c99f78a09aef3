"""Knowledge distillation: a student learns the softened answers of a teacher.

Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
Differs from the paper: the soft part is the divergence from the teacher, which is the paper's cross-entropy less the
teacher's entropy: the gradients are the same, and 0 is the best value.
Shapes: B samples, C classes, * any further dimensions.
"""

from torch import Tensor

from zoo.losses.classification import cross_entropy
from zoo.losses.common import Reduction, check_floating, precise
from zoo.losses.divergence import kl_divergence


def distillation(
    logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0, reduction: Reduction = "mean"
) -> Tensor:
    """KL(teacher || student) in nats of the softmax of logits / temperature, times the temperature squared.

    The factor keeps the size of the gradients, which fall as 1 / temperature^2.
    logits, teacher_logits: [B, C, *]; no gradient goes to the teacher.
    temperature:            above 0; the higher, the more the classes count that the teacher holds for unlikely.
    Returns:                [], or [B, *] for "none", in float32 at least. The mean over no sample at all is NaN.
    Raises:                 ValueError or TypeError if shapes, dtypes or ranges do not fit.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    for name, values in (("Logits", logits), ("Teacher's logits", teacher_logits)):
        check_floating(name, values)
    student = logits.to(precise(logits)) / temperature
    teacher = teacher_logits.detach().to(student.dtype) / temperature
    soft = kl_divergence(student, teacher, target_form="logits", reduction=reduction)
    return temperature**2 * soft


def distillation_cross_entropy(
    logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    temperature: float = 4.0,
    soft_weight: float = 0.9,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`soft_weight` times `distillation` plus the rest of 1 times the cross-entropy with the labels, both means.

    logits, teacher_logits: [B, C, *]; no gradient goes to the teacher.
    target:                 [B, *] integer class indices, or [B, C, *] probabilities.
    soft_weight:            0..1; the paper found a much lower weight for the labels best.
    Other arguments, result and errors as for `distillation` and `cross_entropy`.
    """
    if not 0 <= soft_weight <= 1:
        raise ValueError(f"soft_weight is a share in 0..1; got {soft_weight}.")
    soft = distillation(logits, teacher_logits, temperature=temperature)
    return soft_weight * soft + (1 - soft_weight) * cross_entropy(logits, target, label_smoothing=label_smoothing)
