"""Losses of two players: a generator that draws samples and a discriminator (or critic) that scores them.

Source: "minimax" and "non_saturating" from Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1 and section 3; "hinge"
from Lim and Ye 2017, arXiv:1705.02894, equations 11 and 12; "least_squares" from Mao et al. 2016, arXiv:1611.04076,
equation 2; "wasserstein" from Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1; the gradient penalty from Gulrajani
et al. 2017, arXiv:1704.00028, algorithm 1; R1 from Mescheder et al. 2018, arXiv:1801.04406, equation 9.
Differs from the paper: every loss is minimised and has means over the batch; discriminators give logits, not
probabilities, so that nothing overflows; `r1_penalty` leaves the factor gamma / 2 to the caller.
Shapes: B samples of any shape [*].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import precise, shape_of
from zoo.parts.losses import ADVERSARIAL_LOSSES

Critic = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class AdversarialLoss:
    """What each player minimises.

    discriminator: scores of real samples [B] and of drawn ones [B] to its loss [].
    generator:     scores of drawn samples [B] to its loss [].
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def logistic_discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """Cross-entropy in nats of telling real samples from drawn ones, the two means added.

    real, drawn: [B] logits, above 0 for "real".
    Raises:      TypeError or ValueError for what are not floating-point scores of one batch each.
    """
    return F.softplus(-_scores(real)).mean() + F.softplus(_scores(drawn)).mean()


def non_saturating_generator_loss(drawn: Tensor) -> Tensor:
    """Mean -log of the probability "real" given to drawn samples [B] logits; steep where the discriminator is sure."""
    return F.softplus(-_scores(drawn)).mean()


def minimax_generator_loss(drawn: Tensor) -> Tensor:
    """Mean log of the probability "drawn" given to drawn samples [B] logits; flat where the discriminator is sure."""
    return -F.softplus(_scores(drawn)).mean()


def hinge_discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """How far real samples [B] fall short of a score of 1, and drawn ones [B] exceed -1, the two means added."""
    return F.relu(1 - _scores(real)).mean() + F.relu(1 + _scores(drawn)).mean()


def critic_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """Mean score of drawn samples [B] less that of real ones [B]: minus the estimate of the Wasserstein distance."""
    return _scores(drawn).mean() - _scores(real).mean()


def score_generator_loss(drawn: Tensor) -> Tensor:
    """Minus the mean score of drawn samples [B]."""
    return -_scores(drawn).mean()


def hinge() -> AdversarialLoss:
    """Margins on both sides of 0, the generator by its plain score."""
    return AdversarialLoss(hinge_discriminator_loss, score_generator_loss)


def least_squares(*, real: float = 1.0, drawn: float = 0.0, wanted: float = 1.0) -> AdversarialLoss:
    """Squared distances of scores from three values, halved.

    real, drawn: what the discriminator should give to real and to drawn samples.
    wanted:      what the generator wants it to give to drawn ones.
    """

    def discriminator(real_scores: Tensor, drawn_scores: Tensor) -> Tensor:
        missed = (_scores(real_scores) - real).square().mean() + (_scores(drawn_scores) - drawn).square().mean()
        return missed / 2

    def generator(drawn_scores: Tensor) -> Tensor:
        return (_scores(drawn_scores) - wanted).square().mean() / 2

    return AdversarialLoss(discriminator, generator)


def minimax() -> AdversarialLoss:
    """One objective, which the discriminator raises and the generator lowers."""
    return AdversarialLoss(logistic_discriminator_loss, minimax_generator_loss)


def non_saturating() -> AdversarialLoss:
    """The same discriminator, the generator by the logarithm of the probability "real"."""
    return AdversarialLoss(logistic_discriminator_loss, non_saturating_generator_loss)


def wasserstein() -> AdversarialLoss:
    """Differences of mean scores; the critic needs `gradient_penalty` added to its loss, or clipped weights."""
    return AdversarialLoss(critic_loss, score_generator_loss)


def make_adversarial_loss(name: str, **options: Any) -> AdversarialLoss:
    """The losses of both players called `name` in `zoo.parts.losses.ADVERSARIAL_LOSSES`.

    Raises: UnknownNameError or UnknownArgumentError with the nearest names.
    """
    made: AdversarialLoss = ADVERSARIAL_LOSSES.make(name, **options)
    return made


def gradient_penalty(critic: Critic, real: Tensor, drawn: Tensor, *, shares: Tensor | None = None) -> Tensor:
    """Mean of (|gradient of the critic| - 1)^2 at points between real and drawn samples; multiply it by lambda.

    critic:      samples [B, *] to scores [B]; each must depend on its own sample alone, so no batch norm.
    real, drawn: [B, *]
    shares:      [B] how much of the real sample each point has, 0..1; None draws them from a uniform distribution.
    Returns:     [] float32 at least, differentiable in the critic's parameters.
    Raises:      ValueError if shapes do not fit.
    """
    if real.shape != drawn.shape or real.ndim < 2:
        raise ValueError(
            f"Real and drawn samples need one shape [B, *]; got {list(real.shape)} and {list(drawn.shape)}."
        )
    if shares is None:
        shares = torch.rand(len(real), device=real.device)
    if shares.shape != (len(real),):
        raise ValueError(f"{len(real)} samples need as many shares; got {list(shares.shape)}.")
    share = shares.to(real.dtype).reshape(-1, *[1] * (real.ndim - 1))  # [B, 1, ...]
    points = torch.lerp(drawn.detach(), real.detach(), share).requires_grad_()
    norms = torch.linalg.vector_norm(_gradient(critic, points), dim=1)  # [B]
    return (norms - 1).square().mean()


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """Mean squared norm of the critic's gradient at real samples [B, *]; multiply it by gamma / 2.

    Arguments and result as for `gradient_penalty`.
    """
    points = real.detach().clone().requires_grad_()
    return _gradient(critic, points).square().sum(1).mean()


def _gradient(critic: Critic, points: Tensor) -> Tensor:
    """Gradient of each score with respect to its point, [B, D], in float32 at least."""
    with torch.enable_grad():
        scores = _scores(critic(points))
        if scores.shape != (len(points),):
            raise ValueError(
                f"The critic must give one score for each of {len(points)} samples; got {shape_of(scores)}."
            )
        (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return gradient.flatten(1).to(precise(gradient))


def _scores(scores: Tensor) -> Tensor:
    """The scores in float32 at least: bf16 and fp16 keep too few digits for means and softplus."""
    if not scores.is_floating_point():
        raise TypeError(f"Scores must be floating point; got {scores.dtype}.")
    if scores.ndim != 1 or not len(scores):
        raise ValueError(
            f"Scores must be [B], one for each sample; got {shape_of(scores)}. Flatten them: scores.flatten()."
        )
    return scores.to(precise(scores))
