"""Losses of generators and discriminators: cases by hand, gradients, extreme scores, and what is refused."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.losses import ADVERSARIAL_LOSSES, CRITIC_PENALTIES, gradient_penalty, make_adversarial_loss, r1_penalty

REAL, DRAWN = torch.tensor([0.0, 2.0]), torch.tensor([-0.5, 3.0])
BY_HAND = {
    # mean(-log sigmoid(real)) + mean(-log(1 - sigmoid(drawn))); generator: mean(-log sigmoid(drawn))
    "non_saturating": (
        (math.log(2) + math.log(1 + math.exp(-2))) / 2 + (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(3))) / 2,
        (math.log(1 + math.exp(0.5)) + math.log(1 + math.exp(-3))) / 2,
    ),
    # the same discriminator; generator: mean(log(1 - sigmoid(drawn)))
    "minimax": (
        (math.log(2) + math.log(1 + math.exp(-2))) / 2 + (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(3))) / 2,
        -(math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(3))) / 2,
    ),
    "hinge": ((1 + 0) / 2 + (0.5 + 4) / 2, -1.25),
    # ((0 - 1)^2 + (2 - 1)^2) / 2 and (0.5^2 + 3^2) / 2, halved; generator: (1.5^2 + 2^2) / 2, halved
    "least_squares": ((1 + 1) / 4 + (0.25 + 9) / 4, (2.25 + 4) / 4),
    "wasserstein": (1.25 - 1.0, -1.25),
}


def test_every_loss_has_a_case():
    assert BY_HAND.keys() == set(ADVERSARIAL_LOSSES)


@pytest.mark.parametrize("name", BY_HAND)
def test_case_by_hand(name):
    """Fails if a sign, a player or a mean is mistaken."""
    loss = make_adversarial_loss(name)
    assert loss.discriminator(REAL, DRAWN).item() == pytest.approx(BY_HAND[name][0], abs=1e-6)
    assert loss.generator(DRAWN).item() == pytest.approx(BY_HAND[name][1], abs=1e-6)


def test_logistic_losses_are_binary_cross_entropy():
    """An independent reference: torch's own cross-entropy against labels of ones and zeros."""
    torch.manual_seed(0)
    real, drawn = torch.randn(50) * 3, torch.randn(70) * 3
    loss = make_adversarial_loss("non_saturating")
    against = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(
        loss.discriminator(real, drawn), against(real, torch.ones(50)) + against(drawn, torch.zeros(70))
    )
    torch.testing.assert_close(loss.generator(drawn), against(drawn, torch.ones(70)))


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_scores_stay_finite(name, dtype):
    """Fails if probabilities are formed first: their logarithm would be infinite."""
    loss = make_adversarial_loss(name)
    real, drawn = (torch.tensor([-1e3, 1e3], dtype=dtype).requires_grad_() for _ in range(2))
    value = loss.discriminator(real, drawn)
    assert value.dtype == torch.float32
    (value + loss.generator(drawn)).backward()
    for scores in (real, drawn):
        assert scores.grad is not None
        assert scores.grad.isfinite().all()
    assert value.isfinite()


def test_where_the_generators_learn():
    """A sure discriminator: the non-saturating generator has its full gradient there, the minimax one none."""
    slopes = {}
    for name in ("non_saturating", "minimax"):
        drawn = torch.tensor([-20.0], requires_grad=True)
        make_adversarial_loss(name).generator(drawn).backward()
        slopes[name] = drawn.grad.item()
    assert slopes["non_saturating"] == pytest.approx(-1, abs=1e-6)
    assert slopes["minimax"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_both_players_want_opposite_scores(name):
    """Fails if a generator is rewarded for what the discriminator is: the slopes in the drawn scores must differ."""
    loss = make_adversarial_loss(name)
    drawn = torch.full((4,), 0.5, requires_grad=True)
    (one,) = torch.autograd.grad(loss.discriminator(torch.zeros(4), drawn), drawn)
    (other,) = torch.autograd.grad(loss.generator(drawn), drawn)
    assert (one > 0).all()
    assert (other < 0).all()


@pytest.mark.parametrize("scores", [torch.zeros(2, 1), torch.zeros(0), torch.tensor(1.0)])
def test_scores_of_another_shape(scores):
    """Fails if [B, 1] is let through: it would broadcast against [B] somewhere else."""
    for name in ADVERSARIAL_LOSSES:
        with pytest.raises(ValueError, match=r"\[B\]"):
            make_adversarial_loss(name).generator(scores)


def test_integers_are_no_scores():
    with pytest.raises(TypeError, match="floating point"):
        make_adversarial_loss("hinge").generator(torch.tensor([1, 2]))


def test_misspelt_loss_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="wasserstein"):
        make_adversarial_loss("wassserstein")
    with pytest.raises(UnknownArgumentError, match="wanted"):
        make_adversarial_loss("least_squares", wnted=0.0)


def test_least_squares_with_other_labels():
    """By hand, the labels -1, 1 and 0 of the paper's other choice: fails if two of the three are exchanged."""
    loss = make_adversarial_loss("least_squares", real=1.0, drawn=-1.0, wanted=0.0)
    assert loss.discriminator(REAL, DRAWN).item() == pytest.approx((1 + 1) / 4 + (0.25 + 16) / 4)
    assert loss.generator(DRAWN).item() == pytest.approx((0.25 + 9) / 4)


def test_penalties_are_parts():
    """Fails if the table hands the samples over in another order: the critic x^2 / 2 has the slope x."""

    def critic(points):
        return points.square().sum(1) / 2

    real, drawn = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    shares = torch.ones(1)
    assert CRITIC_PENALTIES.make("gradient_penalty", critic, real, drawn, shares=shares).item() == pytest.approx(16)
    assert CRITIC_PENALTIES.make("r1", critic, real).item() == pytest.approx(25)


# -- Penalties on the gradient


def linear(weights):
    return lambda images: (images * weights).flatten(1).sum(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_penalty_of_a_linear_critic(dtype):
    """By hand: the gradient is w at every point, so the penalty is (|w| - 1)^2, here (5 - 1)^2."""
    weights = torch.zeros(1, 4, 4, dtype=dtype)
    weights[0, 1, 2], weights[0, 3, 0] = 3, 4
    real, drawn = torch.randn(6, 1, 4, 4).to(dtype), torch.randn(6, 1, 4, 4).to(dtype)
    penalty = gradient_penalty(linear(weights), real, drawn)
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(16.0, rel=1e-5)
    assert r1_penalty(linear(weights), real).item() == pytest.approx(25.0, rel=1e-5)


def test_gradient_penalty_looks_between_real_and_drawn():
    """By hand: |x|^2 / 2 has the gradient x, so the penalty tells the point; a share of 1 is the real sample."""
    real, drawn = torch.tensor([[3.0, 4.0], [6.0, 8.0]]), torch.zeros(2, 2)
    seen = []

    def critic(points):
        seen.append(points.detach())
        return points.square().sum(1) / 2

    penalty = gradient_penalty(critic, real, drawn, shares=torch.tensor([1.0, 0.1]))
    torch.testing.assert_close(seen[0], torch.tensor([[3.0, 4.0], [0.6, 0.8]]))
    assert penalty.item() == pytest.approx(((5 - 1) ** 2 + (1 - 1) ** 2) / 2, abs=1e-5)
    assert r1_penalty(critic, real).item() == pytest.approx((25 + 100) / 2)
    torch.manual_seed(0)
    gradient_penalty(critic, real, drawn)
    share = (seen[-1] / real)[:, 0]
    assert 0 < share.min() < share.max() < 1  # drawn, and one for each sample


def test_gradient_penalty_is_differentiable_in_the_critic():
    """By hand: d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|; fails if the graph of the gradient is not kept."""
    critic = nn.Linear(2, 1, bias=False)
    critic.weight.data = torch.tensor([[3.0, 4.0]])
    gradient_penalty(lambda x: critic(x)[:, 0], torch.randn(5, 2), torch.randn(5, 2)).backward()
    torch.testing.assert_close(critic.weight.grad, torch.tensor([[2 * 4 * 0.6, 2 * 4 * 0.8]]))


def test_a_critic_without_slope_gives_no_nan():
    """Fails if the norm is a bare square root: its derivative at 0 is infinite."""
    critic = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(critic.weight)
    penalty = gradient_penalty(lambda x: critic(x)[:, 0], torch.randn(3, 2), torch.randn(3, 2))
    penalty.backward()
    assert penalty.item() == 1
    assert critic.weight.grad.isfinite().all()


def test_penalties_leave_the_samples_as_they_are():
    """Fails if a penalty sends gradients into the generator or marks the data."""
    real, drawn = torch.randn(3, 2), torch.randn(3, 2, requires_grad=True)
    critic = nn.Linear(2, 1)
    (gradient_penalty(lambda x: critic(x)[:, 0], real, drawn) + r1_penalty(lambda x: critic(x)[:, 0], real)).backward()
    assert drawn.grad is None
    assert not real.requires_grad


def test_penalties_work_where_gradients_are_off():
    """Fails if the penalty of an evaluation under no_grad raises."""
    with torch.no_grad():
        assert r1_penalty(lambda x: 2 * x.sum(1), torch.zeros(2, 4)).item() == 16


@pytest.mark.parametrize(
    ("real", "drawn", "options", "words"),
    [
        ((4, 3), (5, 3), {}, "one shape"),
        ((4,), (4,), {}, "one shape"),
        ((4, 3), (4, 3), {"shares": torch.zeros(3)}, "as many shares"),
    ],
)
def test_penalties_refuse_what_does_not_fit(real, drawn, options, words):
    with pytest.raises(ValueError, match=words):
        gradient_penalty(lambda x: x.sum(1), torch.zeros(real), torch.zeros(drawn), **options)


def test_a_critic_must_score_each_sample():
    """Fails if [B, 1] is summed in silence, or a mean over the batch is taken for scores."""
    with pytest.raises(ValueError, match=r"\[B\]"):
        gradient_penalty(lambda x: x.sum(1, keepdim=True), torch.zeros(4, 3), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="one score for each"):
        gradient_penalty(lambda x: x.sum(1)[:1], torch.zeros(4, 3), torch.zeros(4, 3))
