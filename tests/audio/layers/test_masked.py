"""Masks, and batch norm over valid positions only."""

import pytest
import torch
from torch import nn

from audio.layers.masked import MaskedBatchNorm, over_channels, valid_positions


def test_masks_end_with_the_row():
    mask = valid_positions(torch.tensor([1, 3]), 4)
    assert mask.tolist() == [[True, False, False, False], [True, True, True, False]]
    assert over_channels(mask, torch.zeros(2, 5, 7, 4)).shape == (2, 1, 1, 4)
    assert over_channels(mask, torch.zeros(2, 5, 4)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(3, 4, 9), (3, 4, 5, 9)])
def test_training_equals_batch_norm_of_the_valid_positions(shape):
    """Fails if padding enters mean or variance, their gradients, or the running statistics."""
    torch.manual_seed(0)
    lengths = torch.tensor([9, 4, 1])
    x = 3 + 2 * torch.randn(shape)
    mask = over_channels(valid_positions(lengths, 9), x)
    own, reference = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    nn.init.normal_(own.weight)
    reference.load_state_dict(own.state_dict())
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    packed = torch.cat([inputs[1][row, ..., :length].flatten(1) for row, length in enumerate(lengths)], dim=1).T
    expected = reference(packed)  # [positions, 4]
    found = own(inputs[0], mask) * mask
    together = torch.cat([found[row, ..., :length].flatten(1) for row, length in enumerate(lengths)], dim=1).T
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (together * weights).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(own.weight.grad, reference.weight.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(own.bias.grad, reference.bias.grad, atol=1e-5, rtol=1e-4)
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("offset", [10.0, 100.0, 1000.0])
def test_a_large_mean_leaves_the_variance_right(offset):
    """Fails if the variance is the mean of squares less the square of the mean: at 1000 nothing of it is left."""
    torch.manual_seed(0)
    x = offset + torch.randn(16, 4, 8, 100)
    own, reference = MaskedBatchNorm(4), nn.BatchNorm2d(4)
    found, expected = own(x, torch.ones(16, 1, 1, 100)), reference(x)
    torch.testing.assert_close(found, expected, atol=5e-7 * offset + 1e-5, rtol=0)
    torch.testing.assert_close(own.running_var, reference.running_var, atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_its_type_and_sums_in_single():
    """Fails if 51,200 values are counted or summed in bfloat16, which knows no whole number above 256."""
    torch.manual_seed(0)
    x = 2 + torch.randn(16, 4, 32, 100)
    mask = torch.ones(16, 1, 1, 100)
    found = MaskedBatchNorm(4)(x.bfloat16(), mask.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), MaskedBatchNorm(4)(x, mask), atol=0.03, rtol=0.02)


def test_evaluation_is_pytorchs():
    own, reference = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    nn.init.normal_(own.running_mean)
    reference.load_state_dict(own.state_dict())
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(own.eval()(x, torch.ones(2, 1, 5)), reference.eval()(x))


def test_silence_gives_no_nan():
    x = torch.zeros(2, 4, 5, requires_grad=True)
    MaskedBatchNorm(4)(x, torch.ones(2, 1, 5)).sum().backward()
    assert x.grad.isfinite().all()


def test_a_matrix_is_refused():
    with pytest.raises(ValueError, match=r"Expected \[B, C, \*, T\]"):
        MaskedBatchNorm(4)(torch.zeros(2, 4), torch.ones(2, 4))
