"""L-BFGS and AdaHessian against NumPy written from the papers, SciPy and timm."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from zoo.optim import make_optimizer

# -- L-BFGS


def rosenbrock(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


def search(optimizer, weight, function, steps=1):
    def closure():
        weight.grad = None
        loss = function(weight)
        loss.backward()
        return loss

    for _ in range(steps):
        first = optimizer.step(closure)
    return first


def numpy_lbfgs(x, gradient, *, iterations, rate, history):
    """Liu and Nocedal's algorithm 2.1 with fixed steps: the two loops of Nocedal 1980, scaled by s'y / y'y."""
    changes = []
    slope = gradient(x)
    direction, length = -slope, min(1.0, 1.0 / np.abs(slope).sum()) * rate  # the first step is torch's
    for iteration in range(iterations):
        if iteration:
            step, bend = length_before * direction, slope - slope_before  # noqa: F821
            changes = [*changes, (step, bend)][-history:]
            q, alphas = slope.copy(), []
            for s, y in reversed(changes):
                alphas.append(s @ q / (y @ s))
                q = q - alphas[-1] * y
            q = q * (step @ bend) / (bend @ bend)
            for (s, y), alpha in zip(changes, reversed(alphas), strict=True):
                q = q + (alpha - y @ q / (y @ s)) * s
            direction, length = -q, rate
        x = x + length * direction
        slope_before, length_before = slope, length  # noqa: F841
        slope = gradient(x)
    return x


@pytest.mark.parametrize("history", [3, 20])
def test_lbfgs_is_the_formula(history):
    """Fails if the memory is too long or short, the pairs are taken in the wrong order, or the scale is left out."""
    generator = np.random.default_rng(0)
    root = generator.normal(size=(6, 6))
    matrix = root @ root.T + np.eye(6)
    start = generator.normal(size=6)
    weight = nn.Parameter(torch.tensor(start))
    options = {"max_iter": 10, "line_search": None, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    optimizer = make_optimizer("lbfgs", [weight], lr=0.3, history_size=history, **options)
    search(optimizer, weight, lambda w: w @ torch.tensor(matrix) @ w / 2 + w.sin().sum())
    expected = numpy_lbfgs(start, lambda x: matrix @ x + np.cos(x), iterations=10, rate=0.3, history=history)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-9)


def test_lbfgs_finds_the_minimum():
    """Fails if the line search is not on, or the state of one step does not reach the next."""
    optimize = pytest.importorskip("scipy.optimize")
    start = np.array([-1.2, 1.0])
    weight = nn.Parameter(torch.tensor(start))
    search(make_optimizer("lbfgs", [weight], lr=1.0), weight, rosenbrock, steps=5)
    found = optimize.minimize(lambda x: float(rosenbrock(torch.tensor(x))), start, method="L-BFGS-B")
    np.testing.assert_allclose(weight.detach().numpy(), np.ones(2), atol=1e-5)
    np.testing.assert_allclose(found.x, np.ones(2), atol=1e-3)


def test_lbfgs_decay_is_a_penalty_of_the_loss():
    """The minimum of (w - 3)^2 / 2 + decay w^2 / 2 is 3 / (1 + decay). Fails if the loss lacks it."""
    decayed, free = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    groups = [{"params": [decayed], "weight_decay": 0.5}, {"params": [free], "weight_decay": 0.0}]
    optimizer = make_optimizer("lbfgs", groups, lr=1.0)

    def closure():
        optimizer.zero_grad()
        loss = ((decayed - 3) ** 2 + (free - 3) ** 2).sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(decayed.detach(), torch.full((2,), 2.0))
    torch.testing.assert_close(free.detach(), torch.full((2,), 3.0))


def test_lbfgs_resumes_exactly():
    """Fails if directions, curvatures or the last gradient are lost on the way through a file."""
    start = torch.tensor([-1.2, 1.0, 0.5, -0.3])
    options = {"lr": 1.0, "max_iter": 4, "history_size": 3}
    whole, half = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    search(make_optimizer("lbfgs", [whole], **options), whole, rosenbrock, steps=6)
    first = make_optimizer("lbfgs", [half], **options)
    search(first, half, rosenbrock, steps=3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    resumed = nn.Parameter(half.detach().clone())
    second = make_optimizer("lbfgs", [resumed], **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    search(second, resumed, rosenbrock, steps=3)
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"line_search": "armijo"}, "strong_wolfe"), ({"max_iter": 0}, "at least 1"), ({"history_size": 0}, "at least 1")],
)
def test_lbfgs_values_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer("lbfgs", [nn.Parameter(torch.zeros(1))], lr=1.0, **options)


def test_lbfgs_takes_one_rate():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.01)]
    with pytest.raises(ValueError, match=r"got 0\.01, 0\.1.*body_lr_ratio=1"):
        make_optimizer("lbfgs", groups, lr=1.0)


# -- AdaHessian


def bend(optimizer, loss):
    loss.backward(create_graph=True)
    optimizer.take_curvature()


def numpy_adahessian(x, weight_decay, *, rate=0.1, beta1=0.9, beta2=0.999, eps=1e-4, power=1.0):
    """Algorithm 1 for the loss sum(x^4) / 4 + x: its Hessian is diagonal, so every z gives it exactly."""
    first, second = np.zeros_like(x), np.zeros_like(x)
    for step in range(10):
        slope, curvature = x**3 + 1, 3 * x**2
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * curvature**2
        mean, square = first / (1 - beta1 ** (step + 1)), second / (1 - beta2 ** (step + 1))
        x = x * (1 - rate * weight_decay) - rate * mean / (np.sqrt(square) ** power + eps)
    return x


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adahessian_is_the_formula(weight_decay, power):
    """Fails if the curvature is not squared, the power is taken twice, or decay joins the gradient."""
    start = np.array([1.0, -0.5, 0.25, 2.0])
    weight = nn.Parameter(torch.tensor(start))
    optimizer = make_optimizer("adahessian", [weight], lr=0.1, weight_decay=weight_decay, hessian_power=power)
    for _ in range(10):
        weight.grad = None
        bend(optimizer, (weight**4).sum() / 4 + weight.sum())
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), numpy_adahessian(start, weight_decay, power=power), rtol=1e-9)


def test_adahessian_is_timms_on_kernels():
    """Fails if a convolution's kernel is not averaged over, or channels are averaged too."""
    from timm.optim import Adahessian

    torch.manual_seed(0)
    start, scale = torch.randn(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
    own, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    first = make_optimizer("adahessian", [own], lr=0.1)
    second = Adahessian([theirs], lr=0.1, eps=1e-4, avg_conv_kernel=True)
    for _ in range(10):
        own.grad, theirs.grad = None, None
        bend(first, (scale * own**4).sum())
        (scale * theirs**4).sum().backward(create_graph=True)
        first.step()
        second.step()
    torch.testing.assert_close(own, theirs)


def test_the_estimate_is_unbiased():
    """The mean of z * Hz over many z is the Hessian's diagonal. Fails if z is not of -1 and 1."""
    torch.manual_seed(0)
    root = torch.randn(5, 5)
    matrix = root @ root.T
    weight = nn.Parameter(torch.randn(5))
    total = torch.zeros(5)
    for _ in range(2000):
        weight.grad = None
        optimizer = make_optimizer("adahessian", [weight], lr=0.1)
        bend(optimizer, weight @ matrix @ weight / 2)
        total += optimizer.state[weight]["curvature"]
    torch.testing.assert_close(total / 2000, matrix.diagonal(), rtol=0.1, atol=0.15)


def test_batches_of_a_step_add_up():
    """Fails if each batch is probed along another z, or the curvature of the first is lost or counted again."""
    torch.manual_seed(0)
    rows = torch.randn(6, 3)
    ends = []
    for parts in (rows.split(6), rows.split(2)):
        torch.manual_seed(1)
        weight = nn.Parameter(torch.ones(3))
        optimizer = make_optimizer("adahessian", [weight], lr=0.1)
        for _ in range(3):
            weight.grad = None
            for part in parts:
                bend(optimizer, (part @ weight).pow(4).sum())
            optimizer.step()
        ends.append(weight)
    torch.testing.assert_close(*ends)


def test_adahessian_needs_a_graph():
    weight = nn.Parameter(torch.ones(3))
    optimizer = make_optimizer("adahessian", [weight], lr=0.1)
    weight.square().sum().backward()
    with pytest.raises(RuntimeError, match="create_graph=True"):
        optimizer.take_curvature()


def test_a_linear_loss_has_no_curvature():
    """Fails if a gradient without a graph of its own raises, or leaves a NaN."""
    bent, straight = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = make_optimizer("adahessian", [bent, straight], lr=1e-5)
    bend(optimizer, bent.square().sum() + straight.sum())
    optimizer.step()
    torch.testing.assert_close(straight.detach(), torch.full((2,), 1 - 1e-5 / 1e-4))
    assert bent.isfinite().all()
    assert all(set(state) == {"step", "mean", "square"} for state in optimizer.state.values())
    with pytest.raises(ValueError, match="hessian_power"):
        make_optimizer("adahessian", [bent], lr=0.1, hessian_power=2)
