"""LSTM and GRU classifiers: the same as PyTorch's packed ones, and blind to padding."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nlp.classification.catalog import MODELS
from nlp.classification.recurrent import RecurrentClassifier
from nlp.layers.pooling import AttentionPool, max_pool, mean_pool
from nlp.layers.recurrent import RecurrentEncoder
from zoo.errors import UnknownNameError, WeightsError
from zoo.lookup import import_object

LENGTHS = (7, 1, 4)
POOLINGS = ("last", "mean", "max", "attention")


def make_mask(lengths: tuple[int, ...] = LENGTHS, num_steps: int | None = None) -> Tensor:
    return torch.arange(num_steps or max(lengths)) < torch.tensor(lengths)[:, None]


def packed_reference(
    encoder: RecurrentEncoder, kind: type, *, size: int, width: int, layers: int, both: bool
) -> nn.Module:
    """PyTorch's module with the encoder's weights."""
    reference = kind(size, width, layers, batch_first=True, bidirectional=both)
    for index in range(layers):
        for name, part in (("", encoder.forwards), ("_reverse", encoder.backwards)):
            if name and not both:
                continue
            for key, value in part[index].named_parameters():
                getattr(reference, key.replace("l0", f"l{index}{name}")).data.copy_(value.data)
    return reference


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_states_are_those_of_packed_sequences(cell, both):
    """Fails if a row is reversed with its padding, or the last state is read at the wrong step."""
    torch.manual_seed(0)
    sizes = {"size": 5, "width": 6, "layers": 2, "both": both}
    encoder = RecurrentEncoder(cell=cell, input_size=5, width=6, num_layers=2, bidirectional=both, dropout=0.0)
    reference = packed_reference(encoder, nn.LSTM if cell == "lstm" else nn.GRU, **sizes)
    x = torch.randn(3, 7, 5)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    states, ends = reference(packed)
    expected, _ = pad_packed_sequence(states, batch_first=True)
    last = ends[0] if cell == "lstm" else ends  # [layers * directions, B, W]
    mask = make_mask()
    found, found_ends = encoder(x, mask)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-6, rtol=0)
    directions = 2 if both else 1
    torch.testing.assert_close(found_ends, torch.cat(list(last[-directions:]), dim=1), atol=1e-6, rtol=0)


def small(pooling: str = "last", **options: object) -> RecurrentClassifier:
    torch.manual_seed(1)
    return RecurrentClassifier(
        num_classes=3, vocab_size=20, embedding_dim=5, width=4, pooling=pooling, **{"num_layers": 2, **options}
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling):
    """Fails if any part reads padding: a text alone, and among longer ones with any filling, gives the same."""
    model = small(pooling).eval()
    mask = make_mask(num_steps=12)
    ids = torch.randint(1, 20, (3, 12))
    together = model(input_ids=ids, attention_mask=mask.long())
    other = model(input_ids=torch.where(mask, ids, 0), attention_mask=mask)
    torch.testing.assert_close(together, other, atol=1e-6, rtol=0)
    for row, length in enumerate(LENGTHS):
        alone = model(input_ids=ids[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_gradient(pooling):
    """Fails if padding adds to a gradient, though the outputs agree."""
    model = small(pooling, embedding_dropout=0.0, layer_dropout=0.0, dropout=0.0)
    ids = torch.randint(1, 20, (1, 4))
    gradients = []
    for extra in (0, 6):
        padded = nn.functional.pad(ids, (0, extra), value=7)
        mask = make_mask((4,), 4 + extra)
        twin = copy.deepcopy(model)
        twin(input_ids=padded, attention_mask=mask)[0, 1].backward()
        gradients.append({name: parameter.grad for name, parameter in twin.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=0)


def test_pooling_by_hand():
    """Fails if padding counts in a mean, a maximum or a share."""
    states = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert mean_pool(states, mask).tolist() == [[2.0, -6.0]]
    assert max_pool(states, mask).tolist() == [[3.0, -5.0]]
    weights = AttentionPool(2).weights(states, mask)
    assert weights[0, 2] == 0
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_catalogue(entry):
    """Fails if the stated count is not that of the default sizes."""
    model = import_object(entry.builder)(**entry.config)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params
    assert model(input_ids=torch.randint(0, 20_000, (2, 5))).shape == (2, 2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_learns_one_batch_and_uses_every_parameter(pooling):
    """Fails if a part is left out of the sum, or the model cannot tell word order from padding."""
    model = small(pooling, embedding_dropout=0.0, layer_dropout=0.0, dropout=0.0)
    ids, targets = torch.randint(1, 20, (6, 7)), torch.arange(6) % 3
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(input_ids=ids, attention_mask=ids > 0), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_vector_of_padding_stays_zero():
    model = small()
    model(input_ids=torch.tensor([[0, 3, 0]])).sum().backward()
    assert not model.embedding.weight[0].any()
    assert not model.embedding.weight.grad[0].any()


def write_vectors(path, lines: list[str]):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_published_vectors(tmp_path):
    """Fails if vectors go to the wrong tokens, or those without one lose theirs."""
    vocabulary = ["<pad>", "<unk>", "<bos>", "<eos>", "cat", "Dog", "rare"]
    path = write_vectors(tmp_path / "glove.txt", ["the 9 9 9", "dog 4 5 6", ". . 7 7 7", "cat 1 2 3"])
    torch.manual_seed(0)
    plain = RecurrentClassifier(vocab_size=7, embedding_dim=3, width=2)
    torch.manual_seed(0)
    model = RecurrentClassifier(vocab_size=7, embedding_dim=3, width=2, embedding_weights=path, vocabulary=vocabulary)
    assert model.embedding.weight[4:6].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert torch.equal(model.embedding.weight[6], plain.embedding.weight[6])
    counted = write_vectors(tmp_path / "fasttext.vec", ["1 3", "cat 1 2 3"])
    again = RecurrentClassifier(
        vocab_size=7, embedding_dim=3, width=2, embedding_weights=counted, vocabulary=vocabulary
    )
    assert again.embedding.weight[4].tolist() == [1, 2, 3]


def test_vectors_that_do_not_fit(tmp_path):
    vocabulary = ["<pad>", "<unk>", "<bos>", "<eos>", "cat"]
    path = write_vectors(tmp_path / "glove.txt", ["cat 1 2 3"])
    options = {"vocab_size": 5, "width": 2, "embedding_weights": path}
    with pytest.raises(WeightsError, match="embedding_dim=3"):
        RecurrentClassifier(embedding_dim=4, vocabulary=vocabulary, **options)
    with pytest.raises(ValueError, match="need the vocabulary of the 5 tokens, got none"):
        RecurrentClassifier(embedding_dim=3, **options)
    with pytest.raises(WeightsError, match="for none of the 5 tokens"):
        RecurrentClassifier(embedding_dim=3, vocabulary=[*vocabulary[:4], "dog"], **options)


def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="'lstm'"):
        RecurrentClassifier(cell="lstmm")
    with pytest.raises(UnknownNameError, match="'mean'"):
        RecurrentClassifier(pooling="meen")
    with pytest.raises(ValueError, match="num_layers"):
        RecurrentClassifier(num_layers=0)
    with pytest.raises(ValueError, match="pooling='attention'"):
        small("mean").attention_weights(input_ids=torch.tensor([[1]]))
