import pytest
import torch
from torch import nn

from zoo.layers.squeeze_excitation import SqueezeExcitation


def test_a_case_by_hand():
    """Fails for another squeeze than the mean, or a missing ReLU or sigmoid.

    Means 2 and 6; hidden unit relu(2 - 6 + 1) = 0 and relu(2 + 6) = 8; gates sigmoid(0 + 0) = 0.5 and
    sigmoid(8 / 8) = 0.731.
    """
    layer = SqueezeExcitation(channels=2, reduction=1, divisor=1)
    with torch.no_grad():
        layer.fc1.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]])[:, :, None, None])
        layer.fc1.bias.copy_(torch.tensor([1.0, 0.0]))
        layer.fc2.weight.copy_(torch.tensor([[5.0, 0.0], [7.0, 0.125]])[:, :, None, None])
        layer.fc2.bias.zero_()
    maps = torch.tensor([[[[1.0, 3.0]], [[4.0, 8.0]]]])  # [1, 2, 1, 2]
    expected = torch.tensor([[[[0.5, 1.5]], [[2.924234, 5.848469]]]])
    torch.testing.assert_close(layer(maps), expected)


@pytest.mark.parametrize(
    ("channels", "divisor", "hidden"), [(64, 8, 8), (64, 1, 4), (256, 8, 16), (2048, 8, 128), (320, 8, 24), (8, 1, 1)]
)
def test_the_hidden_width(channels, divisor, hidden):
    """Fails if the width is rounded another way: 320 / 16 = 20 lies between 16 and 24 and goes up."""
    assert SqueezeExcitation(channels=channels, divisor=divisor).fc1.out_channels == hidden


@pytest.mark.parametrize("channels", [16, 64, 200, 320, 2048])
def test_same_weights_give_timm_s_maps(channels):
    """Fails for another name, width or nonlinearity than timm's."""
    layers = pytest.importorskip("timm.layers")
    reference = layers.SqueezeExcite(channels)
    ours = SqueezeExcitation(channels=channels)
    ours.load_state_dict(reference.state_dict())
    maps = torch.randn(2, channels, 5, 4)
    torch.testing.assert_close(ours(maps), reference(maps), atol=1e-6, rtol=0)


def test_gates_stay_finite_at_extreme_values():
    """Fails if the sigmoid is written with an exponential that overflows."""
    layer = SqueezeExcitation(channels=8)
    nn.init.constant_(layer.fc2.weight, 1e3)
    assert layer(torch.full((1, 8, 2, 2), 1e3)).isfinite().all()


@pytest.mark.parametrize("name", ["channels", "reduction", "divisor"])
def test_a_bad_number_is_named(name):
    """Fails if a bad number gets as far as the convolution."""
    with pytest.raises(ValueError, match=f"{name}=0"):
        SqueezeExcitation(**{"channels": 8, name: 0})
