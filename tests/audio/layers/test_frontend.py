"""Log-mel spectrograms, cepstra and SpecAugment."""

import pytest
import torch
import torchaudio

from audio.data.clips import ClipBatch, pad_clips
from audio.layers.frontend import MFCC, LogMel, SpecAugment, frame_mask


def clips_of(*lengths):
    torch.manual_seed(0)
    return [0.1 * torch.randn(length) for length in lengths]


@pytest.mark.parametrize("make", [LogMel, MFCC])
def test_padding_changes_nothing(make):
    """Fails if a clip's last frames see anything but zeros after its end: reflection, or what lies in the batch."""
    frontend = make(sample_rate_hz=8000)
    clips = clips_of(700, 1601, 4000)
    batch = pad_clips(clips)
    dirty = ClipBatch(torch.where(batch.waveforms == 0, 9.0, batch.waveforms), batch.lengths)
    together, spoilt = frontend(batch), frontend(dirty)
    frames = frontend.num_frames(batch.lengths).tolist()
    assert frames == [9, 21, 51]
    for row, clip in enumerate(clips):
        alone = frontend(clip)[0]
        assert alone.shape[-1] == frames[row]
        torch.testing.assert_close(together[row, ..., : frames[row]], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(spoilt[row, ..., : frames[row]], alone, atol=1e-5, rtol=1e-5)
    if make is LogMel:
        mask = frame_mask(frontend, batch.lengths, together.shape[-1])
        assert mask.sum(1).tolist() == frames


def test_log_mel_is_torchaudios():
    """Fails if windows, hops, bands or the logarithm differ from a spectrogram put together from torchaudio's parts."""
    (clip,) = clips_of(4000)
    power = torchaudio.functional.spectrogram(
        clip, pad=0, window=torch.hann_window(256), n_fft=256, hop_length=80, win_length=256, power=2.0,
        normalized=False, center=True, pad_mode="constant",
    )  # fmt: skip
    bands = torchaudio.functional.melscale_fbanks(129, 50.0, 4000.0, 64, 8000, norm="slaney", mel_scale="slaney")
    expected = 10 * torch.log10((bands.T @ power).clamp(min=1e-10))
    torch.testing.assert_close(LogMel(sample_rate_hz=8000)(clip)[0, 0], expected, atol=1e-4, rtol=1e-5)


def test_a_tone_peaks_in_its_own_band():
    """By hand: 1 kHz is 15 mel on Slaney's scale, where 200/3 Hz below 1 kHz are one mel; above, 27 mel are a factor of
    6.4. Bands run from 50 Hz (0.75 mel) to 4 kHz (15 + 27 ln 4 / ln 6.4 = 35.16 mel): the middles of 64 bands are
    0.5294 mel apart, so that 1 kHz lies 26.9 steps above the lower end: nearest to the middle of band 27, number 26.
    """
    frontend = LogMel(sample_rate_hz=8000)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)
    levels = frontend(tone)[0, 0]
    assert levels[:, 50].argmax() == 26
    assert frontend.frequencies_hz[26] == pytest.approx(1000, rel=0.02)
    assert float(levels[40:, 50].max()) < float(levels[26, 50]) - 60


@pytest.mark.parametrize(("rate", "highest", "n_fft"), [(32_000, 14_000, 1024), (16_000, 8000, 512), (8000, 4000, 256)])
def test_settings_follow_the_rate_as_the_paper_has_them(rate, highest, n_fft):
    frontend = LogMel(sample_rate_hz=rate)
    assert frontend.limits_hz == (50.0, highest)
    assert (frontend.mel.n_fft, frontend.mel.win_length) == (n_fft, n_fft)
    assert frontend.hop_seconds == pytest.approx(0.01)
    assert frontend.samples_for(16) == 15 * frontend.hop
    assert (frontend.mel.mel_scale.fb.sum(0) > 0).all()  # no empty band


def test_cepstra_are_torchaudios():
    """Fails if the cosine transform is scaled or cut otherwise. The level is such that nothing lies 80 dB below."""
    (clip,) = clips_of(4000)
    settings = {
        "n_fft": 256, "win_length": 256, "hop_length": 80, "f_min": 50.0, "f_max": 4000.0, "n_mels": 40,
        "pad_mode": "constant", "norm": "slaney", "mel_scale": "slaney",
    }  # fmt: skip
    expected = torchaudio.transforms.MFCC(8000, n_mfcc=20, melkwargs=settings)(clip)
    torch.testing.assert_close(MFCC(sample_rate_hz=8000)(clip)[0], expected, atol=1e-3, rtol=1e-4)


def test_front_ends_hold_no_state():
    """Fails if a run's weights would hold the window: those of other settings could not be loaded, or would win."""
    assert not LogMel(sample_rate_hz=8000).state_dict()
    assert not MFCC(sample_rate_hz=8000).state_dict()
    assert {name for name, _ in LogMel(sample_rate_hz=8000).named_buffers()} >= {"mel.spectrogram.window"}


@pytest.mark.parametrize(
    "options", [{"min_hz": 5000.0}, {"max_hz": 9000.0}, {"window_seconds": 0.0001}, {"num_mels": 0}, {"min_hz": -1.0}]
)
def test_impossible_settings_are_told(options):
    with pytest.raises(ValueError, match="Expected 0 <= min_hz"):
        LogMel(sample_rate_hz=8000, **options)
    with pytest.raises(ValueError, match="num_coefficients"):
        MFCC(sample_rate_hz=8000, num_coefficients=41)


def test_spec_augment_masks_bands_and_valid_frames_of_each_row():
    """Fails if a mask is wider than it may be, lies in the padding, or is the same for all rows."""
    augment = SpecAugment(time_masks=1, time_width=10, frequency_masks=1, frequency_width=4, time_share=0.5)
    frames = torch.tensor([40, 12, 40])
    torch.manual_seed(0)
    widths, ends, patterns = [], [], set()
    for _ in range(200):
        hidden = augment(torch.ones(3, 1, 16, 40), frames)[:, 0] == 0  # [B, F, T]
        columns, rows = hidden.all(1), hidden.all(2)
        widths.append(torch.stack([columns.sum(1), rows.sum(1)], 1))
        ends.append(columns[1].nonzero().max() if columns[1].any() else torch.tensor(0))
        patterns |= {tuple(row.flatten().tolist()) for row in hidden}
        assert torch.equal(hidden, columns[:, None, :] | rows[:, :, None])
    most = torch.stack(widths).amax(0)
    assert most.tolist() == [[10, 4], [6, 4], [10, 4]]
    assert int(torch.stack(ends).max()) == 11
    assert len(patterns) > 500


def test_each_width_of_a_mask_is_as_likely():
    """A fifth of 17 frames is 3.4: fails if the widths 0, 1, 2 and 3 do not come a quarter of the time each."""
    augment = SpecAugment(time_masks=1, frequency_masks=0, time_share=0.2)
    torch.manual_seed(0)
    hidden = augment(torch.ones(8000, 1, 1, 17), torch.full((8000,), 17))[:, 0, 0] == 0
    shares = torch.bincount(hidden.sum(1), minlength=4) / 8000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_spec_augment_rests_in_evaluation_and_is_seeded():
    augment = SpecAugment()
    x, frames = torch.randn(2, 1, 64, 100), torch.tensor([100, 60])
    torch.manual_seed(1)
    first = augment(x, frames)
    torch.manual_seed(1)
    assert torch.equal(augment(x, frames), first)
    assert not torch.equal(first, x)
    assert torch.equal(augment.eval()(x, frames), x)
    with pytest.raises(ValueError, match="must not be negative"):
        SpecAugment(time_masks=-1)
