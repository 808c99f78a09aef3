"""Views of clips for test-time augmentation. All keep the length, so that every network takes them.

Source: own.
Shapes: B clips, T samples.
"""

from functools import partial
from typing import Any

import torch

from audio.data.clips import ClipBatch, as_clips
from zoo.training.test_time import View

SHIFTS = (0.0, -0.1, 0.1)  # of a clip's own length, later in time above 0


def shifts() -> tuple[View, ...]:
    """The clip, and the clip a tenth of its length earlier and later."""
    return tuple(View(partial(shifted, share=share)) for share in SHIFTS)


def shifted(clips: Any, *, share: float) -> ClipBatch:
    """Each clip `share` of its own length later; what leaves at its end comes back at its start. Padding stays."""
    waveforms, lengths = as_clips(clips)
    steps = (share * lengths).round().long()[:, None]  # [B, 1]
    places = torch.arange(waveforms.shape[1], device=waveforms.device).expand_as(waveforms)  # [B, T]
    inside = (places - steps).remainder(lengths[:, None])
    return ClipBatch(waveforms.gather(1, torch.where(places < lengths[:, None], inside, places)), lengths)
