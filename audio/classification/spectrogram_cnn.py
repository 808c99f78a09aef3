"""CNN6, CNN10 and CNN14 of PANNs: blocks of convolutions and average pooling on a log-mel spectrogram.

Source: Kong et al. 2019, arXiv:1912.10211, table I (CNN6, CNN10, CNN14) and section IV (log-mel, SpecAugment, dropout).
Differs from the paper: logits, where the paper ends with a sigmoid for each tag; the signal is continued by zeros at
  its ends, not by reflection; maps are [F, T] where the authors' are [T, F] (`from_panns` converts their files); clips
  of any length, whose padding is masked, where the paper has 10 s throughout.
Tensor names are the authors'.
Shapes: B clips, F mel bands, T frames, D channels; f, t after pooling.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from audio.data.clips import ClipBatch, as_clips
from audio.layers.frontend import LogMel, SpecAugment
from audio.layers.masked import MaskedBatchNorm, over_channels, valid_positions

EXPLAINED_CELLS = 4


class SpectrogramCNN(nn.Module):
    """Clips, or waveforms [B, T'], to logits [B, num_classes].

    sample_rate_hz: of the clips; windows keep their length in seconds.
    widths:         channels of each block; all but the last with `pool_last=False` halve the map.
    kernel_size:    5 for one convolution a block (CNN6), 3 for two (CNN10, CNN14).
    num_mels:       bands; as many as the blocks can halve.
    dropout, head_dropout: probability after each block, and before each of the two last layers.
    time_masks, frequency_masks: of SpecAugment, 0 for none.
    Raises: ValueError for values that do not fit.
    """

    classifier: ClassVar[str] = "fc_audioset"

    def __init__(
        self,
        *,
        num_classes: int = 527,
        sample_rate_hz: int = 32_000,
        num_mels: int = 64,
        widths: Sequence[int] = (64, 128, 256, 512),
        kernel_size: int = 3,
        pool_last: bool = True,
        dropout: float = 0.2,
        head_dropout: float = 0.5,
        time_masks: int = 2,
        frequency_masks: int = 2,
    ) -> None:
        super().__init__()
        self.num_pools = len(widths) - (not pool_last)
        if kernel_size not in (3, 5) or not widths or min(num_classes, *widths) < 1:
            raise ValueError(f"kernel_size must be 3 or 5 and widths 1 or more, got {kernel_size} and {list(widths)}.")
        if num_mels < 2**self.num_pools:
            raise ValueError(f"{self.num_pools} poolings need {2**self.num_pools} bands at least, got {num_mels}.")
        self.frontend = LogMel(sample_rate_hz=sample_rate_hz, num_mels=num_mels)
        self.spec_augment = SpecAugment(time_masks=time_masks, frequency_masks=frequency_masks)
        self.bn0 = MaskedBatchNorm(num_mels)
        self.block_names = [f"conv_block{index + 1}" for index in range(len(widths))]
        for index, (name, width) in enumerate(zip(self.block_names, widths, strict=True)):
            channels = 1 if index == 0 else widths[index - 1]
            self.add_module(name, ConvBlock(channels, width, kernel_size=kernel_size, pool=index < self.num_pools))
        self.dropout = nn.Dropout(dropout)
        self.head_dropout = nn.Dropout(head_dropout)
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.fc_audioset = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_features(self, clips: ClipBatch | Tensor) -> tuple[Tensor, Tensor]:
        """Clips to the last map [B, D, f, t], zero where a clip has ended, and its mask [B, 1, 1, t]."""
        clips = as_clips(clips).masked(shortest=self.frontend.samples_for(2**self.num_pools))
        x = self.frontend(clips)  # [B, 1, F, T]
        frames = self.frontend.num_frames(clips.lengths)
        x = self.spec_augment(normalised(x, self.bn0, frames), frames)
        for name in self.block_names:
            block = getattr(self, name)
            x = self.dropout(block(x, frames))
            frames = frames // 2 if block.pool else frames
        return x, over_channels(valid_positions(frames, x.shape[3]), x)

    def explained_layer(self, num_frames: int) -> str:
        """The last block whose map of spectrograms of `num_frames` has EXPLAINED_CELLS each way, else the first one.

        The last block's own map of half a second of speech has two cells by three, which shows no more than "early".
        """
        shorter = min(self.frontend.num_mels, num_frames)
        cells = {name: shorter >> min(number, self.num_pools) for number, name in enumerate(self.block_names, 1)}
        return next((name for name in reversed(cells) if cells[name] >= EXPLAINED_CELLS), self.block_names[0])

    def forward(self, clips: ClipBatch | Tensor) -> Tensor:
        x, mask = self.forward_features(clips)
        x, mask = x.mean(2), mask[:, :, 0]  # [B, D, t]
        x = x.amax(2) + x.sum(2) / mask.sum(2)  # maps are not negative, so that zeros never win
        x = self.fc1(self.head_dropout(x)).relu()
        return self.fc_audioset(self.head_dropout(x))  # [B, C]


class ConvBlock(nn.Module):
    """One or two convolutions with batch norm and ReLU, then the mean of 2 x 2 cells: [B, D, F, T] to [B, D', f, t]."""

    def __init__(self, in_channels: int, channels: int, *, kernel_size: int, pool: bool) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size, padding=padding, bias=False)
        self.bn1 = MaskedBatchNorm(channels)
        self.twice = kernel_size == 3
        if self.twice:
            self.conv2 = nn.Conv2d(channels, channels, kernel_size, padding=padding, bias=False)
            self.bn2 = MaskedBatchNorm(channels)
        self.pool = pool

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """Maps that are zero after their `frames` [B] to maps that are zero after theirs, half as many if pooled."""
        mask = over_channels(valid_positions(frames, x.shape[3]), x)  # [B, 1, 1, T]
        x = self.bn1(self.conv1(x), mask).relu() * mask
        if self.twice:
            x = self.bn2(self.conv2(x), mask).relu() * mask
        if not self.pool:
            return x
        x = nn.functional.avg_pool2d(x, 2)
        return x * over_channels(valid_positions(frames // 2, x.shape[3]), x)


def normalised(spectrograms: Tensor, norm: MaskedBatchNorm, frames: Tensor) -> Tensor:
    """Spectrograms [B, 1, F, T] with each band normalised by `norm` over F bands, zero after their `frames` [B]."""
    bands = spectrograms[:, 0]  # [B, F, T]
    mask = over_channels(valid_positions(frames, bands.shape[2]), bands)  # [B, 1, T]
    return (norm(bands, mask) * mask)[:, None]


def from_panns(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The authors' state dict, of CNN6, CNN10 or CNN14, to one of SpectrogramCNN with the same front end.

    Their front end's tensors are left out, and kernels over [T, F] are turned to [F, T].
    """
    tensors = state.get("model", state)
    kept = {name: value for name, value in tensors.items() if not name.startswith(("spectrogram_", "logmel_"))}
    return {name: value.transpose(2, 3).contiguous() if value.ndim == 4 else value for name, value in kept.items()}
