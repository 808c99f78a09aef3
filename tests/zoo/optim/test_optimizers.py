"""Optimizers against their published formulas in NumPy, fused kernels, resuming and parameter groups."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.optim import OPTIMIZERS, make_optimizer, parameter_groups, takes_fused

LR = 0.05
SECOND_ORDER = ("adahessian", "lbfgs")
FIRST_ORDER = [name for name in OPTIMIZERS if name not in SECOND_ORDER]
FUSED = [name for name in FIRST_ORDER if takes_fused(name)]


def gradient(x, step):
    """Of a curved, tilting bowl, so that each step sees another gradient."""
    return x**3 + np.sin(step + np.arange(x.size).reshape(x.shape)) * 0.5


def numpy_sgd(x, weight_decay):
    for step in range(10):
        x = x - LR * (gradient(x, step) + weight_decay * x)
    return x


def numpy_momentum(x, weight_decay, nesterov=False, mu=0.9):
    velocity = np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step) + weight_decay * x
        velocity = mu * velocity + slope
        x = x - LR * (slope + mu * velocity if nesterov else velocity)
    return x


def numpy_adam(x, weight_decay, decoupled=False, beta1=0.9, beta2=0.999, eps=1e-8):
    first, second = np.zeros_like(x), np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step)
        if decoupled:
            x = x - LR * weight_decay * x
        else:
            slope = slope + weight_decay * x
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        mean = first / (1 - beta1 ** (step + 1))
        square = second / (1 - beta2 ** (step + 1))
        x = x - LR * mean / (np.sqrt(square) + eps)
    return x


def numpy_amsgrad(x, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reddi's algorithm 2 with Adam's corrections of the bias, as torch has it."""
    first, second, largest = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step) + weight_decay * x
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        largest = np.maximum(largest, second)
        mean, square = first / (1 - beta1 ** (step + 1)), largest / (1 - beta2 ** (step + 1))
        x = x - LR * mean / (np.sqrt(square) + eps)
    return x


def numpy_adagrad(x, weight_decay, delta=1e-10):
    total = np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step) + weight_decay * x
        total = total + slope**2
        x = x - LR * slope / (delta + np.sqrt(total))
    return x


def numpy_rmsprop(x, weight_decay, eps=1e-8):
    """The lecture's 0.9 and 0.1; `eps` is torch's."""
    square = np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step) + weight_decay * x
        square = 0.9 * square + 0.1 * slope**2
        x = x - LR * slope / (np.sqrt(square) + eps)
    return x


def numpy_lamb(x, weight_decay, beta1=0.9, beta2=0.999, eps=1e-6):
    """Algorithm 2 for one layer, phi the identity."""
    first, second = np.zeros_like(x), np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step)
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        mean, square = first / (1 - beta1 ** (step + 1)), second / (1 - beta2 ** (step + 1))
        direction = mean / (np.sqrt(square) + eps) + weight_decay * x
        x = x - LR * np.linalg.norm(x) / np.linalg.norm(direction) * direction
    return x


def numpy_lion(x, weight_decay, beta1=0.9, beta2=0.99):
    momentum = np.zeros_like(x)
    for step in range(10):
        slope = gradient(x, step)
        direction = np.sign(beta1 * momentum + (1 - beta1) * slope)
        x = x - LR * (direction + weight_decay * x)
        momentum = beta2 * momentum + (1 - beta2) * slope
    return x


REFERENCES = {
    "sgd": numpy_sgd,
    "amsgrad": numpy_amsgrad,
    "adagrad": numpy_adagrad,
    "rmsprop": numpy_rmsprop,
    "lamb": numpy_lamb,
    "lion": numpy_lion,
    "momentum": numpy_momentum,
    "nesterov": lambda x, decay: numpy_momentum(x, decay, nesterov=True),
    "adam": numpy_adam,
    "adamw": lambda x, decay: numpy_adam(x, decay, decoupled=True),
}


def ten_steps(optimizer, parameter, first=0):
    for step in range(first, 10):
        parameter.grad = torch.from_numpy(gradient(parameter.detach().double().numpy(), step)).to(parameter.dtype)
        optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "fused"),
    [(name, fused) for name in FIRST_ORDER for fused in ((None, False, True) if name in FUSED else (None,))],
)
def test_ten_steps_of_the_formula(name, fused, weight_decay):
    """Fails if a default differs from the paper's, decay is coupled where it must not be, or a name gets another's."""
    start = np.array([[1.0, -0.5], [0.25, 2.0]])
    parameter = nn.Parameter(torch.tensor(start))
    options = {} if fused is None else {"fused": fused}
    ten_steps(make_optimizer(name, [parameter], lr=LR, weight_decay=weight_decay, **options), parameter)
    np.testing.assert_allclose(parameter.detach().numpy(), REFERENCES[name](start, weight_decay), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FUSED)
def test_fused_equals_unfused(name, dtype):
    """Fails if the kernel chosen by default gives another result than torch's plain one."""
    torch.manual_seed(0)
    start, grads = torch.randn(300), torch.randn(5, 300)
    ends = []
    for options in ({}, {"fused": False}):
        parameter = nn.Parameter(start.to(dtype))
        optimizer = make_optimizer(name, [parameter], lr=0.01, weight_decay=0.1, **options)
        for grad in grads:
            parameter.grad = grad.to(dtype)
            optimizer.step()
        ends.append(parameter.detach().float())
    tolerance = 1e-6 if dtype == torch.float32 else 2**-6
    torch.testing.assert_close(*ends, rtol=tolerance, atol=tolerance)


def test_fused_where_it_helps():
    """Fails if the fused kernel is lost, or forced on parameters that have none."""
    weight = nn.Parameter(torch.zeros(3))
    for name in ("momentum", "nesterov", "adam", "adamw", "amsgrad"):
        assert make_optimizer(name, [weight], lr=0.1).param_groups[0]["fused"] is True
        assert not make_optimizer(name, [weight], lr=0.1, fused=False).param_groups[0]["fused"]
    assert not make_optimizer("sgd", [weight], lr=0.1).param_groups[0]["fused"]

    class Sharded(torch.Tensor):
        pass

    sharded = torch.zeros(3).as_subclass(Sharded).requires_grad_()
    assert not make_optimizer("adamw", [weight, sharded], lr=0.1).param_groups[0]["fused"]
    complex_weight = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    assert not make_optimizer("adamw", [complex_weight], lr=0.1).param_groups[0]["fused"]


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_resume_is_exact(name):
    """Fails if any state, step counts and momenta among it, is lost on the way through a file."""
    start = torch.tensor([1.0, -0.5, 0.25, 2.0])
    whole = nn.Parameter(start.clone())
    ten_steps(make_optimizer(name, [whole], lr=LR), whole)

    parameter = nn.Parameter(start.clone())
    optimizer = make_optimizer(name, [parameter], lr=LR)
    for step in range(4):
        parameter.grad = torch.from_numpy(gradient(parameter.detach().double().numpy(), step)).float()
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed = nn.Parameter(parameter.detach().clone())
    fresh = make_optimizer(name, [resumed], lr=9.0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    ten_steps(fresh, resumed, first=4)
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize("name", ["momentum", "adamw", "lamb", "lion"])
def test_resume_with_another_memory_layout(name):
    """Fails if contiguous state is walked beside a channels_last weight: moments would fall on wrong elements."""
    torch.manual_seed(0)
    start, grads = torch.randn(4, 3, 2, 2), torch.randn(4, 4, 3, 2, 2)
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.to(memory_format=layout, copy=True))
        optimizer = make_optimizer(name, [weight], lr=0.1)
        for step, grad in enumerate(grads):
            if step == 2:
                saved = copy.deepcopy(optimizer.state_dict())
                for state in saved["state"].values():
                    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
                    state.update({key: value.contiguous() for key, value in tensors.items()})
                optimizer.load_state_dict(saved)
            weight.grad = grad.to(memory_format=layout)
            optimizer.step()
        ends.append(weight.detach().contiguous())
    torch.testing.assert_close(*ends)


def test_groups_and_iterators():
    """Fails if an iterator is used up before torch reads it, or a group's own rate is lost."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = make_optimizer("adamw", model.parameters(), lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 4
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[1].weight}]
    optimizer = make_optimizer("momentum", groups, lr=0.1, momentum=0.8)
    assert [(len(group["params"]), group["lr"], group["momentum"]) for group in optimizer.param_groups] == [
        (2, 0.01, 0.8),
        (1, 0.1, 0.8),
    ]
    assert groups[1]["params"] is model[1].weight


def test_make_optimizer_names_the_nearest():
    """Fails if a misspelt name or option is swallowed."""
    weight = nn.Parameter(torch.zeros(1))
    with pytest.raises(UnknownNameError, match="'adamw'"):
        make_optimizer("adamv", [weight], lr=0.1)
    with pytest.raises(UnknownArgumentError, match="'weight_decay'"):
        make_optimizer("adamw", [weight], lr=0.1, weight_decai=0.1)
    with pytest.raises(UnknownArgumentError, match="'sgd'"):
        make_optimizer("sgd", [weight], lr=0.1, momentum=0.9)


def test_every_first_order_optimizer_has_a_formula():
    """Fails if one is added without its test."""
    assert set(REFERENCES) == set(FIRST_ORDER)


@pytest.mark.parametrize("name", ["lamb", "lion"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_own_ones_are_timms(name, layout):
    """Fails if the own code differs from an independent one, over several tensors and layouts."""
    torch.manual_seed(0)
    start = [torch.randn(3, 2), torch.randn(4, 3, 2, 2)]
    theirs = {"lamb": {"max_grad_norm": None}, "lion": {"betas": [0.9, 0.99]}}[name]
    ends = []
    for kind, options in ((name, {}), (f"timm:{name}", theirs)):
        weights = [nn.Parameter(start[0].clone()), nn.Parameter(start[1].to(memory_format=layout, copy=True))]
        optimizer = make_optimizer(kind, weights, lr=0.01, weight_decay=0.1, **options)
        for step in range(10):
            for index, weight in enumerate(weights):
                generator = torch.Generator().manual_seed(2 * step + index)
                weight.grad = torch.randn(weight.shape, generator=generator) + weight.detach()
            optimizer.step()
        ends.append(weights)
    torch.testing.assert_close(*ends)


def test_lamb_leaves_vectors_and_zeros_to_adam():
    """Fails if a bias that starts at 0 is held there, or a step of length 0 divides by it."""
    bias, zero, still = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = make_optimizer("lamb", [bias, zero, still], lr=0.1, weight_decay=0.0)
    bias.grad, zero.grad, still.grad = torch.ones(3), torch.ones(2, 2), torch.zeros(2, 2)
    optimizer.step()
    torch.testing.assert_close(bias.detach(), torch.full((3,), -0.1), rtol=1e-4, atol=0)
    torch.testing.assert_close(zero.detach(), torch.full((2, 2), -0.1), rtol=1e-4, atol=0)
    assert torch.equal(still.detach(), torch.ones(2, 2))
    vector = nn.Parameter(torch.full((4,), 2.0))
    adapted = make_optimizer("lamb", [vector], lr=0.1, weight_decay=0.0, adapt_vectors=True)
    vector.grad = torch.tensor([1.0, 1.0, 1.0, -1.0])
    adapted.step()
    torch.testing.assert_close((vector.detach() - 2).norm(), torch.tensor(0.4))  # a tenth of its length


@pytest.mark.parametrize("name", ["adamw", "lamb", "lion"])
def test_large_and_tiny_gradients_stay_finite(name):
    """Fails if a second moment overflows to a step of NaN, or a zero gradient divides by zero."""
    weight = nn.Parameter(torch.ones(2, 3))
    optimizer = make_optimizer(name, [weight], lr=0.1)
    for gradient in (1e3, 0.0, 1e-30, -1e3):
        weight.grad = torch.full((2, 3), gradient)
        optimizer.step()
    assert weight.isfinite().all()


@pytest.mark.parametrize("name", ["lamb", "lion", "adahessian"])
def test_betas_are_checked(name):
    with pytest.raises(ValueError, match="betas"):
        make_optimizer(name, [nn.Parameter(torch.zeros(1))], lr=0.1, betas=[0.9, 1.0])


class Net(nn.Module):
    """A convolution, a norm, an embedding, a two-dimensional bias and a frozen layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.embedding = nn.Embedding(5, 4)
        self.bias = nn.Parameter(torch.zeros(2, 2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def names_of(model, group):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in group["params"]]


def test_biases_and_norms_are_not_decayed():
    """Fails if a scale or a bias is decayed, a matrix is not, or a frozen layer is trained."""
    model = Net()
    decayed, skipped = parameter_groups(model, weight_decay=0.3)
    assert names_of(model, decayed) == ["conv.weight", "embedding.weight"]
    assert names_of(model, skipped) == ["bias", "conv.bias", "norm.weight", "norm.bias"]
    assert (decayed["weight_decay"], skipped["weight_decay"]) == (0.3, 0.0)


def test_skip_is_a_choice():
    """Fails if the option is ignored, or an empty group is handed to the optimizer."""
    model = Net()
    (everything,) = parameter_groups(model, weight_decay=0.3, skip="nothing")
    assert len(everything["params"]) == 6
    _, skipped = parameter_groups(model, weight_decay=0.3, skip=lambda name, parameter: "embedding" in name)
    assert names_of(model, skipped) == ["embedding.weight"]
    with pytest.raises(ValueError, match="'bias_and_norm'"):
        parameter_groups(model, weight_decay=0.3, skip="norm")
    with pytest.raises(ValueError, match="requires_grad"):
        parameter_groups(model.requires_grad_(False), weight_decay=0.3)
