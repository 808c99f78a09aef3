"""M3, M5, M11, M18 and M34-res: convolutional networks on the raw waveform, the first layer a bank of learned filters.

Source: Dai et al. 2016, arXiv:1610.00087, table 1 (the five networks) and section 3 (standardised input, Glorot's
  initialisation).
Differs from the paper: a residual block that doubles the channels repeats each channel of its shortcut, as the authors
  told a reimplementer; clips of any length, whose padding is masked, where the paper has 4 s at 8 kHz throughout.
Shapes: B clips, T samples, D channels, t positions.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from audio.data.clips import ClipBatch, as_clips
from audio.layers.masked import MaskedBatchNorm, over_channels, valid_positions

Block = Literal["plain", "residual"]
KERNEL, STRIDE = 80, 4  # of the first convolution: 10 ms and 0.5 ms at 8 kHz
POOL, MAX_POOLS = 4, 4  # table 1: after the first convolution and after up to three groups


class RawWaveformCNN(nn.Module):
    """Clips, or waveforms [B, T], to logits [B, num_classes].

    stem_width: channels of the first convolution.
    widths, depths: channels and number of convolutions ("plain") or of blocks of two ("residual") of each group.
    Raises: ValueError for a value that is none of the choices, or counts that do not fit.
    """

    classifier: ClassVar[str] = "classifier_layer"
    sample_rate_hz: ClassVar[int] = 8000  # what the sizes of the first layer are made for

    def __init__(
        self,
        *,
        num_classes: int = 10,
        stem_width: int = 128,
        widths: Sequence[int] = (128, 256, 512),
        depths: Sequence[int] = (1, 1, 1),
        block: Block = "plain",
    ) -> None:
        super().__init__()
        if block not in get_args(Block):
            raise ValueError(f"block must be one of {', '.join(get_args(Block))}, got {block!r}.")
        if len(widths) != len(depths) or not widths or min(num_classes, stem_width, *widths, *depths) < 1:
            raise ValueError(f"Each group needs a width and a depth, 1 or more, got {list(widths)} and {list(depths)}.")
        self.conv = nn.Conv1d(1, stem_width, KERNEL, stride=STRIDE, padding=(KERNEL - STRIDE) // 2)
        self.norm = MaskedBatchNorm(stem_width)
        self.pool = nn.MaxPool1d(POOL, ceil_mode=True)
        groups: list[nn.ModuleList] = []
        channels = stem_width
        for width, depth in zip(widths, depths, strict=True):
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers.append(ResidualBlock(channels, width) if block == "residual" else ConvBlock(channels, width))
                channels = width
            groups.append(nn.ModuleList(layers))
        self.groups = nn.ModuleList(groups)
        self.last_map = f"groups.{len(groups) - 1}.{len(groups[-1]) - 1}"  # the layer that a CAM looks at
        self.classifier_layer = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_features(self, clips: ClipBatch | Tensor) -> tuple[Tensor, Tensor]:
        """Clips to the last map [B, D, t], zero where a clip has ended, and its mask [B, 1, t]."""
        clips = as_clips(clips).masked(shortest=STRIDE)
        x = standardised(clips)[:, None]  # [B, 1, T]
        x = self.conv(x)  # [B, D, T / 4]
        lengths = clips.lengths // STRIDE
        mask = over_channels(valid_positions(lengths, x.shape[2]), x)  # [B, 1, t]
        x = self.norm(x, mask).relu() * mask
        for index, group in enumerate([nn.ModuleList(), *self.groups]):
            for layer in group:
                x = layer(x, mask)
            if index < MAX_POOLS:
                x = self.pool(x)  # after a ReLU, so that masked zeros never win over the clip's own values
                lengths = -(-lengths // POOL)
                mask = over_channels(valid_positions(lengths, x.shape[2]), x)
        return x, mask

    def forward(self, clips: ClipBatch | Tensor) -> Tensor:
        x, mask = self.forward_features(clips)
        return self.classifier_layer(x.sum(2) / mask.sum(2))  # [B, C]


class ConvBlock(nn.Module):
    """A convolution over three positions, batch norm and ReLU: [B, D, t] and mask [B, 1, t] to [B, D', t]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, 3, padding=1)
        self.norm = MaskedBatchNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.norm(self.conv(x), mask).relu() * mask


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, with batch norm and ReLU after their sum: [B, D, t] to [B, D', t].

    Raises: ValueError unless D' is a multiple of D.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        if channels % in_channels:
            raise ValueError(f"A shortcut repeats channels: {channels} is no multiple of {in_channels}.")
        self.repeats = channels // in_channels
        self.conv1 = ConvBlock(in_channels, channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm2 = MaskedBatchNorm(channels)
        self.norm = MaskedBatchNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shortcut = x.repeat_interleave(self.repeats, dim=1) if self.repeats > 1 else x
        x = self.norm2(self.conv2(self.conv1(x, mask)), mask)
        return self.norm(x + shortcut, mask).relu() * mask


def standardised(clips: ClipBatch) -> Tensor:
    """Each clip less its mean and over its standard deviation, [B, T], zero where it has ended."""
    waveforms, lengths = clips.waveforms, clips.lengths[:, None]
    valid = valid_positions(clips.lengths, waveforms.shape[1])
    centred = torch.where(valid, waveforms - waveforms.sum(1, keepdim=True) / lengths, 0.0)
    deviation = (centred.square().sum(1, keepdim=True) / lengths).sqrt()
    return centred / deviation.clamp(min=1e-5)  # silence stays silence: 1e-5 is a third of a 16-bit step
