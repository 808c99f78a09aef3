"""Spectral normalisation against NumPy's singular values."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import remove_parametrizations

from zoo.layers import make_layer
from zoo.layers.spectral_norm import spectral_norm

LAYERS = [
    (lambda: nn.Linear(7, 5), lambda weight: weight),
    (lambda: nn.Conv2d(3, 6, 3), lambda weight: weight.reshape(6, -1)),
    (lambda: nn.Conv1d(4, 2, 5), lambda weight: weight.reshape(2, -1)),
    # Of a transposed convolution [in, out, H, W] the rows are the outputs.
    (lambda: nn.ConvTranspose2d(3, 6, 2), lambda weight: weight.transpose(1, 0, 2, 3).reshape(6, -1)),
]


@pytest.mark.parametrize(("build", "matrix"), LAYERS)
def test_the_weight_is_divided_by_its_largest_singular_value(build, matrix):
    """Fails for another norm than the spectral one, or a matrix cut another way."""
    torch.manual_seed(0)
    layer = build()
    before = layer.weight.detach().numpy().copy()
    assert spectral_norm(layer, num_iterations=500) is layer
    layer.train()
    layer.weight  # noqa: B018  the power iteration runs at each look in training
    sigma = np.linalg.svd(matrix(before), compute_uv=False)[0]
    after = layer.eval().weight.detach().numpy()
    np.testing.assert_allclose(after, before / sigma, rtol=1e-4, atol=1e-6)
    assert np.linalg.svd(matrix(after), compute_uv=False)[0] == pytest.approx(1, abs=1e-4)


def test_one_iteration_a_step_gets_there_in_training_and_rests_in_evaluation():
    torch.manual_seed(1)
    layer = spectral_norm(nn.Linear(20, 20))
    x = torch.randn(2, 20)
    held = copy.deepcopy(layer.eval().state_dict())
    layer(x)
    assert all(torch.equal(value, held[name]) for name, value in layer.state_dict().items())
    layer.train()
    for _ in range(300):
        layer(x)
    largest = np.linalg.svd(layer.eval().weight.detach().numpy(), compute_uv=False)[0]
    assert largest == pytest.approx(1, abs=1e-3)


def test_every_layer_of_a_network_is_wrapped_and_bounded():
    """A network of layers with a spectral norm of 1 and ReLUs moves outputs by no more than inputs move."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Sequential(nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 3))
    for parameter in network.parameters():
        parameter.data *= 20
    names = [name for name, _ in make_layer("spectral_norm", module=network, num_iterations=50).named_parameters()]
    assert [name for name in names if "weight" in name] == [
        f"{path}.parametrizations.weight.original" for path in ("0", "2.0", "3")
    ]
    network(torch.randn(1, 6))
    network.eval()
    x, y = torch.randn(500, 6), torch.randn(500, 6)
    moved = (network(x) - network(y)).norm(dim=1)
    assert (moved <= (x - y).norm(dim=1) * 1.001).all()


def test_the_original_weight_learns_and_can_be_set_free():
    layer = spectral_norm(nn.Linear(4, 3))
    layer(torch.randn(2, 4)).square().sum().backward()
    assert layer.parametrizations.weight.original.grad.abs().sum() > 0
    value = layer.eval().weight.detach().clone()
    remove_parametrizations(layer, "weight")
    torch.testing.assert_close(layer.weight.data, value)


def test_bad_modules_are_named():
    with pytest.raises(ValueError, match="no linear layer"):
        spectral_norm(nn.ReLU())
    with pytest.raises(ValueError, match="Wrap each layer once"):
        spectral_norm(nn.Sequential(spectral_norm(nn.Linear(2, 2)), nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="num_iterations"):
        spectral_norm(nn.Linear(2, 2), num_iterations=0)
