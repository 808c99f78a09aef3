"""Pictures of clips: waveform and spectrogram with what was predicted. Imported only where something is drawn."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from audio.data.clips import ClipBatch
from audio.layers.frontend import LogMel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 16
TICKS = 5


@torch.no_grad()
def draw_predictions(clips: ClipBatch, predictions: Sequence[Mapping[str, Any]], *, sample_rate_hz: int) -> "Figure":
    """The waveform and the log-mel spectrogram of each clip, with its class and probability; 16 clips at most."""
    from matplotlib.figure import Figure

    rows = min(len(predictions), MOST_ROWS)
    frontend = LogMel(sample_rate_hz=sample_rate_hz)
    figure = Figure(figsize=(9, 1.9 * rows), dpi=120, layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False)
    bands = [round(index * (frontend.num_mels - 1) / (TICKS - 1)) for index in range(TICKS)]
    for row in range(rows):
        length = int(clips.lengths[row])
        waveform = clips.waveforms[row, :length].float().cpu()
        seconds = length / sample_rate_hz
        left, right = panels[row]
        left.plot(torch.arange(length) / sample_rate_hz, waveform, linewidth=0.5)
        left.set_xlim(0, seconds)
        left.set_ylabel("amplitude", fontsize=7)
        best = predictions[row]
        left.set_title(f"{best['label']}, {100 * best['probability']:.1f} %", fontsize=9)
        levels = frontend(waveform)[0, 0]  # [F, T]
        right.imshow(
            levels.clamp(min=float(levels.max()) - 80), origin="lower", aspect="auto", cmap="magma",
            extent=(0, seconds, 0, len(levels)),
        )  # fmt: skip
        right.set_yticks([band + 0.5 for band in bands], [f"{frontend.frequencies_hz[band]:.0f}" for band in bands])
        right.set_ylabel("Hz", fontsize=7)
        for axes in (left, right):
            axes.tick_params(labelsize=7)
            axes.set_xlabel("seconds", fontsize=7)
    return figure
