"""Why a classifier of sounds answers so: heat over the spectrogram inside the model, or over the waveform.

Shapes: B clips, T samples, F bands, D channels, t positions of a layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from audio.classification.outputs import logits_of
from audio.data.clips import ClipBatch
from audio.layers.frontend import SILENCE_DB, LogMel
from zoo.errors import check_name
from zoo.explanation import METHODS, Explanation, FromLayer, InputMethod, LayerMethod, LayerView, explain
from zoo.explanation.hooks import borrowed, run_and_capture
from zoo.explanation.methods import make_method
from zoo.explanation.targets import Objective, gradients
from zoo.explanation.views import SignalView, SpectrogramView


def explain_clips(
    model: nn.Module,
    clips: ClipBatch,
    *,
    method: str,
    target: Any,
    layer: Any,
    options: Mapping[str, Any] | None,
    labels: Sequence[str],
    sample_rate_hz: float,
) -> Explanation:
    """Heat [B, F, T'] over the spectrogram of a model with a `frontend`, else [B, T] over the waveform.

    Every method works on a spectrogram: a CAM looks at what the model's `explained_layer` names, if it has that, and
    integrated gradients start from silence. On the waveform the gradient methods work, and those that weigh the maps of
    a layer if `layer` names one, or the model does by its attribute `last_map`.
    """
    frontend = getattr(model, "frontend", None)
    if not isinstance(frontend, LogMel):
        return _explain_signal(model, clips, method, target, layer, options, labels, sample_rate_hz)
    inner = FromLayer(model, "frontend", clips)
    frames = frontend.num_frames(clips.lengths).clamp(max=inner.values.shape[3])
    view = SpectrogramView(
        hop_seconds=frontend.hop_seconds, frequencies_hz=frontend.frequencies_hz, lengths=frames.tolist()
    )
    if layer is None and method in METHODS and issubclass(METHODS[method], LayerMethod):
        find = getattr(model, "explained_layer", None)
        layer = None if find is None else find(int(frames.max()))
    if isinstance(layer, str):
        check_name("layer", layer, [name for name, _ in model.named_modules() if name])
        layer = f"model.{layer}"
    if method == "integrated_gradients":
        options = {"baseline": SILENCE_DB, **(options or {})}
    found = explain(
        inner, inner.values, method=method, target=target, layer=layer, options=options, labels=labels, view=view
    )
    return found if found.layer is None else replace(found, layer=found.layer.removeprefix("model."))


def _explain_signal(
    model: nn.Module,
    clips: ClipBatch,
    method: str,
    target: Any,
    layer: Any,
    options: Mapping[str, Any] | None,
    labels: Sequence[str],
    sample_rate_hz: float,
) -> Explanation:
    chosen = make_method(method, options, METHODS)
    signals, view = clips.waveforms[:, None], SignalView(sample_rate_hz=sample_rate_hz, lengths=clips.lengths.tolist())
    if isinstance(chosen, InputMethod):
        return explain(
            _OfSignals(model, clips.lengths), signals, method=chosen, target=target, layer=layer, labels=labels,
            view=view,
        )  # fmt: skip
    layer = layer or getattr(model, "last_map", None)
    if not isinstance(chosen, LayerMethod) or not isinstance(layer, str) or chosen.needs_head:
        raise ValueError(
            f"Method {method!r} does not explain {type(model).__name__}, which hears the waveform itself. Use "
            "'integrated_gradients', 'saliency', 'smooth_grad' or 'input_x_gradient', or name a layer for 'grad_cam'."
        )
    with borrowed(model, clips.waveforms):
        objective = Objective(target=target, function=None, num_rows=len(clips.lengths))
        output, captured = run_and_capture(_Logits(model), clips, [f"model.{layer}"])  # type: ignore[arg-type]
        maps = captured[f"model.{layer}"]
        if maps.ndim != 3 or maps.shape[2] < 2:
            raise ValueError(f"Layer {layer!r} gives {list(maps.shape)}, which is no map [B, D, t] over time.")
        objective.read(output)
        (gradient,) = gradients(objective.score(output), [maps])
        view_of_layer = LayerView(
            layer=layer, activations=maps.detach()[:, :, None], head=None, logits=objective.logits,
            gradients=None if gradient is None else gradient[:, :, None], target=objective.target,
        )  # fmt: skip
        raw = chosen.heat_map(view_of_layer)  # [B, 1, t]
        heat = _over_samples(raw[:, 0].float(), clips)
    return Explanation(
        inputs=signals, heat=heat, raw=raw, method=chosen.name, signed=chosen.signed, layer=layer,
        target=objective.target, logits=objective.logits, labels=labels, view=view,
    )  # fmt: skip


def _over_samples(heat: Tensor, clips: ClipBatch) -> Tensor:
    """Heat [B, t] over equal stretches of the waveforms to heat [B, T], zero where a clip has ended."""
    size = clips.waveforms.shape[1]
    spread = nn.functional.interpolate(heat[:, None], size=size, mode="linear", align_corners=False)[:, 0]
    return torch.where(torch.arange(size, device=heat.device) < clips.lengths[:, None], spread, 0.0)


class _Logits(nn.Module):
    """Clips to logits, whatever the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: ClipBatch) -> Tensor:
        return logits_of(self.model, clips)


class _OfSignals(nn.Module):
    """Waveforms [b, 1, T] of the first b of given lengths to logits."""

    def __init__(self, model: nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.model = model
        self.lengths = lengths

    def forward(self, signals: Tensor) -> Tensor:
        return logits_of(self.model, ClipBatch(signals[:, 0], self.lengths[: len(signals)]))
