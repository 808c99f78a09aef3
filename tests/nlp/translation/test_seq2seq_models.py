"""The sequence-to-sequence models: masks, causality, steps, recurrence by hand, and torch's own Transformer."""

import copy
import math

import pytest
import torch
from torch import nn

from nlp.translation.catalog import MODELS as ENTRIES
from nlp.translation.contract import Seq2SeqBatch, map_tensors, select_hypotheses
from nlp.translation.rnn import Seq2SeqRNN
from nlp.translation.transformer import Transformer, sinusoids
from zoo.lookup import import_object

VOCABULARY = 12
WIDE = {
    "source_vocabulary": 12, "target_vocabulary": 12, "width": 16, "num_heads": 4, "num_layers": 2, "hidden": 24,
    "max_positions": 40,
}  # fmt: skip
SMALL = {"source_vocabulary": 12, "target_vocabulary": 12, "embedding": 6, "hidden": 8}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_stated_counts_are_exact(entry):
    with torch.device("meta"):
        model = import_object(entry.builder)(**entry.config)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params


def test_padding_changes_nothing(model, batch):
    """Fails if attention, the encoder or the first decoder state sees padding, or a row sees another row."""
    with torch.no_grad():
        together = model(batch)
        for row in range(len(batch.source)):
            length, width = int(batch.source_mask[row].sum()), int(batch.target_mask[row].sum())
            alone = model(
                Seq2SeqBatch(
                    batch.source[row : row + 1, :length], batch.source_mask[row : row + 1, :length],
                    batch.target_in[row : row + 1, :width], batch.target_mask[row : row + 1, :width],
                )
            )  # fmt: skip
            torch.testing.assert_close(together[row : row + 1, :width], alone, atol=1e-9, rtol=1e-7)
        changed = batch._replace(source=batch.source.masked_fill(~batch.source_mask, 7))
        assert torch.equal(model(changed), together)


def test_the_future_never_changes_the_past(model, batch):
    """Fails if a target place sees the tokens after it, or does not see its own."""
    with torch.no_grad():
        before = model(batch)
        later = batch.target_in.clone()
        later[:, 3] = (later[:, 3] - 3) % 8 + 4
        after = model(batch._replace(target_in=later))
    torch.testing.assert_close(after[:, :3], before[:, :3], atol=1e-9, rtol=1e-7)
    assert (after[:, 3] - before[:, 3]).abs().mean() > 1e-3


def test_steps_give_what_the_whole_gives(model, batch):
    """Fails if the cache, the positions or the fed vector of a step are not those of teacher forcing."""
    with torch.no_grad():
        whole = model(batch)
        state = model.encode(batch.source, batch.source_mask)
        for place in range(batch.target_in.shape[1]):
            logits, state = model.step(batch.target_in[:, place], state)
            torch.testing.assert_close(logits, whole[:, place], atol=1e-9, rtol=1e-7)


def test_hypotheses_of_a_sentence_share_its_memory(model, batch):
    """Fails if the hypotheses of several sentences are mixed up in the attention to the sources."""
    with torch.no_grad():
        single = model.encode(batch.source, batch.source_mask)
        expected = [
            model.step(torch.full((4,), token), model.encode(batch.source, batch.source_mask))[0] for token in (5, 9)
        ]
        doubled = single._replace(cache=map_tensors(lambda tensor: tensor.repeat_interleave(2, dim=0), single.cache))
        logits, state = model.step(torch.tensor([5, 9] * 4), doubled)
        torch.testing.assert_close(logits[0::2], expected[0], atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(logits[1::2], expected[1], atol=1e-9, rtol=1e-7)
        swapped = select_hypotheses(state, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6]))
        tokens = torch.tensor([4, 6] * 4)
        one, other = model.step(tokens, state)[0], model.step(tokens.flip(0), swapped)[0]
        torch.testing.assert_close(model.step(tokens.view(4, 2).flip(1).flatten(), swapped)[0].view(4, 2, -1).flip(1),
                                   one.view(4, 2, -1), atol=1e-9, rtol=1e-7)  # fmt: skip
        assert not torch.allclose(one, other)


def test_every_parameter_gets_a_gradient(model, batch):
    model.train()
    model(batch)[batch.target_mask].logsumexp(dim=1).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_attention_adds_up_and_leaves_padding_out(model, batch):
    if getattr(model, "kind", "") == "none":
        with pytest.raises(ValueError, match="integrated_gradients"):
            model.attention_weights(batch)
        return
    with torch.no_grad():
        weights = model.attention_weights(batch)
    assert weights.shape == (4, 5, 6)
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 5).double())
    assert not weights[~batch.source_mask[:, None].expand_as(weights)].any()
    assert weights[0].std() > 1e-3  # no mere mean


def test_reverse_source_reads_each_sentence_from_its_end(batch):
    """Fails if padding moves to the front when a sentence is reversed."""
    torch.manual_seed(0)
    options = {**SMALL, "attention": "none", "cell": "lstm", "bidirectional": False}
    backwards = Seq2SeqRNN(**options, reverse_source=True).eval()
    forwards = Seq2SeqRNN(**options).eval()
    forwards.load_state_dict(backwards.state_dict())
    mirrored = batch.source.clone()
    for row, length in enumerate(batch.source_mask.sum(1).tolist()):
        mirrored[row, :length] = batch.source[row, :length].flip(0)
    with torch.no_grad():
        torch.testing.assert_close(backwards(batch), forwards(batch._replace(source=mirrored)))


def test_bahdanau_is_a_gru_cell_over_embedding_and_context(batch):
    """Fails if the context is not of the state before, or the output does not read state, context and embedding."""
    torch.manual_seed(0)
    model = Seq2SeqRNN(**SMALL).eval()
    with torch.no_grad():
        memory, cache = model.encode(batch.source, batch.source_mask)
        cell = nn.GRUCell(6 + 16, 8)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.decoder.state_dict().items()})
        hidden = cache.hidden[0][:, 0]
        for place in range(5):
            embedded = model.target_embedding(batch.target_in[:, place])
            context = model.attention(hidden[:, None], *memory)[0][:, 0]
            hidden = cell(torch.cat([embedded, context], dim=1), hidden)
            expected = model.output(torch.cat([hidden, context, embedded], dim=1))
            torch.testing.assert_close(model(batch)[:, place], expected, atol=1e-6, rtol=1e-5)


def test_luong_feeds_the_attentional_vector(batch):
    """Fails if input feeding changes nothing, or the attentional vector is not tanh(W [context; state])."""
    torch.manual_seed(0)
    model = Seq2SeqRNN(**SMALL, attention="luong_general", cell="gru").eval()
    with torch.no_grad():
        memory, cache = model.encode(batch.source, batch.source_mask)
        hidden, fed = cache.hidden[0].transpose(0, 1).contiguous(), torch.zeros(4, 8)
        for place in range(5):
            embedded = model.target_embedding(batch.target_in[:, place])
            states, hidden = model.decoder(torch.cat([embedded, fed], dim=1)[:, None], hidden)
            context = model.attention(states, *memory)[0]
            fed = torch.tanh(model.combine(torch.cat([context, states], dim=2)))[:, 0]
            torch.testing.assert_close(model(batch)[:, place], model.output(fed), atol=1e-6, rtol=1e-5)


def test_choices_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="attention must be one of"):
        Seq2SeqRNN(attention="luong")
    with pytest.raises(ValueError, match="luong_general"):
        Seq2SeqRNN(**SMALL, attention="luong_dot")
    with pytest.raises(ValueError, match="reverse_source"):
        Seq2SeqRNN(**SMALL, reverse_source=True)
    with pytest.raises(ValueError, match="joint=True"):
        Transformer(**{**WIDE, "source_vocabulary": 9})
    with pytest.raises(ValueError, match="norm must be"):
        Transformer(**WIDE, norm="none")
    model = Transformer(**{**WIDE, "max_positions": 3})
    with pytest.raises(ValueError, match="max_positions=3"):
        model.encode(torch.full((1, 4), 5), torch.ones(1, 4, dtype=torch.bool))


# -- The Transformer against torch's


def torch_twin(model: Transformer, norm: str) -> nn.Transformer:
    """torch's Transformer with the weights of `model`."""
    twin = nn.Transformer(16, 4, 2, 2, 24, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    if norm == "post":  # torch has a norm after the last one
        twin.encoder.norm = twin.decoder.norm = None
    else:
        twin.encoder.norm = copy.deepcopy(model.encoder_norm)
        twin.decoder.norm = copy.deepcopy(model.decoder_norm)
    for own, theirs in zip((*model.encoder, *model.decoder), (*twin.encoder.layers, *twin.decoder.layers), strict=True):
        _copy_attention(theirs.self_attn, [own.attention.qkv], own.attention.out)
        if hasattr(own, "source_attention"):
            source = own.source_attention
            _copy_attention(theirs.multihead_attn, [source.query, source.key_value], source.out)
        theirs.linear1.load_state_dict(own.feed_forward.first.state_dict())
        theirs.linear2.load_state_dict(own.feed_forward.second.state_dict())
        for name, norm_layer in own.named_children():
            if name.startswith("norm"):
                getattr(theirs, name).load_state_dict(norm_layer.state_dict())
    return twin


def _copy_attention(theirs: nn.MultiheadAttention, inputs: list[nn.Linear], out: nn.Linear) -> None:
    theirs.in_proj_weight.data = torch.cat([layer.weight.data for layer in inputs])
    theirs.in_proj_bias.data = torch.cat([layer.bias.data for layer in inputs])
    theirs.out_proj.load_state_dict(out.state_dict())


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_torchs_transformer(norm, training, batch):
    torch.manual_seed(0)
    model = Transformer(**WIDE, norm=norm, shared="none", dropout=0.0)
    for parameter in model.parameters():  # biases and norms start at trivial values, which would hide an exchange
        parameter.data += 0.1 * torch.randn_like(parameter)
    twin = torch_twin(model, norm).train(training)
    model.train(training)
    source = model.source_embedding(batch.source) * 4 + sinusoids(40, 16)[:6]
    target = model.target_embedding(batch.target_in) * 4 + sinusoids(40, 16)[:5]
    causal = nn.Transformer.generate_square_subsequent_mask(5).isinf()
    found = twin(
        source, target, tgt_mask=causal, src_key_padding_mask=~batch.source_mask,
        memory_key_padding_mask=~batch.source_mask, tgt_key_padding_mask=~batch.target_mask,
    )  # fmt: skip
    expected = model.output(found)[batch.target_mask]
    torch.testing.assert_close(model(batch)[batch.target_mask], expected, atol=1e-5, rtol=1e-5)


def test_sinusoids_are_the_papers():
    """Position 3, column 4 and 5 of a width of 8: sine and cosine of 3 / 10000 ** (4 / 8)."""
    table = sinusoids(5, 8)
    assert table[3, 4].item() == pytest.approx(math.sin(3 / 100), abs=1e-6)
    assert table[3, 5].item() == pytest.approx(math.cos(3 / 100), abs=1e-6)
    assert torch.equal(table[0], torch.tensor([0.0, 1.0] * 4))


@pytest.mark.parametrize(("shared", "matrices"), [("all", 1), ("target", 2), ("none", 3)])
def test_shared_matrices_are_one(shared, matrices):
    model = Transformer(**WIDE, shared=shared)
    rows = {model.source_embedding.weight, model.target_embedding.weight, model.output.weight}
    assert len(rows) == matrices
    assert (model.output.bias is None) == (shared != "none")
