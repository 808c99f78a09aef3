"""Multi-head attention: several scaled dot products beside each other, each over a slice of the width.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2, equation 1.
Differs from the paper: the linear layers have biases unless told otherwise; a query that may read nothing gets 0 before
  the last linear layer.
Shapes: B rows, T queries, S places of the memory, D width, M width of the memory, H heads.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Queries [B, T, D] and memory [B, S, M] to [B, T, D]; without a memory the queries attend to each other.

    memory_width: M, D unless given.
    dropout:      probability that a weight is dropped in training.
    Raises:       ValueError for heads that do not divide the width, or a probability outside [0, 1).
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        memory_width: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_heads < 1 or width < 1 or width % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide width={width}: each head takes an equal slice.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; give a probability in [0, 1).")
        self.num_heads = num_heads
        self.dropout = dropout
        memory_width = width if memory_width is None else memory_width
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(memory_width, width, bias=bias)
        self.value = nn.Linear(memory_width, width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(
        self, query: Tensor, memory: Tensor | None = None, *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """[B, T, D] to [B, T, D].

        mask:   [B, S], or [B, T, S] for each query its own; True at what is read.
        causal: whether query t reads no place after t.
        Raises: ValueError for a mask that is not bool or of another shape.
        """
        memory = query if memory is None else memory
        allowed = self._allowed(query, memory, mask, causal)
        rate = self.dropout if self.training else 0.0
        queries, keys, values = self._heads(self.query(query)), self._heads(self.key(memory)), self.value(memory)
        if allowed is None:
            found = F.scaled_dot_product_attention(queries, keys, self._heads(values), dropout_p=rate)
        else:
            # A query with nothing to read is let read all, and the result is struck out: no kernel sees an empty row.
            readable = allowed.any(dim=3, keepdim=True)  # [B, 1, T, 1] or [B, 1, 1, 1]
            found = F.scaled_dot_product_attention(
                queries, keys, self._heads(values), attn_mask=allowed | ~readable, dropout_p=rate
            )
            found = found.masked_fill(~readable, 0.0)
        out: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return out

    def weights(
        self, query: Tensor, memory: Tensor | None = None, *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """How much each query takes of each place in each head, [B, H, T, S]; arguments as for a forward pass.

        The weights of a query add up to 1, or are 0 where there is nothing to read.
        """
        memory = query if memory is None else memory
        queries, keys = self._heads(self.query(query)), self._heads(self.key(memory))
        energies = queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[3])
        allowed = self._allowed(query, memory, mask, causal)
        if allowed is None:
            return energies.softmax(dim=3)
        weights = energies.masked_fill(~allowed, torch.finfo(energies.dtype).min).softmax(dim=3)
        return weights.masked_fill(~allowed, 0.0)

    def _heads(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, H, T, D / H]."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def _allowed(self, query: Tensor, memory: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
        """What each query may read, [B or 1, 1, T or 1, S], None for all."""
        rows, queries, places = len(query), query.shape[1], memory.shape[1]
        if mask is not None:
            if mask.dtype != torch.bool or mask.shape not in ((rows, places), (rows, queries, places)):
                raise ValueError(
                    f"The mask must be bool, [{rows}, {places}] or [{rows}, {queries}, {places}], True at what is "
                    f"read; got {mask.dtype} {list(mask.shape)}."
                )
            mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
        if not causal:
            return mask
        past = torch.ones(queries, places, dtype=torch.bool, device=query.device).tril()[None, None]
        return past if mask is None else mask & past
