"""Additive and multiplicative attention, by hand, and masks."""

import math

import pytest
import torch

from zoo.layers import make_layer
from zoo.layers.attention import Attention

MEMORY = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
MASK = torch.tensor([[True, True, False]])
QUERY = torch.tensor([[[1.0, 0.5]]])
SCORES = ("additive", "dot", "general", "concat")


def attention(score: str) -> Attention:
    found = Attention(score, query_width=2, memory_width=2, hidden=2)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    return found


def weigh(found: Attention) -> tuple[list[float], list[float]]:
    context, weights = found(QUERY, MEMORY, found.keys(MEMORY), MASK)
    return weights[0, 0].tolist(), context[0, 0].tolist()


def test_dot_score_by_hand():
    """Energies are 1 * 1 = 1 and 0.5 * 2 = 1: equal weights, and the context is the mean of the two."""
    weights, context = weigh(attention("dot"))
    assert weights == pytest.approx([0.5, 0.5, 0.0])
    assert context == pytest.approx([0.5, 1.0])


def test_general_score_by_hand():
    """With W = [[0, 2], [1, 0]] the query becomes W q = (1, 1): energies 1 and 2."""
    found = attention("general")
    found.query.weight.data = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    weights, _ = weigh(found)
    assert weights == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e), 0.0])


@pytest.mark.parametrize("score", ["additive", "concat"])
def test_additive_score_by_hand(score):
    """v tanh(W q + U h) with W = identity, U the same, v = (3, 0): 3 tanh(1 + 1) and 3 tanh(1 + 0)."""
    found = attention(score)
    found.query.weight.data = torch.eye(2)
    found.key.weight.data = torch.eye(2)
    found.energy.weight.data = torch.tensor([[3.0, 0.0]])
    first, second = math.exp(3 * math.tanh(2.0)), math.exp(3 * math.tanh(1.0))
    weights, _ = weigh(found)
    assert weights == pytest.approx([first / (first + second), second / (first + second), 0.0])


@pytest.mark.parametrize("score", SCORES)
def test_a_row_with_nothing_to_read_gets_zeros_and_finite_gradients(score):
    """Fails if the softmax over no place is NaN, which spoils every parameter's gradient."""
    torch.manual_seed(0)
    found = Attention(score, query_width=3, memory_width=3, hidden=4)
    memory = torch.randn(2, 5, 3, requires_grad=True)
    mask = torch.tensor([[True, False, True, False, False], [False] * 5])
    context, weights = found(torch.randn(2, 2, 3), memory, mask=mask)
    assert not context[1].any()
    assert not weights[1].any()
    torch.testing.assert_close(weights[0].sum(1), torch.ones(2))
    context.square().sum().backward()
    assert memory.grad.isfinite().all()
    assert not memory.grad[1].any()
    assert all(parameter.grad.isfinite().all() for parameter in found.parameters())


@pytest.mark.parametrize("score", SCORES)
def test_masked_places_change_nothing(score):
    torch.manual_seed(0)
    found = Attention(score, query_width=3, memory_width=3, hidden=4)
    query, memory = torch.randn(1, 2, 3), torch.randn(1, 4, 3)
    mask = torch.tensor([[True, True, True, False]])
    context, weights = found(query, memory, mask=mask)
    short, _ = found(query, memory[:, :3])
    torch.testing.assert_close(context, short)
    memory[:, 3] = 1e3
    assert torch.equal(found(query, memory, mask=mask)[1], weights)
    assert found(query, memory[:, :0])[0].tolist() == torch.zeros(1, 2, 3).tolist()


def test_bfloat16_and_large_energies_stay_finite():
    found = Attention("dot", query_width=2, memory_width=2, hidden=0).bfloat16()
    memory = torch.tensor([[[1e3, 0.0], [-1e3, 0.0]]]).bfloat16()
    context, weights = found(memory[:, :1], memory, mask=torch.tensor([[True, True]]))
    assert weights.tolist() == [[[1.0, 0.0]]]
    assert context.dtype == torch.bfloat16


def test_by_name():
    additive = make_layer("additive_attention", query_width=2, memory_width=3, hidden=4)
    assert list(additive.state_dict()) == ["query.weight", "key.weight", "key.bias", "energy.weight"]
    assert list(make_layer("multiplicative_attention", query_width=2, memory_width=3).state_dict()) == ["query.weight"]
    assert not make_layer("multiplicative_attention", query_width=3, memory_width=3, score="dot").state_dict()


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="one width"):
        make_layer("multiplicative_attention", query_width=2, memory_width=3, score="dot")
    with pytest.raises(ValueError, match="dot, general"):
        make_layer("multiplicative_attention", query_width=3, memory_width=3, score="additive")
    with pytest.raises(ValueError, match="additive, dot, general, concat"):
        Attention("cosine", query_width=2, memory_width=2, hidden=2)
