"""Reading one clip, changing it, and batches of clips."""

import numpy as np
import pytest
import soundfile
import torch

from audio.data.clips import (
    STRENGTHS,
    AugmentStrength,
    ClipBatch,
    as_clips,
    augmented,
    collate_clips,
    pad_clips,
    preprocessing_from,
    read_clip,
    read_header,
)
from zoo.errors import DataError, UnknownNameError
from zoo.records import AudioPreprocessing

AT_8 = AudioPreprocessing(sample_rate_hz=8000)


def test_channels_are_mixed_and_the_rate_is_changed(tmp_path, make_tone):
    """Fails if a channel is dropped, or resampling keeps the number of samples: the pitch would change."""
    left = make_tone(1000.0, 0.5, rate=16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 16_000, subtype="FLOAT")
    clip = read_clip(str(tmp_path / "a.wav"), preprocessing=AT_8)
    assert clip.shape == (4000,)
    spectrum = torch.fft.rfft(clip).abs()
    assert int(spectrum.argmax()) * 8000 / 4000 == 1000.0
    assert float(clip.abs().max()) == pytest.approx(0.15, abs=0.03)  # half of one channel


def test_a_long_file_gives_the_part_asked_for(tmp_path):
    """Fails if the position is of the clip's start in samples of the wrong rate, or the whole file is read."""
    ramp = np.linspace(0, 0.9, 1000, dtype="float32")
    soundfile.write(tmp_path / "ramp.wav", ramp, 8000, subtype="FLOAT")
    part = AudioPreprocessing(sample_rate_hz=8000, seconds=0.025)  # 200 samples
    for position, first in ((0.0, 0), (0.5, 400), (1.0, 800)):
        clip = read_clip(str(tmp_path / "ramp.wav"), preprocessing=part, position=position)
        torch.testing.assert_close(clip, torch.from_numpy(ramp[first : first + 200]))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no sound at all", "cannot be read as a sound file: Format not recognised"), (b"", "is empty")],
)
def test_a_file_that_is_no_sound_is_named(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad.wav {message}"):
        read_clip(str(path), preprocessing=AT_8)
    with pytest.raises(DataError, match=r"There is no file .*missing\.wav"):
        read_clip(str(tmp_path / "missing.wav"), preprocessing=AT_8)


@pytest.mark.parametrize("form", ["wav", "aiff", "flac", "mp3", "ogg"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, make_tone, form):
    """Fails if half a download is trained on as if it were the whole clip, as libsndfile reads it."""
    path = tmp_path / f"half.{form}"
    soundfile.write(path, make_tone(500.0, 2.0), 8000)
    read_clip(str(path), preprocessing=AT_8)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"half\.\w+ (is cut short: |cannot be read as |holds no samples)"):
        read_clip(str(path), preprocessing=AT_8)
    if form in ("wav", "aiff"):
        with pytest.raises(DataError, match=r"promises 32\d+ bytes, and \d+ are there"):
            read_header(str(path))


def test_a_file_of_unknown_length_is_read(tmp_path, make_tone):
    """Fails if what a program streamed, which cannot go back to write the size, counts as cut short."""
    path = tmp_path / "streamed.wav"
    soundfile.write(path, make_tone(500.0, 0.5), 8000)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[4:8] = content[place : place + 4] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_clip(str(path), preprocessing=AT_8)) == 4000
    assert read_header(str(path)).frames == 4000


def test_not_a_number_is_refused(tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan], dtype="float32"), 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"nan.wav holds samples that are NaN"):
        read_clip(str(tmp_path / "nan.wav"), preprocessing=AT_8)


def test_batches_are_padded_and_masked():
    clips, labels = collate_clips([(torch.ones(3), 2), (torch.ones(5), 0)])
    assert clips.waveforms.tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert clips.lengths.tolist() == [3, 5]
    assert labels.tolist() == [2, 0]
    dirty = ClipBatch(torch.full((2, 5), 7.0), clips.lengths)
    assert dirty.masked().waveforms[0].tolist() == [7, 7, 7, 0, 0]
    longer = dirty.masked(shortest=6)
    assert longer.waveforms.shape == (2, 6)
    assert longer.lengths.tolist() == [6, 6]
    assert longer.waveforms[0].tolist() == [7, 7, 7, 0, 0, 0]


def test_waveforms_become_clips_of_full_length():
    assert as_clips(torch.zeros(7)).waveforms.shape == (1, 7)
    assert as_clips(np.zeros((2, 7))).waveforms.dtype == torch.float32
    assert as_clips(torch.zeros(2, 7)).lengths.tolist() == [7, 7]
    clips = pad_clips([torch.zeros(2)])
    assert as_clips(clips) is clips
    for wrong in (torch.zeros(2, 1, 7), torch.zeros(3, dtype=torch.int64), "a.wav"):
        with pytest.raises(DataError, match="Expected sound files, a ClipBatch"):
            as_clips(wrong)


@pytest.mark.parametrize("name", STRENGTHS)
def test_augmentation_changes_at_random_within_its_limits(name):
    """Fails if a change is the same each time, or the clip is lost: trimmed or padded beyond what the strength says."""
    strength, clip = STRENGTHS[name], torch.sin(torch.arange(4000) / 5)
    torch.manual_seed(0)
    found = [augmented(clip, strength, sample_rate_hz=8000) for _ in range(200)]
    lengths = [len(each) for each in found]
    assert len(set(lengths)) > 100
    assert min(lengths) >= 4000 * (1 - strength.trim)
    assert max(lengths) <= 4000 + 2 * strength.silence_seconds * 8000
    peaks = torch.stack([each.abs().max() for each in found])
    assert float(peaks.max()) <= 1.0
    assert float(peaks.min()) >= 0.9 * 10 ** (-strength.gain_db / 20)


def test_noise_has_the_power_asked_for():
    """Fails if decibels of power are taken for amplitude: the ratio would be 20 dB for 10."""
    still = AugmentStrength(trim=0.0, silence_seconds=0.0, gain_db=0.0, noise=1.0, noise_snr_db=(10.0, 10.0))
    clip = 0.1 * torch.sin(torch.arange(40_000) / 5)
    noise = augmented(clip, still, sample_rate_hz=8000) - clip
    assert float(10 * (clip.square().mean() / noise.square().mean()).log10()) == pytest.approx(10.0, abs=0.2)


def test_preprocessing_is_checked():
    assert preprocessing_from({"sample_rate_hz": 8000}) == AT_8
    with pytest.raises(UnknownNameError, match="sample_rate_hz"):
        preprocessing_from({"sample_rate": 8000})
    with pytest.raises(DataError, match="above 0"):
        preprocessing_from({"sample_rate_hz": 8000, "seconds": 0})


def test_silence_is_as_faint_as_the_recording_itself():
    """Fails if zeros are put around a clip: their -100 dB would be the loudest thing that a log-mel network learns."""
    only = AugmentStrength(trim=0.0, silence_seconds=0.5, gain_db=0.0, noise=0.0)
    torch.manual_seed(0)
    clip = torch.cat([0.3 * torch.sin(torch.arange(4000) / 5), 0.001 * torch.randn(1000)])
    found = augmented(clip, only, sample_rate_hz=8000)
    start = next(i for i in range(len(found)) if torch.equal(found[i : i + 50], clip[:50]))
    assert start > 100
    assert float(found[:start].std()) == pytest.approx(0.001, rel=0.2)
    steady = augmented(clip[:4000], only, sample_rate_hz=8000)
    assert float(steady[:100].abs().max()) < 0.02  # of a tone that never rests, 40 dB below it
