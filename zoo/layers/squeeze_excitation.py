"""Squeeze-and-excitation: a gate for each channel, computed from the mean of every channel.

Source: Hu et al. 2017, arXiv:1709.01507, section 3, equations 2 to 4.
Differs from the paper: the hidden width is rounded to a multiple of `divisor`, and is never below it, so that
  timm's checkpoints fit; at 64 channels and reduction 16 that gives 8 hidden units for the paper's 4.
  `divisor=1` is the paper's own width.
Shapes: B images, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Maps [B, C, H, W] to maps of the same shape, each channel scaled by a gate in (0, 1).

    channels:  C.
    reduction: C over the width of the hidden layer.
    divisor:   the hidden width is a multiple of this.
    Raises:    ValueError for a number below 1.
    """

    def __init__(self, *, channels: int, reduction: int = 16, divisor: int = 8) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("reduction", reduction), ("divisor", divisor)):
            if value < 1:
                raise ValueError(f"{name}={value!r} is not valid: pass a whole number of at least 1.")
        hidden = max(divisor, int(channels / reduction + divisor / 2) // divisor * divisor)
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1)

    def gates(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the gates [B, C, 1, 1], each in (0, 1)."""
        squeezed = x.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(squeezed))))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] to gated maps [B, C, H, W]."""
        return x * self.gates(x)
