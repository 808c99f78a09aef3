"""Losses by name.

A loss is a function `(prediction, target, *, options) -> Tensor`. One file holds one family; `zoo.parts.losses` is the
one list of them. Those that take something else have tables of their own, by what they take: pairs and triplets of
embeddings, boxes, sequences, a teacher, a backbone, two players.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from zoo.losses.adversarial import AdversarialLoss, gradient_penalty, make_adversarial_loss, r1_penalty
from zoo.losses.boxes import ciou_loss, diou_loss, giou_loss, iou_loss, smooth_l1
from zoo.losses.class_balance import class_balanced_cross_entropy, effective_number_weights, weighted_cross_entropy
from zoo.losses.classification import binary_cross_entropy, cross_entropy, nll
from zoo.losses.ctc import ctc
from zoo.losses.distillation import distillation, distillation_cross_entropy
from zoo.losses.divergence import kl_divergence
from zoo.losses.embedding import contrastive, info_nce, nt_xent, triplet
from zoo.losses.focal import binary_focal, focal
from zoo.losses.hinge import hinge, hinge_embedding, multi_class_hinge
from zoo.losses.images import gram, gram_matrix, pixel, total_variation
from zoo.losses.lovasz import lovasz_hinge, lovasz_softmax
from zoo.losses.overlap import cross_entropy_dice_loss, dice_loss, tversky_loss
from zoo.losses.perceptual import FeatureLoss, PerceptualLoss, StyleLoss
from zoo.losses.regression import charbonnier, huber, log_cosh, mae, mse, rmse
from zoo.parts.losses import (
    ADVERSARIAL_LOSSES,
    BOX_LOSSES,
    CRITIC_PENALTIES,
    DISTILLATION_LOSSES,
    EMBEDDING_LOSSES,
    FEATURE_LOSSES,
    IMAGE_PRIORS,
    LOSSES,
    SEQUENCE_LOSSES,
)

Loss = Callable[[Tensor, Tensor], Tensor]

__all__ = [
    "ADVERSARIAL_LOSSES",
    "BOX_LOSSES",
    "CRITIC_PENALTIES",
    "DISTILLATION_LOSSES",
    "EMBEDDING_LOSSES",
    "FEATURE_LOSSES",
    "IMAGE_PRIORS",
    "LOSSES",
    "SEQUENCE_LOSSES",
    "AdversarialLoss",
    "FeatureLoss",
    "Loss",
    "PerceptualLoss",
    "StyleLoss",
    "binary_cross_entropy",
    "binary_focal",
    "charbonnier",
    "ciou_loss",
    "class_balanced_cross_entropy",
    "contrastive",
    "cross_entropy",
    "cross_entropy_dice_loss",
    "ctc",
    "dice_loss",
    "diou_loss",
    "distillation",
    "distillation_cross_entropy",
    "effective_number_weights",
    "focal",
    "giou_loss",
    "gradient_penalty",
    "gram",
    "gram_matrix",
    "hinge",
    "hinge_embedding",
    "huber",
    "info_nce",
    "iou_loss",
    "kl_divergence",
    "log_cosh",
    "lovasz_hinge",
    "lovasz_softmax",
    "mae",
    "make_adversarial_loss",
    "make_loss",
    "mse",
    "multi_class_hinge",
    "nll",
    "nt_xent",
    "pixel",
    "r1_penalty",
    "rmse",
    "smooth_l1",
    "total_variation",
    "triplet",
    "tversky_loss",
    "weighted_cross_entropy",
]


def make_loss(name: str, **options: Any) -> Loss:
    """The loss called `name` with its options bound: a function of prediction and target.

    options: keyword-only arguments of the loss, checked by name.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names.
    """
    return LOSSES.bind(name, **options)
