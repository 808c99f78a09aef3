"""Activations by name, each against its formula in NumPy."""

import math

import numpy as np
import pytest
import torch

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.layers import ACTIVATIONS, make_activation

GRID = np.concatenate([np.linspace(-6, 6, 97), [-1e3, -30.0, 30.0, 1e3]])


def stable_sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def stable_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def normal_cdf(x):
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])


def gelu_by_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    shares = np.exp(x - x.max())
    return shares / shares.sum()


# The two numbers of SELU solve its fixed-point equations; these digits are the authors'.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

FORMULAS = [
    ("sigmoid", {}, stable_sigmoid),
    ("tanh", {}, np.tanh),
    ("relu", {}, lambda x: np.maximum(x, 0)),
    ("leaky_relu", {}, lambda x: np.where(x > 0, x, 0.01 * x)),
    ("leaky_relu", {"slope": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ("prelu", {"slope": 0.375}, lambda x: np.where(x > 0, x, 0.375 * x)),
    ("elu", {"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0)))),
    ("selu", {}, lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))),
    ("gelu", {}, lambda x: x * normal_cdf(x)),
    ("gelu", {"form": "tanh"}, gelu_by_tanh),
    ("silu", {}, lambda x: x * stable_sigmoid(x)),
    ("mish", {}, lambda x: x * np.tanh(stable_softplus(x))),
    ("hard_swish", {}, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("softplus", {}, stable_softplus),
    ("softplus", {"beta": 3.0}, lambda x: stable_softplus(3 * x) / 3),
    ("softmax", {"dim": 0}, softmax),
]


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS)
def test_equals_its_formula(name, options, formula):
    """Fails for another formula, an option that changes nothing, or a value that overflows at 1e3."""
    module = make_activation(name, **options).double()
    found = module(torch.from_numpy(GRID.copy()))
    np.testing.assert_allclose(found.detach().numpy(), formula(GRID), atol=5e-9, rtol=1e-9)


def test_every_activation_has_a_formula_here():
    assert {name for name, _, _ in FORMULAS} == set(ACTIVATIONS)


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS)
def test_bfloat16_and_empty_input(name, options, formula):
    module = make_activation(name, **options).bfloat16()
    x = torch.linspace(-4, 4, 33).bfloat16()
    found = module(x)
    assert found.dtype == torch.bfloat16
    np.testing.assert_allclose(found.detach().float().numpy(), formula(x.double().numpy()), atol=0.02, rtol=0.02)
    assert module(torch.empty(0, dtype=torch.bfloat16)).shape == (0,)


def test_gelu_by_tanh_is_an_approximation():
    """Fails if both forms are one."""
    x = torch.linspace(-6, 6, 10001).double()
    distance = (make_activation("gelu")(x) - make_activation("gelu", form="tanh")(x)).abs().max().item()
    assert 1e-4 < distance < 5e-4


def test_softmax_adds_up_along_its_dimension_and_ignores_offsets():
    """Fails for a default dimension, or an exponential without its maximum taken out."""
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    shares = make_activation("softmax", dim=1)(x)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 4))
    torch.testing.assert_close(make_activation("softmax", dim=1)(x + 1e3), shares, atol=1e-4, rtol=1e-3)
    with pytest.raises(TypeError, match="dim"):
        make_activation("softmax")


def test_selu_keeps_mean_0_and_variance_1():
    """The fixed point of the paper, by quadrature over the normal distribution."""
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    values = make_activation("selu")(torch.from_numpy(points)).numpy()
    mean = (weights * values).sum() / weights.sum()
    assert mean == pytest.approx(0, abs=1e-3)
    assert (weights * values**2).sum() / weights.sum() - mean**2 == pytest.approx(1, abs=1e-3)


def test_prelu_learns_a_slope_for_each_channel():
    module = make_activation("prelu", num_parameters=3)
    module(-torch.ones(2, 3, 4)).sum().backward()
    (slope,) = module.parameters()
    assert slope.grad.tolist() == [-8.0, -8.0, -8.0]


def test_inplace_overwrites_its_input():
    for name in ("relu", "leaky_relu", "elu", "selu", "silu", "mish", "hard_swish"):
        x = torch.tensor([-1.0, 2.0])
        assert make_activation(name, inplace=True)(x) is x
        assert x[0] != -1.0


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gelu", {"form": "fast"}, "exact, tanh"),
        ("leaky_relu", {"slope": math.nan}, "slope"),
        ("elu", {"alpha": 0.0}, "alpha"),
        ("softplus", {"beta": -1.0}, "beta"),
        ("prelu", {"num_parameters": 0}, "num_parameters"),
    ],
)
def test_bad_values_are_named(name, options, words):
    with pytest.raises(ValueError, match=words):
        make_activation(name, **options)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match="'leaky_relu'"):
        make_activation("leakyrelu")
    with pytest.raises(UnknownArgumentError, match="negative_slope"):
        make_activation("leaky_relu", negative_slope=0.1)
