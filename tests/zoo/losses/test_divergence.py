"""The divergence in both directions, and distillation, against NumPy, torch and the limit of high temperature."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zoo.losses import cross_entropy, distillation, distillation_cross_entropy, kl_divergence, make_loss

P, Q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]])


def numpy_kl(p, q):
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / q), 0).sum(1)


def test_by_hand():
    """KL((1/2, 1/2, 0) || (1/4, 1/4, 1/2)) = log 2, the other way it is infinite; fails if the two are exchanged."""
    assert kl_divergence(Q.log(), P).item() == pytest.approx(math.log(2))
    assert kl_divergence(Q.log(), P, direction="reverse").item() == math.inf
    mixed = torch.tensor([[0.5, 0.25, 0.25]])
    expected = 0.25 * math.log(0.5) + 0.25 * math.log(1) + 0.5 * math.log(2)
    assert kl_divergence(Q.log(), mixed, direction="reverse").item() == pytest.approx(expected)


@pytest.mark.parametrize("target_form", ["probabilities", "logits"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_definition_and_torch(target_form, direction):
    logits, other = torch.randn(6, 5, 3), torch.randn(6, 5, 3)
    target = other.softmax(1) if target_form == "probabilities" else other
    found = kl_divergence(logits, target, target_form=target_form, direction=direction, reduction="none")
    pair = (other, logits) if direction == "forward" else (logits, other)
    expected = numpy_kl(*(values.double().softmax(1) for values in pair))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)
    mean = kl_divergence(logits[..., 0], target[..., 0], target_form=target_form, direction=direction)
    logs = [values[..., 0].log_softmax(1) for values in pair]
    reference = F.kl_div(logs[1], logs[0], reduction="batchmean", log_target=True)
    torch.testing.assert_close(mean, reference)


def test_it_is_cross_entropy_less_the_entropy():
    logits, target = torch.randn(8, 4), torch.rand(8, 4).softmax(1)
    entropy = -(target * target.log()).sum(1).mean()
    torch.testing.assert_close(kl_divergence(logits, target), cross_entropy(logits, target) - entropy)
    assert kl_divergence(logits, logits.softmax(1)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extremes(direction, dtype):
    """Fails if 0 log 0 gives NaN, in the value or in the gradient."""
    logits = torch.tensor([[1e4, -1e4, 0.0], [1e3, 1e3, 1e3]], dtype=dtype, requires_grad=True)
    other = torch.tensor([[-1e4, 1e4, 0.0], [-1e3, 0.0, 1e3]])
    loss = kl_divergence(logits, other, target_form="logits", direction=direction)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    sharp = torch.tensor([[0.0, 1.0, 0.0]])
    loss = kl_divergence(logits[1:], sharp)
    assert loss.item() == pytest.approx(math.log(3))
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()
    assert kl_divergence(torch.zeros(0, 3), torch.zeros(0, 3)).isnan()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("target_form", ["probabilities", "logits"])
def test_classes_that_are_ruled_out(direction, target_form):
    """Logits of minus infinity on both sides: fails if 0 times infinity gives NaN, in the value or in the gradient."""
    logits, other = torch.randn(4, 3), torch.randn(4, 3)
    masked = torch.cat([logits, torch.full((4, 1), -math.inf)], 1).requires_grad_()
    target = torch.cat([other, torch.full((4, 1), -math.inf)], 1)
    if target_form == "probabilities":
        other, target = other.softmax(1), target.softmax(1)
    options = {"target_form": target_form, "direction": direction}
    loss = kl_divergence(masked, target, **options)
    loss.backward()
    torch.testing.assert_close(loss, kl_divergence(logits, other, **options))
    assert masked.grad.isfinite().all()


def test_distillation_by_hand():
    """At temperature 2 logits of 2 log 3 are odds of 3: 4 KL((3/4, 1/4) || (1/2, 1/2))."""
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    found = distillation(torch.zeros(1, 2), teacher, temperature=2.0)
    assert found.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))
    target = torch.tensor([1])
    both = distillation_cross_entropy(torch.zeros(1, 2), teacher, target, temperature=2.0, soft_weight=0.75)
    assert both.item() == pytest.approx(0.75 * found.item() + 0.25 * math.log(2))


def test_gradient_of_high_temperatures_does_not_fall():
    """The paper's equation 4, times T^2: (z - v) / N of logits of mean 0. Fails if the factor is T or is missing."""
    student, teacher = torch.randn(1, 5), torch.randn(1, 5)
    student = (student - student.mean()).requires_grad_()
    teacher = teacher - teacher.mean()
    distillation(student, teacher, temperature=1000.0).backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 5, rtol=1e-2, atol=1e-3)


def test_the_teacher_does_not_learn():
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    (distillation(student, teacher) + distillation_cross_entropy(student, teacher, torch.tensor([0, 1, 2]))).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_bfloat16_is_divided_in_float32():
    """Fails if logits are rounded to 8 bits after the division by the temperature."""
    student, teacher = torch.randn(16, 10).bfloat16(), torch.randn(16, 10).bfloat16()
    found = distillation(student, teacher, temperature=3.0)
    torch.testing.assert_close(found, distillation(student.float(), teacher.float(), temperature=3.0))


@pytest.mark.parametrize(
    ("target", "options", "error", "words"),
    [
        (torch.zeros(2), {}, ValueError, "must be"),
        (torch.zeros(2, 4), {}, ValueError, "same shape"),
        (torch.randn(2, 3), {}, ValueError, 'target_form="logits"'),
        (torch.zeros(2, 3, dtype=torch.long), {}, TypeError, "floating"),
        (torch.full((2, 3), 1 / 3), {"direction": "both"}, ValueError, "reverse"),
        (torch.full((2, 3), 1 / 3), {"target_form": "odds"}, ValueError, "probabilities"),
    ],
)
def test_what_does_not_fit_raises(target, options, error, words):
    with pytest.raises(error, match=words):
        make_loss("kl_divergence", **options)(torch.zeros(2, 3), target)


def test_distillation_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="temperature"):
        distillation(torch.zeros(1, 2), torch.zeros(1, 2), temperature=0.0)
    with pytest.raises(TypeError, match="Teacher"):
        distillation(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="soft_weight"):
        distillation_cross_entropy(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), soft_weight=2.0)
