"""Encoder-decoder of recurrent layers, without attention or with one of Bahdanau's or Luong's.

Source: Sutskever et al. 2014, arXiv:1409.3215 (attention="none"); Bahdanau et al. 2014, arXiv:1409.0473, appendix A
  ("bahdanau": the context of the state before goes into the recurrent layer and the output); Luong et al. 2015,
  arXiv:1508.04025, section 3 ("luong_dot", "luong_general", "luong_concat": the context of the state itself makes an
  attentional vector, which goes into the output and, fed back, into the next step).
Differs from the papers: the output layer of Bahdanau's is linear over state, context and embedding in place of maxout,
  and its decoder starts from the last states of both directions, as in bentrevett's tutorials, whose sizes the
  catalogue takes; Luong's source is not reversed; local attention is left out.
Shapes: B sentences, N hypotheses, K of each sentence, S source and T target tokens, E embedding, H hidden units,
  M encoder output, L layers, V vocabulary.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nlp.translation.contract import Seq2SeqBatch, State
from zoo.layers.attention import Attention, Score

Cell = Literal["lstm", "gru"]
AttentionKind = Literal["none", "bahdanau", "luong_dot", "luong_general", "luong_concat"]

SCORES: dict[str, Score] = {
    "bahdanau": "additive", "luong_dot": "dot", "luong_general": "general", "luong_concat": "concat"
}  # fmt: skip
INITIAL_RANGE = 0.08  # Sutskever et al., section 3.4; Luong et al. take 0.1
INITIAL_STD = 0.01  # Bahdanau et al., appendix B.1

# One tensor [N, L, H] for a GRU; for an LSTM also its cells.
Hidden = tuple[Tensor, ...]


class Memory(NamedTuple):
    """What the decoder reads of the sources: outputs [B, S, M], what queries are compared with, and the mask [B, S]."""

    outputs: Tensor
    keys: Tensor
    mask: Tensor


class Cache(NamedTuple):
    """What the tokens so far left behind: hidden states, and the vector [N, *] that the next step is fed."""

    hidden: Hidden
    fed: Tensor


class Seq2SeqRNN(nn.Module):
    """A batch of sentence pairs to logits [B, T, target_vocabulary] of each next target token.

    attention:      how the decoder reads the source; "none": by the encoder's last states alone.
    bidirectional:  whether the encoder reads in both directions; a layer then joins their last states.
    input_feeding:  whether the attentional vector of Luong's goes into the next step.
    reverse_source: whether the encoder reads each sentence from its end, which Sutskever et al. found to help.
    Raises:         ValueError for a value that is none of the choices, and for choices that do not go together.
    """

    classifier = "output"

    def __init__(
        self,
        *,
        source_vocabulary: int = 7853,
        target_vocabulary: int = 5893,
        embedding: int = 256,
        hidden: int = 512,
        num_layers: int = 1,
        cell: Cell = "gru",
        attention: AttentionKind = "bahdanau",
        bidirectional: bool = True,
        input_feeding: bool = True,
        reverse_source: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check(cell, attention, bidirectional, reverse_source)
        self.cell: Cell = cell
        self.kind: AttentionKind = attention
        self.reverse_source = reverse_source
        self.input_feeding = input_feeding and attention.startswith("luong")
        recurrent = nn.LSTM if cell == "lstm" else nn.GRU
        between = dropout if num_layers > 1 else 0.0
        memory = 2 * hidden if bidirectional else hidden
        fed = {"none": 0, "bahdanau": memory}.get(attention, hidden if self.input_feeding else 0)

        self.source_embedding = nn.Embedding(source_vocabulary, embedding)
        self.target_embedding = nn.Embedding(target_vocabulary, embedding)
        self.dropout = nn.Dropout(dropout)
        self.encoder = recurrent(
            embedding, hidden, num_layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.bridge = nn.Linear(memory, hidden) if bidirectional else None
        self.decoder = recurrent(embedding + fed, hidden, num_layers, batch_first=True, dropout=between)
        self.fed_width = fed
        if attention != "none":
            self.attention = Attention(SCORES[attention], query_width=hidden, memory_width=memory, hidden=hidden)
        if attention.startswith("luong"):
            self.combine = nn.Linear(memory + hidden, hidden, bias=False)
        read = hidden + memory + embedding if attention == "bahdanau" else hidden
        self.output = nn.Linear(read, target_vocabulary)
        self._initialise()

    def _initialise(self) -> None:
        """As the papers: small normal values with orthogonal recurrent matrices for Bahdanau's, else uniform ones."""
        for name, parameter in self.named_parameters():
            if self.kind != "bahdanau":
                nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
            elif "weight_hh" in name:
                for gate in parameter.data.chunk(len(parameter) // parameter.shape[1]):
                    nn.init.orthogonal_(gate)
            elif parameter.ndim > 1:
                nn.init.normal_(parameter, std=INITIAL_STD)
            else:
                nn.init.zeros_(parameter)

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        return self._decode(batch)[0]

    def attention_weights(self, batch: Seq2SeqBatch) -> Tensor:
        """What each target place reads of the source: weights [B, T, S] that add up to 1.

        Raises: ValueError for a model without attention.
        """
        weights = self._decode(batch)[1]
        if weights is None:
            raise ValueError(
                "This model has no attention to look at: it was built with attention='none'. Take the method "
                "integrated_gradients, or another by gradients."
            )
        return weights

    def encode(self, source: Tensor, source_mask: Tensor) -> State:
        """Sources [B, S] to the state before the first token."""
        lengths = source_mask.sum(1)
        embedded = self.dropout(self.source_embedding(source))  # [B, S, E]
        if self.reverse_source:
            embedded = _reversed(embedded, lengths)
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])  # [B, S, M]
        states = last if isinstance(last, tuple) else (last,)  # [L * directions, B, H] each
        hidden = tuple(self._bridged(state).transpose(0, 1).contiguous() for state in states)
        fed = memory.new_zeros(len(memory), self.fed_width)
        keys = self.attention.keys(memory) if self.kind != "none" else memory
        return State(Memory(memory, keys, source_mask), Cache(hidden, fed))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [N, V] after `tokens` [N], and the state with them."""
        embedded = self.target_embedding(tokens)[:, None]  # [N, 1, E]; dropout rests while decoding
        read, cache, _ = self._advance(self.dropout(embedded), state.memory, state.cache)
        return self.output(read[:, 0]), State(state.memory, cache)

    def _decode(self, batch: Seq2SeqBatch) -> tuple[Tensor, Tensor | None]:
        """Logits [B, T, V] and weights [B, T, S] with the target's own tokens as input."""
        memory, cache = self.encode(batch.source, batch.source_mask)
        embedded = self.dropout(self.target_embedding(batch.target_in))  # [B, T, E]
        if not self.fed_width:  # no step waits for what the one before gave
            read, _, weights = self._advance(embedded, memory, cache)
            return self.output(read), weights
        reads, all_weights = [], []
        for place in range(embedded.shape[1]):
            read, cache, weights = self._advance(embedded[:, place : place + 1], memory, cache)
            reads.append(read)
            all_weights.append(weights)
        return self.output(torch.cat(reads, dim=1)), torch.cat(all_weights, dim=1)  # type: ignore[arg-type]

    def _advance(self, embedded: Tensor, memory: Memory, cache: Cache) -> tuple[Tensor, Cache, Tensor | None]:
        """Tokens [N, T, E] to what the output layer reads [N, T, *], the new cache, and weights [B, N / B * T, S].

        T is 1 where a step is fed from the one before.
        """
        if self.kind == "none":
            states, hidden = self._recur(embedded, cache.hidden)
            return self.dropout(states), Cache(hidden, cache.fed), None
        if self.kind == "bahdanau":
            context, weights = self._attend(cache.hidden[0][:, -1:], memory)  # [N, 1, M]
            states, hidden = self._recur(torch.cat([embedded, context], dim=2), cache.hidden)
            return torch.cat([states, context, embedded], dim=2), Cache(hidden, cache.fed), weights
        if self.input_feeding:
            embedded = torch.cat([embedded, cache.fed[:, None]], dim=2)
        states, hidden = self._recur(embedded, cache.hidden)  # [N, T, H]
        context, weights = self._attend(states, memory)
        vector = self.dropout(torch.tanh(self.combine(torch.cat([context, states], dim=2))))
        return vector, Cache(hidden, vector[:, -1] if self.input_feeding else cache.fed), weights

    def _attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Contexts [N, T, M] for queries [N, T, H], and weights [B, K * T, S]."""
        rows, places = query.shape[:2]
        together = query.reshape(len(memory.outputs), -1, query.shape[2])  # [B, K * T, H]
        context, weights = self.attention(together, *memory)
        return context.reshape(rows, places, -1), weights

    def _recur(self, inputs: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        first = [state.transpose(0, 1).contiguous() for state in hidden]  # [L, N, H]
        states, last = self.decoder(inputs, tuple(first) if self.cell == "lstm" else first[0])
        held = last if isinstance(last, tuple) else (last,)
        return states, tuple(state.transpose(0, 1) for state in held)

    def _bridged(self, state: Tensor) -> Tensor:
        """The encoder's last states [L * directions, B, H] to the decoder's first ones [L, B, H]."""
        if self.bridge is None:
            return state
        both = state.unflatten(0, (-1, 2)).permute(0, 2, 1, 3).flatten(2)  # [L, B, 2 H]
        return torch.tanh(self.bridge(both))


def _reversed(rows: Tensor, lengths: Tensor) -> Tensor:
    """Each of the rows [B, S, E] with its first `lengths` [B] places in reverse; padding stays at the end."""
    places = torch.arange(rows.shape[1], device=rows.device)
    mirrored = lengths[:, None] - 1 - places
    index = torch.where(mirrored >= 0, mirrored, places)  # [B, S]
    return rows.gather(1, index[..., None].expand_as(rows))


def _check(cell: str, attention: str, bidirectional: bool, reverse_source: bool) -> None:
    for name, value, choices in (
        ("cell", cell, get_args(Cell)),
        ("attention", attention, get_args(AttentionKind)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    if reverse_source and attention != "none":
        raise ValueError("reverse_source is for attention='none': attention has no use for it.")
    if reverse_source and bidirectional:
        raise ValueError("An encoder of both directions reads the source in reverse already.")
