"""Sound classification: one class for each clip.

Shapes: B clips, T samples, C classes.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from audio.classification.outputs import logits_of
from audio.data.checks import Inspection, conversions
from audio.data.clips import SILENCE, ClipBatch, as_clips, pad_clips, preprocessing_from, read_clip, read_header
from audio.data.listing import EXTENSIONS
from audio.parts import VIEWS
from zoo.augmentation import Mixed
from zoo.data import Bundle
from zoo.data.subsets import whole_dataset
from zoo.errors import DataError
from zoo.lookup import import_object
from zoo.records import AudioPreprocessing, Entry
from zoo.registry import split_backend
from zoo.training import Inputs, Item, Prediction, evaluation_mode
from zoo.training.classification import Classification, RowMixing, class_number, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

logger = logging.getLogger(__name__)
SPEECH_RATE_HZ = 16_000  # of nearly all that transformers has


class AudioClassification(Classification):
    """Trains and judges classifiers of clips by cross-entropy.

    classes:         names in the order of the outputs.
    preprocessing:   how sound files become waveforms; None if the data are arrays that the model takes as they are.
    seconds:         length of the clips for models that need one length for all.
    label_smoothing: share of the target that is spread over all classes, 0..1.
    class_weights:   one for each class, or None for equal ones.
    mixing:          "mixup", or None: see `zoo.training.classification.Classification`. Waveforms are mixed, from their
                     starts on, and a mixture is as long as the longer one.
    All others:      see there.
    """

    name = "audio/classification"
    suffixes = EXTENSIONS
    views = VIEWS

    def __init__(
        self,
        *,
        classes: Sequence[str],
        preprocessing: AudioPreprocessing | Mapping[str, Any] | None = None,
        seconds: float | None = None,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        mixing: str | None = None,
        mixing_alpha: float = 1.0,
        extra_metrics: Sequence[str] = (),
    ) -> None:
        super().__init__(
            classes=classes, label_smoothing=label_smoothing, class_weights=class_weights, extra_metrics=extra_metrics
        )
        self.mixing = RowMixing(mixing, alpha=mixing_alpha, choices=("mixup",))
        self.preprocessing = None if preprocessing is None else preprocessing_from(preprocessing)
        self.seconds = seconds

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "AudioClassification":
        """The task for the classes and preprocessing of a bundle."""
        if bundle.classes is None:
            raise DataError("Sound classification needs one class for each clip; these data have numbers as targets.")
        clip = bundle.train[0][0]
        if not isinstance(clip, Tensor) or clip.ndim != 1 or not clip.is_floating_point():
            came = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, Tensor) else type(clip).__name__
            raise DataError(f"Each input must be a waveform of floats [T], mono and at full scale 1, got {came}.")
        given: dict[str, Any] = {"classes": bundle.classes, "preprocessing": bundle.preprocessing}
        return cls(**{**given, "seconds": _longest(bundle), **options})

    def schema(self) -> dict[str, Any]:
        preprocessing = None if self.preprocessing is None else asdict(self.preprocessing)
        return {**super().schema(), "preprocessing": preprocessing, "seconds": self.seconds}

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        """The number of classes; of the sample rate and the length in seconds, what the model's builder takes."""
        arguments: dict[str, Any] = {"num_classes": len(self.classes)}
        rate = None if self.preprocessing is None else self.preprocessing.sample_rate_hz
        if split_backend(entry.name)[0] is not None:
            if rate not in (None, SPEECH_RATE_HZ):
                logger.warning(
                    "%s was most likely trained at %d Hz, and these clips are at %d Hz: give the data option "
                    "sample_rate_hz=%d", entry.name, SPEECH_RATE_HZ, rate, SPEECH_RATE_HZ,
                )  # fmt: skip
            return arguments
        builder = import_object(entry.builder) if isinstance(entry.builder, str) else entry.builder
        known = inspect.signature(builder).parameters
        own = {"sample_rate_hz": rate, "seconds": self.seconds}
        return arguments | {name: value for name, value in own.items() if name in known and value is not None}

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        return logits_of(model, as_clips(inputs))

    def mixed(self, model: nn.Module, inputs: Any) -> Mixed | None:
        """The mixed clips of a batch, or None where nothing is mixed."""
        if not self.mixing.applies(model):
            return None
        waveforms, lengths = as_clips(inputs).masked()
        mixed = self.mixing(waveforms)
        return mixed._replace(inputs=ClipBatch(mixed.inputs, torch.maximum(lengths, lengths[mixed.partners])))

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 5) -> list[Prediction]:
        """For each clip of `inputs` the most probable class as "label" and "probability", and the `top` ones.

        inputs: a ClipBatch, or waveforms [B, T] or [T] of equal length.
        """
        with evaluation_mode(model):
            probs = logits_of(model, _on_device(inputs, model)).float().softmax(1).cpu()  # [B, C]
        return ranked(probs, self.classes, top=top)

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        """The clips of sound files, as the model was trained on them."""
        if self.preprocessing is None:
            raise DataError("This run was trained on arrays, not on sound files: give waveforms [B, T].")
        clips = [read_clip(str(item), preprocessing=self.preprocessing) for item in items]
        said = conversions(
            [Inspection(header=read_header(str(item))) for item in items], self.preprocessing.sample_rate_hz
        )
        if said:
            logger.info("%s", said)
        for item, clip in zip(items, clips, strict=True):
            if clip.abs().amax() < SILENCE:
                logger.warning("%s is silent, so that its answer says nothing", item)
        return Inputs(rows=pad_clips(clips), names=[Path(item).name for item in items])

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "grad_cam",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Heat over the spectrogram of a model that makes one, else over the waveform."""
        from audio.classification.explaining import explain_clips

        own = getattr(model, "sample_rate_hz", SPEECH_RATE_HZ)
        rate = own if self.preprocessing is None else self.preprocessing.sample_rate_hz
        return explain_clips(
            model, _on_device(inputs, model), method=method, target=class_number(target, self.classes),
            layer=layer, options=options, labels=self.classes, sample_rate_hz=rate,
        )  # fmt: skip

    def picture(self, model: nn.Module, inputs: Any, predictions: Sequence[Prediction]) -> "Figure | None":
        """Waveform and spectrogram of each clip with its class."""
        from audio.classification.pictures import draw_predictions

        if self.preprocessing is None:
            return None
        return draw_predictions(as_clips(inputs), predictions, sample_rate_hz=self.preprocessing.sample_rate_hz)

    def reading(self) -> dict[str, Any]:
        """The classes, the rate and the length of the clips; what was left out for testing is taken with the rest."""
        options: dict[str, Any] = {"classes": list(self.classes), "leave_out": None, "test_where": None}
        if self.preprocessing is not None:
            options |= {name: value for name, value in asdict(self.preprocessing).items() if value is not None}
        return options

    def check_bundle(self, bundle: Bundle) -> None:
        super().check_bundle(bundle)
        own, other = self.preprocessing, bundle.preprocessing
        if own is not None and other is not None and own.sample_rate_hz != other.sample_rate_hz:
            raise DataError(
                f"The run was trained on clips at {own.sample_rate_hz} Hz, and these are at {other.sample_rate_hz} Hz: "
                f"read them with sample_rate_hz={own.sample_rate_hz}."
            )

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        from audio.classification.baselines import baselines

        return baselines(self.metrics)


def _longest(bundle: Bundle) -> float | None:
    """The length of the longest training clip, or what longer ones are cut to, seconds; None if the data do not say."""
    if bundle.preprocessing is not None and bundle.preprocessing.seconds is not None:
        return float(bundle.preprocessing.seconds)
    longest = getattr(whole_dataset(bundle.train), "longest_seconds", None)
    return None if longest is None else float(longest)


def _on_device(inputs: Any, model: nn.Module) -> ClipBatch:
    device = next(model.parameters()).device
    return ClipBatch(*(part.to(device) for part in as_clips(inputs)))
