"""The perceptron on tables: parity with plain torch, its size by hand, and what every model of the zoo must do."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tabular.prediction.catalog import MODELS
from tabular.prediction.table_mlp import ADULT_CARDINALITIES, TableMLP, embedding_size
from zoo import create_model
from zoo.errors import UnknownArgumentError

SMALL = {"num_continuous": 3, "cardinalities": (5, 9), "num_outputs": 2, "widths": (16, 8), "dropout": 0.0}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TableMLP(**SMALL)


def rows(count=6):
    generator = torch.Generator().manual_seed(0)
    categories = [torch.randint(size, (count,), generator=generator) for size in SMALL["cardinalities"]]
    return torch.randn(count, 3, generator=generator), torch.stack(categories, 1)


def test_it_is_embedding_linear_relu_by_plain_torch(model):
    """Fails if a vector is of another category, numbers come last, or the last layer has an activation."""
    numbers, categories = rows()
    state = model.state_dict()
    x = torch.cat([numbers, *(state[f"embedding.tables.{k}.weight"][categories[:, k]] for k in range(2))], 1)
    for layer in ("layers.0", "layers.3"):
        x = F.relu(F.linear(x, state[f"{layer}.weight"], state[f"{layer}.bias"]))
    expected = F.linear(x, state["head.weight"], state["head.bias"])
    torch.testing.assert_close(model(numbers, categories), expected, rtol=0, atol=1e-5)


def test_its_size_at_the_columns_of_adult():
    """Fails if the catalogue's count is not exact; by hand: vectors, three layers, head."""
    sizes = [embedding_size(number) for number in ADULT_CARDINALITIES]
    vectors = sum(number * size for number, size in zip(ADULT_CARDINALITIES, sizes, strict=True))
    by_hand = vectors + (6 + sum(sizes) + 1) * 256 + 2 * 257 * 256 + 257 * 2
    assert MODELS[0].num_params == by_hand == sum(p.numel() for p in create_model("table_mlp").parameters())


def test_sizes_of_vectors_by_hand():
    """1.6 n^0.56 for 2, 10 and 100 categories is 2.36, 5.81 and 21.1; never above 600."""
    assert [embedding_size(number) for number in (2, 10, 100, 10**7)] == [2, 6, 21, 600]


def test_unknown_and_missing_start_at_nothing(model):
    """Fails if a category that training never sees adds noise to the answer."""
    assert not any(table.weight[:2].any() for table in model.embedding.tables)
    assert all(table.weight[2:].any(dim=1).all() for table in model.embedding.tables)


def test_every_parameter_learns(model):
    """Fails if a layer is not used; all categories occur."""
    categories = torch.stack([torch.arange(9) % 5, torch.arange(9)], 1)
    model(torch.randn(9, 3), categories).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_rows_do_not_depend_on_each_other(model):
    """Fails if anything is normalised over the batch."""
    numbers, categories = rows()
    whole = model.eval()(numbers, categories)
    torch.testing.assert_close(model(numbers[2:3], categories[2:3]), whole[2:3])
    assert model(numbers[:0], categories[:0]).shape == (0, 2)


def test_it_learns_one_batch(model):
    """Fails if the loss does not fall: to the interaction of a category with a number."""
    numbers, categories = rows(64)
    target = ((categories[:, 0] > 2) ^ (numbers[:, 0] > 0)).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    losses = []
    for _ in range(80):
        loss = F.cross_entropy(model(numbers, categories), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_tables_of_one_kind(kind):
    """Fails if a table without categories, or without numbers, cannot be built or run."""
    options = {"num_continuous": 0} if kind == "categories" else {"cardinalities": ()}
    model = TableMLP(**{**SMALL, **options})
    numbers, categories = rows()
    found = model(numbers[:, : options.get("num_continuous", 3)], categories[:, : 0 if kind == "numbers" else 2])
    assert found.shape == (6, 2)


def test_dropout_acts_in_training_only():
    """Fails if a probability is passed to the wrong place or dropout stays on."""
    model = TableMLP(**{**SMALL, "dropout": 0.5, "embedding_dropout": 0.5})
    numbers, categories = rows()
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5, 0.5]
    assert not torch.equal(model(numbers, categories), model(numbers, categories))
    model.eval()
    assert torch.equal(model(numbers, categories), model(numbers, categories))


def test_saved_and_loaded(model):
    other = TableMLP(**SMALL)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(*rows()), model(*rows()))


@pytest.mark.parametrize(
    "options",
    [
        {"num_continuous": 0, "cardinalities": ()}, {"num_continuous": -1}, {"cardinalities": (5, 0)},
        {"embedding_sizes": (3,)}, {"embedding_sizes": (3, 0)}, {"widths": (16, 0)}, {"num_outputs": 0},
        {"dropout": 1.0}, {"embedding_dropout": -0.1}, {"widths": (2.5,)},
    ],
)  # fmt: skip
def test_arguments_that_cannot_be(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        TableMLP(**{**SMALL, **options})


def test_a_misspelt_argument_raises():
    with pytest.raises(UnknownArgumentError, match="'dropout'"):
        create_model("table_mlp", droput=0.1)
