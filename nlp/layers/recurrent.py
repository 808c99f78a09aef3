"""LSTM and GRU over padded rows, as if each row stood alone.

Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735 (LSTM; with the forget gate of Gers et al. 2000,
doi:10.1162/089976600300015015); Cho et al. 2014, arXiv:1406.1078 (GRU); Schuster and Paliwal 1997,
doi:10.1109/78.650093 (two directions).
Differs from the papers: the cells are PyTorch's; its GRU applies the reset gate after the matrix product.
Shapes: B rows, T tokens, D inputs, W width, K directions (1 or 2).
"""

from typing import Literal

import torch
from torch import Tensor, nn

Cell = Literal["lstm", "gru"]
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(nn.Module):
    """Rows [B, T, D] and their mask [B, T] to states [B, T, K * W] and each direction's last state [B, K * W].

    The backward direction reads each row reversed within its own length, so padding at its end is never read before a
    token. This gives what packed sequences give, in half the time on a CPU, and no device waits for the lengths.

    dropout: on the inputs of all layers but the first, probability.
    """

    def __init__(
        self, *, cell: Cell, input_size: int, width: int, num_layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        sizes = [input_size] + [width * directions] * (num_layers - 1)
        self.forwards = nn.ModuleList(CELLS[cell](size, width, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(
            CELLS[cell](size, width, batch_first=True) for size in (sizes if bidirectional else ())
        )
        self.dropout = nn.Dropout(dropout)
        self.output_size = width * directions

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        lengths = mask.sum(1)  # [B]
        last = (lengths - 1).clamp(min=0)[:, None, None]
        reversal = _reversal(lengths, x.shape[1]) if len(self.backwards) else None
        ends: list[Tensor] = []
        for index, layer in enumerate(self.forwards):
            x = self.dropout(x) if index else x
            states = layer(x)[0]  # [B, T, W]
            ends = [_steps(states, last)[:, 0]]
            if reversal is not None:
                mirrored = self.backwards[index](_steps(x, reversal))[0]
                ends.append(_steps(mirrored, last)[:, 0])
                states = torch.cat([states, _steps(mirrored, reversal)], dim=2)  # [B, T, 2 * W]
            x = states
        return x, torch.cat(ends, dim=1)


def _reversal(lengths: Tensor, num_steps: int) -> Tensor:
    """For each row [B] the steps [B, T, 1] that reverse its tokens and leave its padding in place."""
    steps = torch.arange(num_steps, device=lengths.device)
    mirrored = lengths[:, None] - 1 - steps  # [B, T]
    return torch.where(mirrored >= 0, mirrored, steps)[:, :, None]


def _steps(x: Tensor, index: Tensor) -> Tensor:
    """The steps `index` [B, S, 1] of x [B, T, D], as [B, S, D]."""
    return x.gather(1, index.expand(-1, -1, x.shape[2]))
