"""Focal losses against cases by hand, torchvision, cross-entropy, and extreme logits."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo.losses import binary_cross_entropy, binary_focal, cross_entropy, focal, make_loss


def case(*shape, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape[0], classes, *shape[1:], generator=generator)
    return logits, torch.randint(classes, shape, generator=generator)


def test_by_hand():
    """p = 3/4: (1/4)^2 log(4/3); fails if p stands for 1 - p, or gamma is a factor."""
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert focal(logits, torch.tensor([0])).item() == pytest.approx(math.log(4 / 3) / 16)
    assert focal(logits, torch.tensor([1])).item() == pytest.approx(9 / 16 * math.log(4))
    yes = torch.tensor([math.log(3.0)])
    assert binary_focal(yes, torch.tensor([1])).item() == pytest.approx(0.25 * math.log(4 / 3) / 16)
    assert binary_focal(yes, torch.tensor([0])).item() == pytest.approx(0.75 * 9 / 16 * math.log(4))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_binary_is_that_of_torchvision(gamma, alpha):
    """An independent reference, with its gradient."""
    from torchvision.ops import sigmoid_focal_loss

    logits = (4 * torch.randn(60)).requires_grad_()
    target = torch.rand(60) > 0.6
    found = binary_focal(logits, target, gamma=gamma, alpha=alpha)
    expected = sigmoid_focal_loss(
        logits, target.float(), alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean"
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, expected)))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0, 0.5]])
def test_several_classes_are_the_definition(gamma, weights):
    """In float64 from the probabilities themselves, over images; fails if the weights are left out of the mean."""
    logits, target = case(2, 5, 6)
    probs = logits.double().softmax(1).gather(1, target[:, None])[:, 0]
    of_class = torch.ones(4, dtype=torch.float64) if weights is None else torch.tensor(weights, dtype=torch.float64)
    weight = of_class[target]
    expected = -weight * (1 - probs) ** gamma * probs.log()
    each = focal(logits, target, gamma=gamma, class_weights=weights, reduction="none")
    torch.testing.assert_close(each.double(), expected, rtol=1e-4, atol=1e-6)
    mean = focal(logits, target, gamma=gamma, class_weights=weights)
    torch.testing.assert_close(mean.double(), expected.sum() / weight.sum(), rtol=1e-5, atol=1e-7)


def test_two_classes_are_yes_or_no():
    """Fails if the softmax form is another loss than the logistic one."""
    logits, target = case(50, classes=2)
    found = focal(logits, target, gamma=1.5)
    torch.testing.assert_close(found, binary_focal(logits[:, 1] - logits[:, 0], target, gamma=1.5, alpha=None))


def test_at_gamma_0_it_is_cross_entropy():
    logits, target = case(3, 7)
    target[0] = 9
    options = {"class_weights": [1.0, 2.0, 0.5, 3.0], "ignore_index": 9}
    torch.testing.assert_close(focal(logits, target, gamma=0.0, **options), cross_entropy(logits, target, **options))
    yes = logits[:, 0], torch.rand(3, 7) > 0.5
    torch.testing.assert_close(binary_focal(*yes, gamma=0.0, alpha=None), binary_cross_entropy(*yes))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sure_answers_have_finite_gradients(gamma, dtype):
    """Fails if 1 - p is raised to gamma - 1 < 0 where p is 1, or a logarithm is taken of p = 0."""
    logits = torch.tensor([[1e4, 0.0, -1e4], [1e3, 1e3, 1e3], [0.0, 0.0, 200.0]], dtype=dtype, requires_grad=True)
    for target in (torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])):
        loss = focal(logits, target, gamma=gamma)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()
        loss = binary_focal(logits, F.one_hot(target, 3), gamma=gamma)
        assert loss.isfinite()
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()


def test_an_offset_changes_nothing():
    """Fails if log p is the difference of two numbers around 1e3 in float32 rather than of small ones."""
    logits, target = case(200)
    logits = (logits * 64).round() / 64  # exact beside 1e3 in float32
    torch.testing.assert_close(focal(logits + 1024, target), focal(logits, target), rtol=1e-6, atol=1e-8)


def test_gradients_are_those_of_differences():
    logits, target = case(4)
    for gamma in (0.5, 2.0):
        check = lambda z, gamma=gamma: focal(z, target, gamma=gamma)  # noqa: E731
        assert torch.autograd.gradcheck(check, (logits.double().requires_grad_(),))


def test_one_class_none_and_all_ignored():
    """As cross-entropy: one class costs nothing, a mean of nothing is NaN."""
    logits = torch.randn(3, 1, requires_grad=True)
    loss = focal(logits, torch.zeros(3, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.tolist() == [[0.0]] * 3
    assert focal(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)).isnan()
    assert focal(torch.zeros(2, 4), torch.full((2,), -100)).isnan()
    assert binary_focal(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).isnan()


@pytest.mark.parametrize(
    ("name", "logits", "target", "options", "error", "words"),
    [
        ("focal", torch.zeros(2, 3), torch.tensor([0, 3]), {}, ValueError, r"outside 0\.\.2"),
        ("focal", torch.zeros(2, 3), torch.zeros(2), {}, TypeError, "long"),
        ("focal", torch.zeros(2, 3), torch.tensor([0, 1]), {"gamma": -1.0}, ValueError, "gamma"),
        ("binary_focal", torch.zeros(2), torch.tensor([-1, 1]), {}, ValueError, "target > 0"),
        ("binary_focal", torch.zeros(2), torch.zeros(2), {}, TypeError, "bool or integers"),
        ("binary_focal", torch.zeros(2, 1), torch.tensor([0, 1]), {}, ValueError, "shape"),
        ("binary_focal", torch.zeros(2), torch.tensor([0, 1]), {"alpha": 1.5}, ValueError, "alpha"),
    ],
)
def test_what_does_not_fit_raises(name, logits, target, options, error, words):
    with pytest.raises(error, match=words):
        make_loss(name, **options)(logits, target)
