"""Networks that give a value for each action, and tables that hold one for each state and action.

Source: Mnih et al. 2015, doi:10.1038/nature14236, methods, "Model architecture"; Wang et al. 2016, arXiv:1511.06581,
section 3, equation 9, for the dueling head; Watkins and Dayan 1992, doi:10.1007/BF00992698, for the table.
Differs from the paper: `NatureQNetwork` divides frames by 255 itself; in both networks the dueling streams have the
width of the layer that they take the place of.
Shapes: B rows, F features, S states, A actions, K frames of H x W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

SMALLEST_FRAME = 36  # pixels a side: the three convolutions leave one cell of it


class QNetwork(nn.Module):
    """Features [B, F] to the value of each action [B, A], through hidden layers with ReLU.

    widths:  of the hidden layers, one or more.
    dueling: whether the last hidden layer is two, for the value of the state and the advantages of the actions.
    """

    def __init__(
        self, *, num_features: int = 4, num_actions: int = 2, widths: Sequence[int] = (256, 256), dueling: bool = False
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths is empty; give at least one hidden layer, such as (256, 256).")
        sizes = (num_features, *widths)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = action_head(sizes[-2], sizes[-1], num_actions, dueling=dueling)

    def forward(self, features: Tensor) -> Tensor:
        """Raises: RuntimeError for another number of features."""
        return self.head(self.body(features))


class NatureQNetwork(nn.Module):
    """Stacked frames [B, K, H, W] of 0..255, of any dtype, to the value of each action [B, A]."""

    def __init__(
        self, *, num_actions: int = 6, in_channels: int = 4, size: Sequence[int] = (84, 84), dueling: bool = False
    ) -> None:
        super().__init__()
        if min(size) < SMALLEST_FRAME:
            raise ValueError(f"Frames of {size[0]}x{size[1]} are too small; {SMALLEST_FRAME} pixels a side are needed.")
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 32, 8, stride=4), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(),
        )  # fmt: skip
        cells = [(((side - 8) // 4 + 1 - 4) // 2 + 1 - 3) + 1 for side in size]
        self.head = action_head(64 * cells[0] * cells[1], 512, num_actions, dueling=dueling)

    def forward(self, frames: Tensor) -> Tensor:
        """Raises: RuntimeError for frames of another size."""
        maps = self.body(frames.float() / 255)  # [B, 64, H', W']
        return self.head(maps.flatten(1))


class DuelingHead(nn.Module):
    """Features [B, F] to values of actions: that of the state plus the advantages, less their mean (equation 9)."""

    def __init__(self, num_features: int, width: int, num_actions: int) -> None:
        super().__init__()
        self.value = nn.Sequential(nn.Linear(num_features, width), nn.ReLU(), nn.Linear(width, 1))
        self.advantage = nn.Sequential(nn.Linear(num_features, width), nn.ReLU(), nn.Linear(width, num_actions))

    def forward(self, features: Tensor) -> Tensor:
        """Values [B, A]."""
        advantages = self.advantage(features)  # [B, A]
        return self.value(features) + advantages - advantages.mean(1, keepdim=True)


def action_head(num_features: int, width: int, num_actions: int, *, dueling: bool) -> nn.Module:
    """A hidden layer and the values of the actions, in one stream or in two."""
    if num_actions < 1:
        raise ValueError(f"num_actions is {num_actions}; at least 1 is needed.")
    if dueling:
        return DuelingHead(num_features, width, num_actions)
    return nn.Sequential(nn.Linear(num_features, width), nn.ReLU(), nn.Linear(width, num_actions))


class QTable(nn.Module):
    """Numbers of states [B] to the values of their actions [B, A], all 0 at first."""

    def __init__(self, *, num_states: int = 16, num_actions: int = 4) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(num_states, num_actions))

    def forward(self, states: Tensor) -> Tensor:
        """Raises: IndexError for a state that there is not."""
        return self.values[states.long()]
