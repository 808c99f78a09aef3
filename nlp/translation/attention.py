"""Attention of a recurrent decoder over an encoder's outputs: three ways to score a query against a key.

Source: additive from Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2; dot, general and concat from Luong et al.
  2015, arXiv:1508.04025, equation 8.
Differs from the paper: the additive score has a bias inside its tanh, as common implementations have.
Shapes: B sentences, K queries of each, S source tokens, Q width of a query, M width of the memory, A hidden units.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Score = Literal["additive", "dot", "general", "concat"]


class Attention(nn.Module):
    """Queries [B, K, Q] and memory [B, S, M] to contexts [B, K, M], the means of the memory by weight.

    score: how a query and a key are compared.
    Raises: ValueError for "dot" with query and memory of unequal width.
    """

    def __init__(self, score: Score, *, query_width: int, memory_width: int, hidden: int) -> None:
        super().__init__()
        if score == "dot" and query_width != memory_width:
            raise ValueError(
                f"The dot score needs decoder states and encoder outputs of one width, got {query_width} and "
                f"{memory_width}: use an encoder of one direction, or attention='luong_general'."
            )
        self.score = score
        if score == "general":
            self.query: nn.Module = nn.Linear(query_width, memory_width, bias=False)
        elif score in ("additive", "concat"):
            self.query = nn.Linear(query_width, hidden, bias=False)
            self.key = nn.Linear(memory_width, hidden, bias=score == "additive")
            self.energy = nn.Linear(hidden, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """What the queries are compared with, once for a whole sentence: [B, S, M] to [B, S, A] or [B, S, M]."""
        keys: Tensor = self.key(memory) if self.score in ("additive", "concat") else memory
        return keys

    def forward(self, query: Tensor, memory: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts [B, K, M] and weights [B, K, S], which are 0 where `mask` [B, S] is False and add up to 1."""
        if self.score in ("additive", "concat"):
            energies = self.energy(torch.tanh(self.query(query)[:, :, None] + keys[:, None]))[..., 0]  # [B, K, S]
        else:
            query = self.query(query) if self.score == "general" else query
            energies = query @ keys.transpose(1, 2)  # [B, K, S]
        weights = energies.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
        return weights @ memory, weights
