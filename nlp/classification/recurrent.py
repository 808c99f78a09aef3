"""LSTM and GRU classifiers of texts.

Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Cho et al. 2014, arXiv:1406.1078. Sizes and
dropout are those of Zhou et al. 2016, arXiv:1611.06639, section 4.3; attention pooling is that of Yang et al. 2016,
doi:10.18653/v1/N16-1174, section 2.2.
Differs from the papers: cells as `nlp.layers.recurrent` says; dropout between layers is on the states that the next
layer reads.
Shapes: B texts, T tokens, D features, C classes.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Literal

import torch
from torch import Tensor, nn

from nlp.layers.pooling import AttentionPool, max_pool, mean_pool
from nlp.layers.recurrent import CELLS, Cell, RecurrentEncoder
from zoo.errors import check_name

Pooling = Literal["last", "mean", "max", "attention"]
POOLINGS = ("last", "mean", "max", "attention")


class RecurrentClassifier(nn.Module):
    """Token numbers [B, T] and their mask [B, T] to logits [B, C].

    It is called as transformers' models are, by `input_ids` and `attention_mask`. What stands in a row's padding, and
    how much there is of it, changes nothing.

    pad_token_id:      number whose vector is zero and stays so.
    embedding_dim:     length of a token's vector.
    width:             of the states of one direction.
    pooling:           the last state of each direction, the mean or maximum over all tokens, or their mean with
                       learned weights.
    embedding_dropout: on the vectors of tokens; `layer_dropout` on states between layers and before pooling; `dropout`
                       before the last layer. Probabilities.
    embedding_weights: text file of vectors, a word and its numbers a line, as GloVe and fastText publish them; words
                       of `vocabulary` that it lacks keep their random ones.
    vocabulary:        the tokens in the order of their numbers; needed with embedding_weights only.
    """

    classifier = "head"

    def __init__(
        self,
        *,
        num_classes: int = 2,
        vocab_size: int = 20_000,
        pad_token_id: int = 0,
        cell: Cell = "lstm",
        embedding_dim: int = 300,
        width: int = 300,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: Pooling = "last",
        embedding_dropout: float = 0.5,
        layer_dropout: float = 0.2,
        dropout: float = 0.4,
        embedding_weights: str | PathLike[str] | None = None,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check_name("cell", cell, CELLS)
        check_name("pooling", pooling, POOLINGS)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}.")
        self.pooling = pooling
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=pad_token_id)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.encoder = RecurrentEncoder(
            cell=cell, input_size=embedding_dim, width=width, num_layers=num_layers, bidirectional=bidirectional,
            dropout=layer_dropout,
        )  # fmt: skip
        self.layer_dropout = nn.Dropout(layer_dropout)
        self.pool = AttentionPool(self.encoder.output_size) if pooling == "attention" else None
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.output_size, num_classes)
        if embedding_weights is not None:
            self._take_vectors(embedding_weights, vocabulary)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        mask = _mask(input_ids, attention_mask)
        states, ends = self._states(input_ids, mask)
        if self.pool is not None:
            row = self.pool(states, mask)
        elif self.pooling == "last":
            row = ends
        else:
            row = (mean_pool if self.pooling == "mean" else max_pool)(states, mask)
        return self.head(self.dropout(row))  # [B, C]

    def attention_weights(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The share of each token in its text, [B, T].

        Raises: ValueError without attention pooling.
        """
        if self.pool is None:
            raise ValueError(f"This model pools by {self.pooling!r}; build it with pooling='attention' to see weights.")
        mask = _mask(input_ids, attention_mask)
        return self.pool.weights(self._states(input_ids, mask)[0], mask)

    def _states(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.embedding_dropout(self.embedding(input_ids))  # [B, T, D]
        states, ends = self.encoder(vectors, mask)
        return self.layer_dropout(states), self.layer_dropout(ends)

    @torch.no_grad()
    def _take_vectors(self, path: str | PathLike[str], vocabulary: Sequence[str] | None) -> None:
        from nlp.layers.vectors import read_vectors

        num_tokens, num_features = self.embedding.weight.shape
        if vocabulary is None or len(vocabulary) != num_tokens:
            came = "none" if vocabulary is None else f"one of {len(vocabulary)}"
            raise ValueError(f"embedding_weights need the vocabulary of the {num_tokens} tokens, got {came}.")
        found = read_vectors(path, vocabulary, num_features=num_features)
        numbers = {token: number for number, token in enumerate(vocabulary)}
        rows = torch.tensor([numbers[word] for word in found])
        self.embedding.weight[rows] = torch.stack(list(found.values())).to(self.embedding.weight)


def _mask(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    return attention_mask.bool()
