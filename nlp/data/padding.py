"""Rows of different lengths as one batch.

Shapes: B rows, T tokens of the longest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad_batch(rows: Sequence[Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Token rows, each [T_i] int64, as one batch, filled with `pad` at the end.

    Returns: token numbers [B, T], and a mask [B, T] that is True where there is a token.
    Raises:  ValueError for no rows.
    """
    if not rows:
        raise ValueError("A batch needs one row or more, got none.")
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(list(rows), batch_first=True, padding_value=pad)  # [B, T]
    mask = torch.arange(ids.shape[1]) < lengths[:, None]  # [B, T]
    return ids, mask
