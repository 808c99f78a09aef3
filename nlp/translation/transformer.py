"""The Transformer: encoder and decoder of attention and feed-forward layers, with a cache for decoding.

Source: Vaswani et al. 2017, arXiv:1706.03762, sections 3 and 5.4; pre-norm after Xiong et al. 2020, arXiv:2002.04745.
Differs from the paper: the linear layers of attention have biases, as in most implementations; pre-norm, learned
  positions, embeddings of each side's own, and dropout inside the branches are options.
Shapes: B sentences, N hypotheses, S source and T target tokens, D width, H heads, V vocabulary.
"""

import math
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp.translation.contract import Seq2SeqBatch, State

Norm = Literal["post", "pre"]
Positions = Literal["sinusoidal", "learned"]
Shared = Literal["none", "target", "all"]

# Keys and values of one attention layer, each [B, H, T, D / H].
KeyValue = tuple[Tensor, Tensor]


class Memory(NamedTuple):
    """What the decoder reads of the sources: keys and values for each layer, and the mask [B, 1, 1, S]."""

    layers: tuple[KeyValue, ...]
    mask: Tensor


class Transformer(nn.Module):
    """A batch of sentence pairs to logits [B, T, target_vocabulary] of each next target token.

    width:         of embeddings and layers; hidden: of the feed-forward layers.
    dropout:       of embeddings and the end of each branch; inner_dropout: of attention weights and hidden units.
    norm:          "post" after each sum, as in the paper; "pre" at the start of each branch, and once more at the end.
    positions:     "sinusoidal" as in the paper, or "learned".
    max_positions: tokens of the longest sentence, <bos> included.
    shared:        which matrices are one: "all" embeddings and the output layer, as in the paper, which then has no
                   bias; the "target" embedding and the output layer; or "none".
    Raises:        ValueError for a value that is none of the choices, heads that do not divide the width, and
                   shared="all" with unequal vocabularies.
    """

    classifier = "output"

    def __init__(
        self,
        *,
        source_vocabulary: int = 37000,
        target_vocabulary: int = 37000,
        width: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        hidden: int = 2048,
        dropout: float = 0.1,
        inner_dropout: float = 0.0,
        norm: Norm = "post",
        positions: Positions = "sinusoidal",
        max_positions: int = 1024,
        shared: Shared = "all",
    ) -> None:
        super().__init__()
        _check(source_vocabulary, target_vocabulary, width, num_heads, norm, positions, shared)
        self.width = width
        self.max_positions = max_positions
        self.norm_place: Norm = norm
        self.source_embedding = nn.Embedding(source_vocabulary, width)
        self.target_embedding = nn.Embedding(target_vocabulary, width)
        self.source_positions = _positions(positions, max_positions, width)
        self.target_positions = _positions(positions, max_positions, width)
        self.dropout = nn.Dropout(dropout)
        rates = {"dropout": dropout, "inner_dropout": inner_dropout}
        self.encoder = nn.ModuleList(EncoderLayer(width, num_heads, hidden, norm, **rates) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, num_heads, hidden, norm, **rates) for _ in range(num_layers))
        self.encoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = linear(width, target_vocabulary, bias=shared == "none")
        self._share(shared)

    def _share(self, shared: Shared) -> None:
        """Makes one of the matrices that are to be, and starts the embeddings.

        An embedding that is the output layer too starts with a standard deviation of 1 / sqrt(D): the scaled vectors
        have unit size then, and so have the first logits.
        """
        nn.init.xavier_uniform_(self.source_embedding.weight)
        nn.init.xavier_uniform_(self.target_embedding.weight)
        if shared != "none":
            nn.init.normal_(self.target_embedding.weight, std=self.width**-0.5)
            self.output.weight = self.target_embedding.weight
        if shared == "all":
            self.source_embedding.weight = self.target_embedding.weight

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        memory = self._memory(batch.source, batch.source_mask)
        x = self._embed(batch.target_in, self.target_embedding, self.target_positions)  # [B, T, D]
        for layer, held in zip(self.decoder, memory.layers, strict=True):
            x, _ = layer(x, held, memory.mask)
        logits: Tensor = self.output(self.decoder_norm(x))
        return logits

    def encode(self, source: Tensor, source_mask: Tensor) -> State:
        """Sources [B, S] to the state before the first token."""
        memory = self._memory(source, source_mask)
        empty = memory.layers[0][0][:, :, :0]  # [B, H, 0, D / H]
        return State(memory, tuple((empty, empty) for _ in self.decoder))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [N, V] after `tokens` [N], whose keys and values join the cache."""
        memory, cache = state
        place = cache[0][0].shape[2]
        x = self._embed(tokens[:, None], self.target_embedding, self.target_positions, start=place)  # [N, 1, D]
        grown = []
        for layer, held, past in zip(self.decoder, memory.layers, cache, strict=True):
            x, past = layer(x, held, memory.mask, past)
            grown.append(past)
        return self.output(self.decoder_norm(x[:, 0])), State(memory, tuple(grown))

    def attention_weights(self, batch: Seq2SeqBatch) -> Tensor:
        """What each target place reads of the source: weights of the last layer, the mean of its heads [B, T, S]."""
        memory = self._memory(batch.source, batch.source_mask)
        x = self._embed(batch.target_in, self.target_embedding, self.target_positions)
        for layer, held in zip(self.decoder[:-1], memory.layers, strict=False):
            x, _ = layer(x, held, memory.mask)
        last = self.decoder[-1]
        assert isinstance(last, DecoderLayer)
        return last.source_weights(x, memory.layers[-1], memory.mask).mean(dim=1)

    def _memory(self, source: Tensor, source_mask: Tensor) -> Memory:
        mask = source_mask[:, None, None]  # [B, 1, 1, S]
        x = self._embed(source, self.source_embedding, self.source_positions)  # [B, S, D]
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.encoder_norm(x)
        attentions: list[Any] = [layer.source_attention for layer in self.decoder]
        return Memory(tuple(attention.keys_and_values(x) for attention in attentions), mask)

    def _embed(self, tokens: Tensor, embedding: nn.Module, positions: nn.Module, start: int = 0) -> Tensor:
        end = start + tokens.shape[1]
        if end > self.max_positions:
            raise ValueError(
                f"A sentence has {end} tokens, and the model has max_positions={self.max_positions}. Cut sentences by "
                "the reader's max_length, or build the model with more positions."
            )
        x: Tensor = self.dropout(embedding(tokens) * math.sqrt(self.width) + positions(start, end))
        return x


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer: [B, S, D] to [B, S, D]."""

    def __init__(
        self, width: int, num_heads: int, hidden: int, norm: Norm, *, dropout: float, inner_dropout: float
    ) -> None:
        super().__init__()
        self.norm_place: Norm = norm
        self.attention = SelfAttention(width, num_heads, inner_dropout)
        self.feed_forward = FeedForward(width, hidden, inner_dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.norm_place == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask=mask)[0])
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, mask=mask)[0]))
        out: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return out


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, and a feed-forward layer: [N, T, D] to [N, T, D].

    Called with `past`, the keys and values of the tokens before, x is [N, 1, D], the newest token only.
    """

    def __init__(
        self, width: int, num_heads: int, hidden: int, norm: Norm, *, dropout: float, inner_dropout: float
    ) -> None:
        super().__init__()
        self.norm_place: Norm = norm
        self.attention = SelfAttention(width, num_heads, inner_dropout)
        self.source_attention = SourceAttention(width, num_heads, inner_dropout)
        self.feed_forward = FeedForward(width, hidden, inner_dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, source: KeyValue, mask: Tensor, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        x, held = self._attend(x, past)
        if self.norm_place == "pre":
            x = x + self.dropout(self.source_attention(self.norm2(x), source, mask))
            return x + self.dropout(self.feed_forward(self.norm3(x))), held
        x = self.norm2(x + self.dropout(self.source_attention(x, source, mask)))
        return self.norm3(x + self.dropout(self.feed_forward(x))), held

    def source_weights(self, x: Tensor, source: KeyValue, mask: Tensor) -> Tensor:
        """Weights of the attention to the source [B, H, T, S], for the layer's input [B, T, D]."""
        x, _ = self._attend(x, None)
        return self.source_attention.weights(self.norm2(x) if self.norm_place == "pre" else x, source[0], mask)

    def _attend(self, x: Tensor, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        if self.norm_place == "pre":
            found, held = self.attention(self.norm1(x), past=past, causal=True)
            return x + self.dropout(found), held
        found, held = self.attention(x, past=past, causal=True)
        return self.norm1(x + self.dropout(found)), held


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself: [B, T, D] to [B, T, D]."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = linear(width, 3 * width, parts=3)
        self.out = linear(width, width)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, past: KeyValue | None = None, causal: bool = False
    ) -> tuple[Tensor, KeyValue]:
        """The output, and keys and values of `past` and `x` together."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # [B, H, T, D / H]
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        rate = self.dropout if self.training else 0.0
        causal = causal and past is None  # the newest token may see all
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate, is_causal=causal)
        return self.out(x.transpose(1, 2).flatten(2)), (key, value)


class SourceAttention(nn.Module):
    """Multi-head attention to the encoder's output: [N, T, D] to [N, T, D].

    With several hypotheses of a sentence, their queries share its keys and values.
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width, parts=2)
        self.out = linear(width, width)

    def keys_and_values(self, source: Tensor) -> KeyValue:
        """[B, S, D] to keys and values [B, H, S, D / H]."""
        key, value = self.key_value(source).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, x: Tensor, source: KeyValue, mask: Tensor) -> Tensor:
        key, value = source
        shape = x.shape
        query = self._queries(x.reshape(len(key), -1, shape[2]))  # [B, H, N / B * T, D / H]
        rate = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        out: Tensor = self.out(found.transpose(1, 2).reshape(shape))
        return out

    def weights(self, x: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """How much each place of `x` [B, T, D] takes of each source token: [B, H, T, S]."""
        energies = self._queries(x) @ key.transpose(2, 3) / math.sqrt(key.shape[3])
        return energies.masked_fill(~mask, -torch.inf).softmax(dim=3)

    def _queries(self, x: Tensor) -> Tensor:
        queries: Tensor = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        return queries


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them: [*, D] to [*, D]."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = linear(width, hidden)
        self.second = linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.dropout(F.relu(self.first(x))))
        return out


class SinusoidalPositions(nn.Module):
    """Sines and cosines of the position, wavelengths from 2 pi to 10000 * 2 pi: rows `start` to `end` of [T, D]."""

    table: Tensor

    def __init__(self, num_positions: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(num_positions, width), persistent=False)

    def forward(self, start: int, end: int) -> Tensor:
        return self.table[start:end]


class LearnedPositions(nn.Module):
    """A learned vector for each position: rows `start` to `end` of [T, D]."""

    def __init__(self, num_positions: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_positions, width)))

    def forward(self, start: int, end: int) -> Tensor:
        return self.weight[start:end]


def sinusoids(num_positions: int, width: int) -> Tensor:
    """The table [T, D] of section 3.5: sines in the even columns, cosines in the odd ones."""
    places = torch.arange(num_positions, dtype=torch.float64)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    table = torch.empty(num_positions, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates[: width // 2])
    return table.float()


def _positions(kind: Positions, num_positions: int, width: int) -> nn.Module:
    return SinusoidalPositions(num_positions, width) if kind == "sinusoidal" else LearnedPositions(num_positions, width)


def linear(in_features: int, out_features: int, *, parts: int = 1, bias: bool = True) -> nn.Linear:
    """A linear layer with Xavier's uniform values, each of the `parts` stacked in it by itself, and a bias of 0."""
    layer = nn.Linear(in_features, out_features, bias=bias)
    for part in layer.weight.chunk(parts):
        nn.init.xavier_uniform_(part)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _check(
    source_vocabulary: int, target_vocabulary: int, width: int, num_heads: int, norm: str, positions: str, shared: str
) -> None:
    choices_of = {"norm": Norm, "positions": Positions, "shared": Shared}
    for name, value in {"norm": norm, "positions": positions, "shared": shared}.items():
        choices = get_args(choices_of[name])
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    if width % num_heads or width % 2:
        raise ValueError(f"width must be even and a multiple of num_heads; got {width} and {num_heads}.")
    if shared == "all" and source_vocabulary != target_vocabulary:
        raise ValueError(
            f"shared='all' needs one vocabulary for both sides, got {source_vocabulary} and {target_vocabulary} "
            "tokens: read the data with joint=True, or pass shared='target'."
        )
