"""Optimizers against their published formulas in NumPy, fused kernels, resuming and parameter groups."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.optim import OPTIMIZERS, make_optimizer, parameter_groups

LR = 0.05


def gradient(x, step):
    """Of a curved, tilting bowl, so that each step sees another gradient."""
    return x**3 + np.sin(step + np.arange(x.size)) * 0.5


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


REFERENCES = {
    "sgd": numpy_sgd,
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
@pytest.mark.parametrize("fused", [None, False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_of_the_formula(name, fused, weight_decay):
    """Fails if a default differs from the paper's, decay is coupled where it must not be, or a name gets another's."""
    start = np.array([1.0, -0.5, 0.25, 2.0])
    parameter = nn.Parameter(torch.tensor(start))
    options = {} if fused is None else {"fused": fused}
    ten_steps(make_optimizer(name, [parameter], lr=LR, weight_decay=weight_decay, **options), parameter)
    np.testing.assert_allclose(parameter.detach().numpy(), REFERENCES[name](start, weight_decay), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMIZERS)
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
    for name in ("momentum", "nesterov", "adam", "adamw"):
        assert make_optimizer(name, [weight], lr=0.1).param_groups[0]["fused"] is True
        assert not make_optimizer(name, [weight], lr=0.1, fused=False).param_groups[0]["fused"]
    assert not make_optimizer("sgd", [weight], lr=0.1).param_groups[0]["fused"]

    class Sharded(torch.Tensor):
        pass

    sharded = torch.zeros(3).as_subclass(Sharded).requires_grad_()
    assert not make_optimizer("adamw", [weight, sharded], lr=0.1).param_groups[0]["fused"]
    complex_weight = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    assert not make_optimizer("adamw", [complex_weight], lr=0.1).param_groups[0]["fused"]


@pytest.mark.parametrize("name", OPTIMIZERS)
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


@pytest.mark.parametrize("name", ["momentum", "adamw"])
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
                    state.update({key: value.contiguous() for key, value in state.items()})
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
