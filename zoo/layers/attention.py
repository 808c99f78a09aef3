"""Soft attention of queries over a memory: four ways to score a query against a key, additive and multiplicative.

Source: additive from Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2; dot, general and concat from Luong et al.
  2015, arXiv:1508.04025, equation 8.
Differs from the papers: the additive score has a bias inside its tanh, as common implementations have; a query that may
  read nothing gets a context of 0.
Shapes: B rows, K queries of each, S places of the memory, Q width of a query, M width of the memory, A hidden units.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Score = Literal["additive", "dot", "general", "concat"]
MultiplicativeScore = Literal["dot", "general"]

ADDITIVE_SCORES = ("additive", "concat")


class AttentionScore(nn.Module):
    """How well each query fits each place of a memory; what soft and hard attention share.

    score:  "additive" v tanh(W q + U k + b), "concat" the same without b, "dot" q k, or "general" q W k.
    hidden: A, of the additive scores.
    Raises: ValueError for another score, and for "dot" with query and memory of unequal width.
    """

    def __init__(self, score: Score, *, query_width: int, memory_width: int, hidden: int) -> None:
        super().__init__()
        if score not in get_args(Score):
            raise ValueError(f"score must be one of {', '.join(get_args(Score))}; got {score!r}.")
        if score == "dot" and query_width != memory_width:
            raise ValueError(
                f"The dot score needs queries and memory of one width (in a translator decoder states and encoder "
                f"outputs), got {query_width} and {memory_width}: use an encoder of one direction, or the general "
                "score (attention='luong_general')."
            )
        self.score = score
        if score == "general":
            self.query: nn.Module = nn.Linear(query_width, memory_width, bias=False)
        elif score in ADDITIVE_SCORES:
            self.query = nn.Linear(query_width, hidden, bias=False)
            self.key = nn.Linear(memory_width, hidden, bias=score == "additive")
            self.energy = nn.Linear(hidden, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """What the queries are compared with, once for all queries: [B, S, M] to [B, S, A] or [B, S, M]."""
        keys: Tensor = self.key(memory) if self.score in ADDITIVE_SCORES else memory
        return keys

    def energies(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries [B, K, Q] and the `keys` of a memory to scores [B, K, S], of any size and sign."""
        if self.score in ADDITIVE_SCORES:
            energies: Tensor = self.energy(torch.tanh(self.query(query)[:, :, None] + keys[:, None]))[..., 0]
            return energies
        query = self.query(query) if self.score == "general" else query
        return query @ keys.transpose(1, 2)


class Attention(AttentionScore):
    """Queries [B, K, Q] and memory [B, S, M] to contexts [B, K, M], the means of the memory by weight."""

    def forward(
        self, query: Tensor, memory: Tensor, keys: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts [B, K, M] and weights [B, K, S], which add up to 1.

        keys: those of `memory` where they are computed already.
        mask: [B, S], True at what is read; the other weights are 0, and all are where nothing is.
        """
        energies = self.energies(query, self.keys(memory) if keys is None else keys)  # [B, K, S]
        if mask is None:
            weights = energies.softmax(dim=2)
            return weights @ memory, weights
        hidden = ~mask[:, None]
        weights = energies.masked_fill(hidden, torch.finfo(energies.dtype).min).softmax(dim=2)
        weights = weights.masked_fill(hidden, 0.0)  # the shares of a row with nothing to read
        return weights @ memory, weights


def additive_attention(*, query_width: int, memory_width: int, hidden: int) -> Attention:
    """Bahdanau's attention: a small network of one hidden layer scores each pair."""
    return Attention("additive", query_width=query_width, memory_width=memory_width, hidden=hidden)


def multiplicative_attention(
    *, query_width: int, memory_width: int, score: MultiplicativeScore = "general"
) -> Attention:
    """Luong's attention by a product, with a matrix between query and key ("general") or without ("dot").

    Raises: ValueError for another score, and for "dot" with query and memory of unequal width.
    """
    if score not in get_args(MultiplicativeScore):
        raise ValueError(f"score must be one of {', '.join(get_args(MultiplicativeScore))}; got {score!r}.")
    return Attention(score, query_width=query_width, memory_width=memory_width, hidden=0)
