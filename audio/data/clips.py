"""Clips of sound: reading one from its file, changing it at random, and batches of clips of unequal length.

Shapes: B clips, T samples.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from zoo.errors import DataError, check_name
from zoo.records import AudioPreprocessing

Augment = Literal["none", "light", "standard"]
CHUNK = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)  # of WAV and AIFF in its log
STREAMED_BYTES = 0x7FFF_0000  # from here on a size stands for one that was not known when the header was written
LEAST_READ = 0.9  # share of the promised samples; lengths of MP3 files may be estimates
SILENCE = 1e-4  # peak below which a clip counts as silent: -80 dB below full scale


class ClipBatch(NamedTuple):
    """Clips of unequal length, padded with zeros at the end.

    waveforms: [B, T] floating point, mono, full scale is 1.
    lengths:   [B] int64, samples of each clip, 1..T.
    """

    waveforms: Tensor
    lengths: Tensor

    def masked(self, *, shortest: int = 1) -> "ClipBatch":
        """The same clips with zeros after their ends, and with silence at the end of those below `shortest` samples."""
        waveforms, lengths = self.waveforms, self.lengths
        valid = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]  # [B, T]
        waveforms = torch.where(valid, waveforms, 0.0)
        missing = max(0, shortest - waveforms.shape[1])
        return ClipBatch(torch.nn.functional.pad(waveforms, (0, missing)), lengths.clamp(min=shortest))


def as_clips(inputs: Any) -> ClipBatch:
    """Clips as they are, or waveforms [B, T] (or one, [T]) as clips that are all of full length.

    Raises: DataError for anything else.
    """
    if isinstance(inputs, ClipBatch):
        return inputs
    if isinstance(inputs, tuple | list) and len(inputs) == 2 and all(isinstance(part, Tensor) for part in inputs):
        return ClipBatch(*inputs)
    if not isinstance(inputs, Tensor):
        inputs = torch.as_tensor(inputs) if hasattr(inputs, "__array__") else inputs
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim not in (1, 2):
        came = f"{inputs.dtype} {list(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise DataError(f"Expected sound files, a ClipBatch, or float waveforms [B, T] at full scale 1, got {came}.")
    waveforms = inputs[None] if inputs.ndim == 1 else inputs
    waveforms = waveforms.float() if waveforms.dtype == torch.float64 else waveforms
    return ClipBatch(waveforms, torch.full((len(waveforms),), waveforms.shape[1], device=waveforms.device))


def pad_clips(waveforms: Sequence[Tensor]) -> ClipBatch:
    """Waveforms [T1], [T2], ... to one batch."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    return ClipBatch(torch.nn.utils.rnn.pad_sequence(list(waveforms), batch_first=True), lengths)


def collate_clips(samples: Sequence[tuple[Tensor, int]]) -> tuple[ClipBatch, Tensor]:
    """Pairs of a waveform [T] and a class to a batch of clips and classes [B]."""
    return pad_clips([waveform for waveform, _ in samples]), torch.tensor([label for _, label in samples])


def preprocessing_from(value: AudioPreprocessing | Mapping[str, Any]) -> AudioPreprocessing:
    """A record, or the mapping that JSON makes of one, to a record that was checked.

    Raises: UnknownNameError for a field that does not exist; DataError for a rate or a length that cannot be.
    """
    if not isinstance(value, AudioPreprocessing):
        for name in value:
            check_name("field of AudioPreprocessing", name, (part.name for part in fields(AudioPreprocessing)))
        value = AudioPreprocessing(**value)
    if value.sample_rate_hz < 1 or (value.seconds is not None and not value.seconds > 0):
        raise DataError(f"sample_rate_hz and seconds must be above 0, got {value}.")
    return value


# -- Reading


@dataclass(frozen=True, slots=True)
class Header:
    """What a sound file says of itself. frames: samples of each channel."""

    frames: int
    sample_rate_hz: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


def read_header(path: str) -> Header:
    """The header of a sound file.

    Raises: DataError naming a file that cannot be read.
    """
    import soundfile

    try:
        found = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error
    _check_whole(path, found.extra_info)
    return Header(found.frames, found.samplerate, found.channels)


def read_clip(path: str, *, preprocessing: AudioPreprocessing, position: float = 0.5) -> Tensor:
    """A sound file to a mono waveform, float32 [T], at the rate asked for.

    position: where in the file a clip is taken that is longer than `preprocessing.seconds`, 0 (start) to 1 (end); only
              that part of the file is read.
    Raises:   DataError naming a file that cannot be read, is empty or cut short, or holds NaN or infinity.
    """
    import soundfile

    start, frames = 0, -1
    try:
        with soundfile.SoundFile(path) as file:
            _check_whole(path, file.extra_info)
            if preprocessing.seconds is not None:
                longest = round(preprocessing.seconds * file.samplerate)
                if file.frames > longest:
                    start, frames = int(position * (file.frames - longest)), longest
                    file.seek(start)
            samples = file.read(frames, dtype="float32", always_2d=True)
            rate, promised = file.samplerate, file.frames if frames < 0 else frames
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error
    waveform = torch.from_numpy(samples).mean(1)  # [T]
    if len(waveform) == 0:
        raise DataError(f"{path} holds no samples.")
    if len(waveform) < LEAST_READ * promised:
        raise DataError(f"{path} is cut short: {len(waveform)} of {promised} samples can be read.")
    if not bool(waveform.isfinite().all()):
        raise DataError(f"{path} holds samples that are NaN or infinite.")
    return resampled(waveform, rate, preprocessing.sample_rate_hz)


def resampled(waveform: Tensor, rate_hz: int, wanted_hz: int) -> Tensor:
    """A waveform [..., T] at another sample rate, [..., T * wanted_hz / rate_hz]."""
    if rate_hz == wanted_hz:
        return waveform
    import torchaudio

    return torchaudio.functional.resample(waveform, rate_hz, wanted_hz)


def cut(waveform: Tensor, samples: int | None, position: float) -> Tensor:
    """At most `samples` of a waveform [T], from `position` in it, 0 (start) to 1 (end)."""
    if samples is None or len(waveform) <= samples:
        return waveform
    start = int(position * (len(waveform) - samples))
    return waveform[start : start + samples]


def _check_whole(path: str, log: str) -> None:
    """Raises DataError for a file whose header promises more than there is; `log` is what libsndfile noted of it.

    libsndfile itself reads what is left of such a file, as if it ended there.
    """
    found = CHUNK.search(log)
    if found and int(found[2]) < int(found[1]) < STREAMED_BYTES:
        raise DataError(f"{path} is cut short: its header promises {found[1]} bytes, and {found[2]} are there.")


def _unreadable(path: str, error: Exception) -> DataError:
    """What to say of a file that libsndfile does not open."""
    if not os.path.isfile(path):
        return DataError(f"There is no file {path}.")
    if os.path.getsize(path) == 0:
        return DataError(f"{path} is empty.")
    text = str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error)
    return DataError(f"{path} cannot be read as a sound file: {text.removesuffix('.')}.")


# -- Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentStrength:
    """How far a training clip may be changed.

    trim:            most that is cut off, share of the clip, divided at random between its start and its end.
    silence_seconds: most silence put before it, and as much again after it; trim and silence together shift it in time.
                     It is noise as faint as the clip's quietest moments, and 40 dB below the clip at least: no
                     recording has stretches of zeros.
    gain_db:         most that it is made louder or softer.
    noise:           probability of white noise.
    noise_snr_db:    least and most power of the clip over that of the noise.
    """

    trim: float
    silence_seconds: float
    gain_db: float
    noise: float
    noise_snr_db: tuple[float, float] = (10.0, 40.0)


STRENGTHS: dict[str, AugmentStrength] = {
    "light": AugmentStrength(trim=0.05, silence_seconds=0.05, gain_db=3.0, noise=0.0),
    "standard": AugmentStrength(trim=0.1, silence_seconds=0.1, gain_db=6.0, noise=0.5),
}


def augmented(waveform: Tensor, strength: AugmentStrength, *, sample_rate_hz: int) -> Tensor:
    """A waveform [T] changed at random by torch's generator, [T']; what was loud stays within -1..1."""
    amount, place, before, after, gain, noisy, level = torch.rand(7).tolist()
    kept = max(1, round(len(waveform) * (1 - strength.trim * amount)))
    waveform = cut(waveform, kept, place)
    silence = strength.silence_seconds * sample_rate_hz
    ends = [_noise_floor(waveform, sample_rate_hz) * torch.randn(int(share * silence)) for share in (before, after)]
    waveform = torch.cat([ends[0], waveform, ends[1]])
    if noisy < strength.noise:
        low, high = strength.noise_snr_db
        power = waveform.square().mean() / 10 ** ((low + (high - low) * level) / 10)
        waveform = waveform + power.sqrt() * torch.randn(len(waveform))
    return (waveform * 10 ** (strength.gain_db * (2 * gain - 1) / 20)).clamp(-1, 1)


def _noise_floor(waveform: Tensor, sample_rate_hz: int) -> Tensor:
    """The root mean square [] of the quietest tenth of a waveform's stretches of 10 ms, or 1 % of the whole one's."""
    size = max(1, min(sample_rate_hz // 100, len(waveform)))
    power = waveform[: len(waveform) // size * size].view(-1, size).square().mean(1)
    return torch.minimum(power.quantile(0.1), 1e-4 * waveform.square().mean()).sqrt()
