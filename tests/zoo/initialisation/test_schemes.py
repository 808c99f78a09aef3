"""Initialisations by name: statistics against theory and torch, what is touched, and seeds."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.initialisation import INITIALISATIONS, initialise, needs_batch
from zoo.layers import make_layer

DRAWN = [
    ("normal", {"std": 0.05}, lambda w, g: nn.init.normal_(w, std=0.05, generator=g)),
    ("xavier", {}, lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
    ("xavier", {"distribution": "normal", "gain": 2.0}, lambda w, g: nn.init.xavier_normal_(w, gain=2.0, generator=g)),
    ("kaiming", {}, lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g)),
    (
        "kaiming",
        {"fan": "fan_out", "nonlinearity": "leaky_relu", "slope": 0.2, "distribution": "uniform"},
        lambda w, g: nn.init.kaiming_uniform_(w, a=0.2, mode="fan_out", nonlinearity="leaky_relu", generator=g),
    ),
    ("orthogonal", {"gain": 3.0}, lambda w, g: nn.init.orthogonal_(w, gain=3.0, generator=g)),
]


class Everything(nn.Module):
    """Layers of every kind that is drawn, and of every kind that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.positions = nn.Parameter(torch.randn(5, 6))
        self.linear = nn.Linear(6, 8)
        self.convolution = nn.Conv2d(4, 6, 3, groups=2)
        self.transposed = nn.ConvTranspose1d(4, 6, 2)
        self.recurrent = nn.LSTM(6, 5, num_layers=2, bidirectional=True, proj_size=3)
        self.cell = nn.GRUCell(6, 5)
        self.attention = nn.MultiheadAttention(6, 2)
        self.batch_norm = nn.BatchNorm2d(6)
        self.layer_norm = nn.LayerNorm(6)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.tied = nn.Linear(6, 7)
        self.tied.weight = self.embedding.weight
        for parameter in self.parameters():  # away from the trivial first values
            parameter.data += 0.1 * torch.rand_like(parameter) + 0.1


@pytest.mark.parametrize(("name", "options", "fill"), DRAWN)
@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv2d(5, 8, 3), nn.Conv1d(6, 4, 5)])
def test_draws_what_torch_draws(name, options, fill, layer):
    """Fails for another variance, distribution or fan than torch's own functions have."""
    expected = fill(torch.empty_like(layer.weight.data), torch.Generator().manual_seed(3))
    initialise(layer, name, seed=3, **options)
    torch.testing.assert_close(layer.weight.data, expected, rtol=1e-6, atol=1e-7)
    assert not layer.bias.any()


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Linear(100, 300), 100, 300),
        (nn.Conv2d(32, 64, 3), 288, 576),
        (nn.Conv2d(64, 128, 3, groups=4), 144, 288),
        (nn.Conv2d(512, 512, 5, groups=512), 25, 25),
        (nn.ConvTranspose2d(64, 32, 4, stride=2), 256, 512),  # each output sees 2 x 2 of the 4 x 4 kernel
        (nn.LSTM(100, 80), 100, 80),
    ],
)
def test_standard_deviations_by_fan(layer, fan_in, fan_out):
    """Fails if the groups of a convolution, the strides of a transposed one or the gates of an LSTM are left out."""
    weight = layer.weight_ih_l0 if isinstance(layer, nn.LSTM) else layer.weight
    for name, options, variance in (
        ("kaiming", {}, 2 / fan_in),
        ("kaiming", {"fan": "fan_out", "distribution": "uniform"}, 2 / fan_out),
        ("kaiming", {"nonlinearity": "tanh"}, (5 / 3) ** 2 / fan_in),
        ("xavier", {"distribution": "normal"}, 2 / (fan_in + fan_out)),
        ("xavier", {}, 2 / (fan_in + fan_out)),
        ("normal", {}, 0.02**2),
    ):
        initialise(layer, name, seed=1, **options)
        values = weight.detach().double()
        spread = 4 * (2 / values.numel()) ** 0.5  # four standard errors of a normal sample's variance
        assert values.var(correction=0).item() == pytest.approx(variance, rel=spread), name
        assert abs(values.mean().item()) < 4 * (variance / values.numel()) ** 0.5, name


def test_uniform_values_keep_their_bounds():
    layer = nn.Linear(50, 100)
    initialise(layer, "xavier", seed=0)
    bound = math.sqrt(6 / 150)
    assert bound * 0.99 < layer.weight.abs().max().item() <= bound


def test_kaiming_keeps_signals_through_thirty_rectifiers_and_xavier_does_not():
    """Fails for a gain of 1: the signal would be halved 30 times."""
    network = nn.Sequential(*(nn.Sequential(nn.Linear(400, 400), nn.ReLU()) for _ in range(30)))
    x = torch.randn(200, 400, generator=torch.Generator().manual_seed(0))
    size = {}
    for name, options in (("kaiming", {}), ("xavier", {}), ("kaiming-out", {"fan": "fan_out"})):
        initialise(network, name.removesuffix("-out"), seed=0, **options)
        size[name] = network(x).square().mean().item() / x.square().mean().item()
    assert 0.2 < size["kaiming"] < 2
    assert size["xavier"] < 1e-6


def test_fan_out_keeps_gradients_where_widths_change():
    layers = nn.Sequential(nn.Linear(100, 1600), nn.ReLU(), nn.Linear(1600, 400), nn.ReLU(), nn.Linear(400, 100))
    x = torch.randn(500, 100, generator=torch.Generator().manual_seed(0), requires_grad=True)
    initialise(layers, "kaiming", seed=0, fan="fan_out")
    slope = torch.randn(500, 100, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(layers(x), x, slope)
    assert gradient.square().mean().item() == pytest.approx(2.0, rel=0.3)  # the last layer is followed by no ReLU


def test_a_transposed_convolution_keeps_the_variance():
    layer = nn.ConvTranspose2d(64, 64, kernel_size=4, stride=2, padding=1)
    initialise(layer, "kaiming", seed=0, nonlinearity="linear")
    x = torch.randn(4, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    assert layer(x)[..., 2:-2, 2:-2].var().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (8, 8)])
def test_orthogonal_rows_or_columns(shape):
    layer = nn.Linear(shape[1], shape[0])
    initialise(layer, "orthogonal", seed=0, gain=2.0)
    weight = layer.weight.detach().double().numpy() / 2
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-6)


def test_orthogonal_by_group_and_gate():
    """Fails if groups or gates are one matrix, whose parts then are not orthogonal by themselves."""
    convolution, gru = nn.Conv2d(6, 12, 3, groups=3), nn.GRU(5, 4)
    for module in (convolution, gru):
        initialise(module, "orthogonal", seed=0)
    for part in (*convolution.weight.chunk(3), *gru.weight_hh_l0.chunk(3), *gru.weight_ih_l0.chunk(3)):
        rows = part.detach().flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-5, rtol=0)
    projected = nn.LSTM(5, 8, proj_size=4)
    initialise(projected, "orthogonal", seed=0)
    projection = projected.weight_hr_l0.detach()  # one matrix for all gates
    torch.testing.assert_close(projection @ projection.T, torch.eye(4), atol=1e-5, rtol=0)
    depthwise = nn.Conv2d(64, 64, 3, groups=64)
    initialise(depthwise, "orthogonal", seed=0)
    torch.testing.assert_close(depthwise.weight.flatten(1).norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("name", ["normal", "xavier", "kaiming", "orthogonal"])
def test_what_is_touched_and_what_is_not(name):
    """Fails if a norm, embedding, tied matrix, loose parameter or frozen layer moves, or a name is not reported."""
    torch.manual_seed(0)
    model = Everything()
    before = copy.deepcopy(dict(model.named_parameters()))
    buffers = copy.deepcopy(dict(model.named_buffers()))
    touched = initialise(model, name, seed=0)
    after = dict(model.named_parameters())
    assert sorted(touched) == sorted(key for key in after if not torch.equal(after[key], before[key]))
    kept = {key for key in after if key not in touched}
    assert kept == {
        "embedding.weight", "positions", "batch_norm.weight", "batch_norm.bias", "layer_norm.weight", "layer_norm.bias",
        "frozen.weight", "frozen.bias", "tied.bias",
    }  # fmt: skip
    assert not any(after[key].any() for key in touched if "bias" in key)
    assert all(after[key].std() > 0 for key in touched if "bias" not in key)
    assert all(torch.equal(value, buffers[key]) for key, value in model.named_buffers())


@pytest.mark.parametrize("name", ["normal", "xavier", "kaiming", "orthogonal"])
def test_a_seed_decides_all_and_the_global_generator_nothing(name):
    first, second, third = (copy.deepcopy(nn.Sequential(nn.Linear(6, 5), nn.GRU(5, 4))) for _ in range(3))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    initialise(first, name, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    initialise(second, name, seed=7)
    initialise(third, name, seed=8)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(one, two) for one, two, _ in pairs)
    assert not any(torch.equal(one, three) for one, _, three in pairs if one.ndim > 1)


def test_a_generator_goes_on():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(4, 4)
    initialise(layer, "normal", seed=generator)
    first = layer.weight.detach().clone()
    initialise(layer, "normal", seed=generator)
    assert not torch.equal(layer.weight, first)
    initialise(layer, "normal", seed=0)
    assert torch.equal(layer.weight, first)


def test_precision_and_gradients_stay():
    layer = nn.Linear(64, 64).bfloat16()
    initialise(layer, "kaiming", seed=0)
    assert layer.weight.dtype == torch.bfloat16
    assert layer.weight.requires_grad
    other = nn.Linear(64, 64)
    initialise(other, "kaiming", seed=0)
    assert torch.equal(layer.weight, other.weight.bfloat16())


def test_a_shared_layer_is_drawn_once():
    layer = nn.Linear(4, 4)
    assert initialise(nn.Sequential(layer, nn.ReLU(), layer), "normal", seed=0) == ("0.weight", "0.bias")


def test_a_spectral_norm_s_original_is_drawn():
    """Fails if the computed weight is written to, which nothing keeps."""
    layer = make_layer("spectral_norm", module=nn.Linear(6, 6)).eval()
    names = initialise(layer, "orthogonal", seed=0)
    assert names == ("parametrizations.weight.original", "bias")
    expected = nn.Linear(6, 6)
    initialise(expected, "orthogonal", seed=0)
    torch.testing.assert_close(layer.parametrizations.weight.original, expected.weight)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("normal", {"std": 0.0}, "std"),
        ("xavier", {"gain": math.nan}, "gain"),
        ("xavier", {"distribution": "cauchy"}, "normal, uniform"),
        ("kaiming", {"fan": "in"}, "fan_in, fan_out"),
        ("kaiming", {"nonlinearity": "gelu"}, "relu, leaky_relu"),
        ("kaiming", {"slope": math.inf}, "slope"),
        ("orthogonal", {"gain": -1.0}, "gain"),
    ],
)
def test_bad_values_are_named(name, options, words):
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match=words):
        initialise(layer, name, **options)
    assert torch.equal(layer.weight, before)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match="'xavier'"):
        initialise(nn.Linear(2, 2), "xavior")
    with pytest.raises(UnknownArgumentError, match="std"):
        initialise(nn.Linear(2, 2), "normal", sigma=0.1)
    with pytest.raises(ValueError, match="no weight to draw"):
        initialise(nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2)), "normal")
    assert [name for name in INITIALISATIONS if needs_batch(name)] == ["lsuv"]
