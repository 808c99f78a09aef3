"""Multi-head attention against torch's with the same weights, masks, and rows with nothing to read."""

import pytest
import torch
from torch import nn

from zoo.layers import make_layer
from zoo.layers.multi_head_attention import MultiHeadAttention


def twins(memory_width: int | None = None) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """The layer and torch's with the same weights, which are none of the trivial first ones."""
    torch.manual_seed(0)
    ours = MultiHeadAttention(width=12, num_heads=3, memory_width=memory_width).double()
    for parameter in ours.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    theirs = nn.MultiheadAttention(12, 3, kdim=memory_width, vdim=memory_width, batch_first=True).double()
    inputs = (ours.query, ours.key, ours.value)
    if memory_width is None:
        theirs.in_proj_weight.data = torch.cat([layer.weight.data for layer in inputs])
    else:
        for name, layer in zip("qkv", inputs, strict=True):
            getattr(theirs, f"{name}_proj_weight").data = layer.weight.data
    theirs.in_proj_bias.data = torch.cat([layer.bias.data for layer in inputs])
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    return ours, theirs


QUERY, MEMORY = torch.randn(2, 4, 12).double(), torch.randn(2, 5, 12).double()
MASK = torch.tensor([[True, True, False, True, False], [True, True, True, True, False]])


@pytest.mark.parametrize("memory_width", [None, 7])
def test_equals_torch_s_on_the_same_weights(memory_width):
    """Fails for another scale, another cut into heads, or query, key and value exchanged."""
    ours, theirs = twins(memory_width)
    memory = MEMORY[..., :memory_width]
    expected, weights = theirs(QUERY, memory, memory, average_attn_weights=False)
    torch.testing.assert_close(ours(QUERY, memory), expected)
    torch.testing.assert_close(ours.weights(QUERY, memory), weights)


def test_a_mask_of_places_equals_torch_s():
    """Fails if True means hidden, as it does in torch."""
    ours, theirs = twins()
    expected, weights = theirs(QUERY, MEMORY, MEMORY, key_padding_mask=~MASK, average_attn_weights=False)
    torch.testing.assert_close(ours(QUERY, MEMORY, mask=MASK), expected)
    torch.testing.assert_close(ours.weights(QUERY, MEMORY, mask=MASK), weights)


def test_a_mask_for_each_query_and_causal_equal_torch_s():
    ours, theirs = twins()
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    expected, _ = theirs(QUERY, QUERY, QUERY, attn_mask=~causal)
    torch.testing.assert_close(ours(QUERY, causal=True), expected)
    torch.testing.assert_close(ours(QUERY, mask=causal.expand(2, 4, 4)), expected)
    padded = torch.tensor([[True, True, True, False], [True, True, False, False]])
    expected, weights = theirs(QUERY, QUERY, QUERY, attn_mask=~causal, key_padding_mask=~padded)
    torch.testing.assert_close(ours(QUERY, mask=padded, causal=True), expected)
    torch.testing.assert_close(ours.weights(QUERY, mask=padded, causal=True).mean(1), weights)


def test_rows_with_nothing_to_read_give_the_last_bias_alone():
    """Fails if they are NaN, as torch's layer has them, or read what is hidden."""
    ours, theirs = twins()
    memory = MEMORY.clone().requires_grad_()
    mask = MASK.clone()
    mask[1] = False
    found = ours(QUERY, memory, mask=mask)
    torch.testing.assert_close(found[1], ours.out.bias.expand(4, 12))
    torch.testing.assert_close(found[0], theirs(QUERY, MEMORY, MEMORY, key_padding_mask=~MASK)[0][0])
    found.square().sum().backward()
    assert memory.grad.isfinite().all()
    assert not memory.grad[1].any()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())
    assert not ours.weights(QUERY, MEMORY, mask=mask)[1].any()


def test_hidden_places_change_nothing():
    ours, _ = twins()
    changed = torch.where(MASK[..., None], MEMORY, 1e3)
    assert torch.equal(ours(QUERY, changed, mask=MASK), ours(QUERY, MEMORY, mask=MASK))


def test_weights_times_values_is_the_output():
    """Fails if `weights` are not what the forward pass takes."""
    ours, _ = twins()
    values = ours.value(MEMORY).unflatten(2, (3, 4)).transpose(1, 2)
    mixed = ours.weights(QUERY, MEMORY, mask=MASK) @ values
    torch.testing.assert_close(ours.out(mixed.transpose(1, 2).flatten(2)), ours(QUERY, MEMORY, mask=MASK))


def test_dropout_in_training_only():
    torch.manual_seed(0)
    layer = MultiHeadAttention(width=4, num_heads=2, dropout=0.5)
    x = torch.randn(1, 6, 4)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_bfloat16_and_large_values_stay_finite():
    layer = MultiHeadAttention(width=4, num_heads=1).bfloat16()
    found = layer(torch.full((1, 3, 4), 1e3).bfloat16(), mask=torch.tensor([[True, False, False]]))
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()
    assert layer(torch.empty(0, 3, 4).bfloat16()).shape == (0, 3, 4)


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="num_heads=3"):
        make_layer("multi_head_attention", width=4, num_heads=3)
    with pytest.raises(ValueError, match="dropout"):
        MultiHeadAttention(width=4, num_heads=2, dropout=1.0)
    layer = MultiHeadAttention(width=4, num_heads=2)
    with pytest.raises(ValueError, match="bool"):
        layer(torch.zeros(1, 3, 4), mask=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="True at what is read"):
        layer(torch.zeros(1, 3, 4), mask=torch.ones(1, 4, dtype=torch.bool))
