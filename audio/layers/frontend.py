"""Front ends: waveforms to log-mel spectrograms and cepstra on the model's own device, and SpecAugment.

Source: the log-mel settings are those of Kong et al. 2019, arXiv:1912.10211, section IV-A (32 ms windows, 10 ms hops,
  64 bands from 50 Hz to 14 kHz); cepstra after Davis and Mermelstein 1980, doi:10.1109/TASSP.1980.1163420; masks
  after Park et al. 2019, arXiv:1904.08779, section 2.
Differs from the paper: the signal is continued by zeros, not by reflection, at its ends; no time warping in
  SpecAugment, which the paper found to matter least.

Padding never changes a result. Frame k is centred on sample k * hop, and what lies outside of a clip is zero, whether
it is the end of the batch's tensor or padding; a clip of n samples has n // hop + 1 frames, and later ones are masked.
Shapes: B clips, F bands, T frames.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from audio.data.clips import ClipBatch, as_clips
from audio.layers.masked import valid_positions

FLOOR, SILENCE_DB = 1e-10, -100.0  # power that counts as silence, and the same in dB
HIGHEST_HZ = 14_000.0


class LogMel(nn.Module):
    """Clips to log-mel spectrograms in dB, [B, 1, F, T], the lowest band first.

    window_seconds, hop_seconds: of the analysis window, and from one frame to the next.
    min_hz, max_hz: lowest and highest frequency of the bands; None is 14 kHz, or half the sample rate if that is less.
    Its tensors are computed, not trained, and are no part of a state dict.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        num_mels: int = 64,
        window_seconds: float = 0.032,
        hop_seconds: float = 0.01,
        min_hz: float = 50.0,
        max_hz: float | None = None,
    ) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.sample_rate_hz = sample_rate_hz
        self.num_mels = num_mels
        self.hop = max(1, round(hop_seconds * sample_rate_hz))
        window = round(window_seconds * sample_rate_hz)
        highest = min(HIGHEST_HZ, sample_rate_hz / 2) if max_hz is None else max_hz
        if not 0 <= min_hz < highest <= sample_rate_hz / 2 or window < 2 or num_mels < 1:
            raise ValueError(
                f"Expected 0 <= min_hz < max_hz <= {sample_rate_hz / 2:g} Hz, a window of two samples or more and one "
                f"band at least; got {min_hz:g}..{highest:g} Hz, {window} samples and {num_mels} bands."
            )
        with real_device():
            self.mel = MelSpectrogram(
                sample_rate=sample_rate_hz, n_fft=2 ** math.ceil(math.log2(window)), win_length=window,
                hop_length=self.hop, f_min=min_hz, f_max=highest, n_mels=num_mels, power=2.0, center=True,
                pad_mode="constant", norm="slaney", mel_scale="slaney",
            )  # fmt: skip
        self.limits_hz = (min_hz, highest)
        leave_out_of_state(self)

    @property
    def hop_seconds(self) -> float:
        """Time from one frame to the next."""
        return self.hop / self.sample_rate_hz

    @property
    def frequencies_hz(self) -> list[float]:
        """The middle of each band."""
        matrix = self.mel.mel_scale.fb  # [bins, F]
        bins = torch.linspace(0, self.sample_rate_hz / 2, matrix.shape[0], device=matrix.device)
        return ((bins @ matrix) / matrix.sum(0).clamp(min=FLOOR)).tolist()

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Samples [B] to frames [B]."""
        return lengths // self.hop + 1

    def samples_for(self, frames: int) -> int:
        """The fewest samples that give so many frames."""
        return max(1, (frames - 1) * self.hop)

    def forward(self, clips: ClipBatch | Tensor) -> Tensor:
        """Clips, or waveforms [B, T'], to decibels [B, 1, F, T]."""
        waveforms = as_clips(clips).masked().waveforms
        with torch.autocast(waveforms.device.type, enabled=False):  # powers span 10 decades, half precision 5
            power = self.mel(waveforms.float())  # [B, F, T]
            return (10 * power.clamp(min=FLOOR).log10())[:, None]


class MFCC(nn.Module):
    """Clips to mel-frequency cepstral coefficients [B, num_coefficients, T]: the cosine transform of the log-mel bands.

    Differs from torchaudio's MFCC: bands are not cut off 80 dB below the loudest one of the whole batch, which would
    make a row depend on its neighbours.
    """

    cosines: Tensor

    def __init__(self, *, sample_rate_hz: int, num_coefficients: int = 20, num_mels: int = 40) -> None:
        super().__init__()
        from torchaudio.functional import create_dct

        self.frontend = LogMel(sample_rate_hz=sample_rate_hz, num_mels=num_mels)
        if not 1 <= num_coefficients <= num_mels:
            raise ValueError(f"num_coefficients must be in 1..{num_mels} (num_mels), got {num_coefficients}.")
        with real_device():
            cosines = create_dct(num_coefficients, num_mels, norm="ortho")
        self.register_buffer("cosines", cosines, persistent=False)

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Samples [B] to frames [B]."""
        return self.frontend.num_frames(lengths)

    def forward(self, clips: ClipBatch | Tensor) -> Tensor:
        """Clips, or waveforms [B, T'], to coefficients [B, num_coefficients, T]."""
        return torch.einsum("bft,fc->bct", self.frontend(clips)[:, 0], self.cosines)


class SpecAugment(nn.Module):
    """In training, sets random bands and stretches of time of each spectrogram [B, C, F, T] to 0; else does nothing.

    Zero must be the mean of the spectrogram, as the paper has it: normalise first.

    time_masks, frequency_masks: how many of each.
    time_width, frequency_width: largest width, frames and bands; each width is drawn from 0 to that.
    time_share:                  largest width of a time mask as a share of the row's valid frames.
    """

    def __init__(
        self,
        *,
        time_masks: int = 2,
        time_width: int = 64,
        frequency_masks: int = 2,
        frequency_width: int = 8,
        time_share: float = 0.2,
    ) -> None:
        super().__init__()
        if min(time_masks, time_width, frequency_masks, frequency_width) < 0 or not 0 <= time_share <= 1:
            raise ValueError("Numbers and widths of masks must not be negative, and time_share must be in 0..1.")
        self.time_masks, self.time_width = time_masks, time_width
        self.frequency_masks, self.frequency_width = frequency_masks, frequency_width
        self.time_share = time_share

    def forward(self, spectrograms: Tensor, frames: Tensor) -> Tensor:
        """Spectrograms [B, C, F, T] of `frames` [B] valid frames to masked ones; the input is left alone."""
        if not self.training:
            return spectrograms
        bands, positions = spectrograms.shape[2:]
        widest = (self.time_share * frames).floor().clamp(max=self.time_width)  # floor: each width is as likely
        hidden = _stretches(self.time_masks, widest, frames, positions)[:, None, None]  # [B, 1, 1, T]
        full = torch.full_like(frames, bands)
        widest = torch.full_like(widest, min(self.frequency_width, bands))
        hidden = hidden | _stretches(self.frequency_masks, widest, full, bands)[:, None, :, None]  # [B, 1, F, T]
        return spectrograms.masked_fill(hidden, 0.0)

    def extra_repr(self) -> str:
        return (
            f"time_masks={self.time_masks}, time_width={self.time_width}, frequency_masks={self.frequency_masks}, "
            f"frequency_width={self.frequency_width}, time_share={self.time_share}"
        )


def _stretches(number: int, widest: Tensor, sizes: Tensor, positions: int) -> Tensor:
    """`number` random stretches of up to `widest` [B] positions within the first `sizes` [B]: their union, [B, T]."""
    draws = torch.rand(2, len(sizes), number, device=sizes.device)
    widths = (draws[0] * (widest[:, None] + 1)).minimum(widest[:, None]).floor()  # [B, number]
    starts = (draws[1] * (sizes[:, None] - widths + 1)).floor()
    at = torch.arange(positions, device=sizes.device)[:, None]  # [T, 1]
    return ((at >= starts[:, None]) & (at < (starts + widths)[:, None])).any(2)


def frame_mask(frontend: LogMel, lengths: Tensor, num_frames: int) -> Tensor:
    """Samples [B] to a mask [B, T], True at the frames of the clip itself."""
    return valid_positions(frontend.num_frames(lengths), num_frames)


def real_device() -> torch.device:
    """The device that tensors are made on, the CPU for "meta": tables that no file holds must be computed all the same.

    A device is a context manager, inside of which tensors are made on it.
    """
    device = torch.get_default_device()
    return torch.device("cpu") if device.type == "meta" else device


def leave_out_of_state(module: nn.Module) -> None:
    """Makes every buffer inside non-persistent: it is computed on construction, and no file has to hold it."""
    for part in module.modules():
        buffers: dict[str, Any] = dict(part.named_buffers(recurse=False))
        for name, value in buffers.items():
            part.register_buffer(name, value, persistent=False)
