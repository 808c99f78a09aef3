"""Matrix factorisation: equation 4 by hand, its penalty, unseen users and items, and the size that is stated."""

import pytest
import torch
from torch.nn import functional as F

from tabular.recommendation.catalog import MODELS
from tabular.recommendation.matrix_factorization import MatrixFactorization
from zoo import create_model
from zoo.errors import UnknownArgumentError


@pytest.fixture
def model():
    """Two users, two items and two factors of known values."""
    model = MatrixFactorization(num_users=2, num_items=2, num_factors=2, mean=3.0)
    with torch.no_grad():
        model.user_bias.weight[1:] = torch.tensor([[0.5], [-1.0]])
        model.item_bias.weight[1:] = torch.tensor([[0.25], [0.0]])
        model.user_factors.weight[1:] = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
        model.item_factors.weight[1:] = torch.tensor([[3.0, 0.5], [1.0, 1.0]])
    return model


PAIRS = torch.tensor([[1, 1], [2, 2], [1, 0], [0, 1], [0, 0]])


def test_equation_4_by_hand(model):
    """Fails if users and items are swapped, or a term is missing: 3 + 0.5 + 0.25 + (1 * 3 + 2 * 0.5)."""
    assert model(PAIRS[:2]).tolist() == [7.75, 1.0]
    assert model.parts(PAIRS[:2]).tolist() == [[3, 0.5, 0.25, 4], [3, -1, 0, -1]]


def test_unseen_users_and_items_count_nothing(model):
    """Fails if row 0 holds anything: only the other's bias may be left."""
    assert model(PAIRS[2:]).tolist() == [3.5, 3.25, 3.0]


def test_penalty_by_hand(model):
    """Fails if a square is missing or counted twice: 0.25 + 5 + 0.0625 + 9.25."""
    assert model.penalty(PAIRS).tolist() == pytest.approx([14.5625, 4.0, 5.25, 9.3125, 0.0])


def test_unseen_stays_at_nothing_while_training(model):
    """Fails if row 0 takes gradients or decays to something: it must stay exactly 0."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        (model(PAIRS).square().mean() + model.penalty(PAIRS).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not any(parameter[0].any() for parameter in model.parameters())


def test_every_parameter_learns_and_rows_are_alone():
    torch.manual_seed(0)
    model = MatrixFactorization(num_users=3, num_items=3, num_factors=4, mean=2.0)
    pairs = torch.cartesian_prod(torch.arange(1, 4), torch.arange(1, 4))
    whole = model(pairs)
    (whole * torch.arange(9.0)).sum().backward()
    assert all(parameter.grad[1:].any(dim=1).all() for parameter in model.parameters())
    torch.testing.assert_close(model(pairs[4:5]), whole[4:5])


def test_it_learns_one_batch():
    torch.manual_seed(0)
    model = MatrixFactorization(num_users=5, num_items=5, num_factors=5, mean=3.0)
    pairs = torch.cartesian_prod(torch.arange(1, 6), torch.arange(1, 6))
    target = 1 + 4 * torch.rand(25)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    losses = []
    for _ in range(100):
        loss = F.mse_loss(model(pairs), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_its_size_at_movielens():
    """By hand: 943 users and 1,682 items, and one unseen of each, with a bias and the factors."""
    model = create_model("matrix_factorization")
    factors = model.user_factors.embedding_dim
    assert MODELS[0].num_params == (944 + 1683) * (1 + factors) == sum(p.numel() for p in model.parameters())


def test_the_mean_is_saved_with_the_weights():
    model = MatrixFactorization(num_users=2, num_items=2, num_factors=2, mean=3.7)
    other = MatrixFactorization(num_users=2, num_items=2, num_factors=2)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(PAIRS), model(PAIRS))


@pytest.mark.parametrize("options", [{"num_users": 0}, {"num_items": -1}, {"num_factors": 2.5}])
def test_arguments_that_cannot_be(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MatrixFactorization(**options)
    with pytest.raises(UnknownArgumentError, match="'num_factors'"):
        create_model("matrix_factorization", num_factor=3)
