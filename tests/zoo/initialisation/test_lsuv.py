"""LSUV: the variance of every layer on the batch, and a module given back as it was."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from zoo.initialisation import initialise
from zoo.layers import make_layer

BATCH = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 7 + 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=4), nn.Sigmoid(),
        nn.Dropout(0.5), nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def variances(model: nn.Module, batch: torch.Tensor) -> list[float]:
    """Of the output of each linear layer and convolution, in evaluation mode."""
    found: list[float] = []
    layers = [part for part in model.modules() if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)]
    handles = [
        part.register_forward_hook(lambda *call: found.append(call[2].double().var(correction=0).item()))
        for part in layers
    ]
    training = model.training
    with torch.no_grad():
        model.eval()(batch)
    model.train(training)
    for handle in handles:
        handle.remove()
    return found


def test_every_layer_s_output_has_the_variance_1():
    """Fails if a layer is scaled before those below it, or its bias is left in."""
    model = network()
    assert max(abs(variance - 1) for variance in variances(model, BATCH)) > 0.5
    names = initialise(model, "lsuv", batch=BATCH)
    assert variances(model, BATCH) == pytest.approx([1.0] * 5, abs=0.01)
    assert [name for name in names if "weight" in name] == [f"{i}.weight" for i in (0, 3, 6, 10, 12)]


def test_other_data_of_the_kind_come_close():
    model = network()
    initialise(model, "lsuv", batch=BATCH)
    other = torch.randn(256, 3, 12, 12, generator=torch.Generator().manual_seed(9)) * 7 + 3
    assert variances(model, other) == pytest.approx([1.0] * 5, abs=0.15)


def test_weights_are_orthogonal_ones_scaled():
    model, plain = network(), network()
    initialise(model, "lsuv", batch=BATCH, seed=4)
    initialise(plain, "orthogonal", seed=4)
    for scaled, start in zip(model.parameters(), plain.parameters(), strict=True):
        if start.ndim > 1:
            ratio = scaled / start
            torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-3, atol=1e-5)


def test_the_module_comes_back_as_it_was():
    """Fails if a hook stays, a mode changes, statistics move, or a random number is taken."""
    model = network()
    model[1].eval()
    modes = [part.training for part in model.modules()]
    buffers = copy.deepcopy(dict(model.named_buffers()))
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    initialise(model, "lsuv", batch=BATCH)
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_hooks for part in model.modules())
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]


def test_a_model_that_draws_in_evaluation_too_leaves_the_generators():
    class Noisy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + 0.1 * torch.randn_like(x))

    model = Noisy(4, 4)
    state = torch.get_rng_state()
    initialise(model, "lsuv", batch=torch.arange(80.0).reshape(20, 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_module_comes_back_after_an_error():
    model = network()
    with pytest.raises(ValueError, match=r"0\.weight has the variance 0\.0"):
        initialise(model, "lsuv", batch=torch.zeros(2, 3, 12, 12))
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())


def test_a_seed_decides_all():
    one, two, other = network(), network(), network()
    initialise(one, "lsuv", batch=BATCH, seed=1)
    torch.manual_seed(99)
    initialise(two, "lsuv", batch=BATCH, seed=1)
    initialise(other, "lsuv", batch=BATCH, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one[0].weight, other[0].weight)


def test_layers_in_the_order_of_calls_and_not_of_definition():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Linear(20, 30)
            self.first = nn.Linear(10, 20)
            self.unused = nn.Linear(10, 20)

        def forward(self, x: torch.Tensor, scale: float) -> torch.Tensor:
            return self.second(input=self.first(x * scale).relu())  # by keyword, which a plain hook does not see

    model = Backwards()
    x = torch.randn(100, 10, generator=torch.Generator().manual_seed(0))
    initialise(model, "lsuv", batch=(x, 5.0), forward=lambda model, batch: model(*batch))
    assert model.first(5 * x).var(correction=0).item() == pytest.approx(1, abs=0.01)
    assert model(x, 5.0).var(correction=0).item() == pytest.approx(1, abs=0.01)
    weight = model.unused.weight.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(10), atol=1e-5, rtol=0)


def test_a_shared_layer_counts_at_its_first_call():
    layer = nn.Linear(10, 10)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    x = 3 * torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    initialise(model, "lsuv", batch=x)
    assert layer(x).var(correction=0).item() == pytest.approx(1, abs=0.01)


def test_parametrized_weights():
    """A weight norm gives way; a spectral norm decides the size itself, which is said."""
    x = 5 * torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    layer = weight_norm(nn.Linear(10, 10))
    initialise(layer, "lsuv", batch=x)
    assert layer(x).var(correction=0).item() == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="spectral norm"):
        initialise(make_layer("spectral_norm", module=nn.Linear(10, 10)), "lsuv", batch=x)


def test_a_bias_that_does_not_train_is_met_by_further_scalings():
    """Fails if a layer is scaled once only: the bias moves channels apart whatever the weight is."""
    layer = nn.Linear(50, 4)
    layer.bias.data = torch.tensor([0.5, -0.5, 0.5, -0.5])
    layer.bias.requires_grad_(False)
    x = torch.randn(4000, 50, generator=torch.Generator().manual_seed(0))
    initialise(layer, "lsuv", batch=x, max_scalings=60)
    assert layer(x).var(correction=0).item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": BATCH, "tolerance": 0.0}, "tolerance"),
        ({"batch": BATCH, "max_scalings": 0}, "max_scalings"),
        ({"batch": BATCH * float("nan")}, "nan"),
    ],
)
def test_bad_values_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        initialise(network(), "lsuv", **options)
    with pytest.raises(TypeError, match="batch"):
        initialise(network(), "lsuv")
