"""An image network on log-mel spectrograms: the body of any of timm's models, with its ImageNet weights if wanted.

Source: Palanisamy et al. 2020, arXiv:2007.11154, section 3: networks trained on photographs, fine-tuned on log-mel
  spectrograms.
Differs from the paper: one spectrogram as one channel, where the paper has three of different resolutions.
Shapes: B clips, F mel bands, T frames, D features.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from audio.classification.spectrogram_cnn import normalised
from audio.data.clips import ClipBatch, as_clips
from audio.layers.frontend import LogMel, SpecAugment
from audio.layers.masked import MaskedBatchNorm
from zoo.errors import DataError
from zoo.registry import create_model


class SpectrogramBackbone(nn.Module):
    """Clips, or waveforms [B, T'], to logits [B, num_classes].

    Image networks know no masks, so every clip becomes a picture of the same length: what is longer than `seconds` is
    cut, what is shorter is continued by the mean of the data. So no result depends on the rest of the batch.

    backbone:         any image network of the zoo's backends that takes num_classes=0 and in_channels, "timm:resnet18".
    backbone_weights: its trained weights: a tag, a path, "default", or None for random ones.
    backbone_options: further arguments of it.
    image_size:       height and width that the spectrogram is resized to, pixels; None leaves [F, T]. Networks of fixed
                      size need theirs.
    time_masks, frequency_masks: of SpecAugment, 0 for none.
    """

    body: ClassVar[str] = "backbone"
    classifier: ClassVar[str] = "head"

    def __init__(
        self,
        *,
        num_classes: int = 10,
        sample_rate_hz: int = 16_000,
        seconds: float = 1.0,
        num_mels: int = 64,
        backbone: str = "timm:resnet18",
        backbone_weights: str | bool | None = None,
        backbone_options: Mapping[str, Any] | None = None,
        image_size: tuple[int, int] | None = None,
        time_masks: int = 2,
        frequency_masks: int = 2,
    ) -> None:
        super().__init__()
        self.frontend = LogMel(sample_rate_hz=sample_rate_hz, num_mels=num_mels)
        if not seconds > 0:
            raise ValueError(f"seconds must be above 0, got {seconds}.")
        self.num_samples = round(seconds * sample_rate_hz)
        self.image_size = None if image_size is None else tuple(image_size)
        self.bn0 = MaskedBatchNorm(num_mels)
        self.spec_augment = SpecAugment(time_masks=time_masks, frequency_masks=frequency_masks)
        options = {"num_classes": 0, "in_channels": 1, **(backbone_options or {})}
        self.backbone = create_model(backbone, weights=backbone_weights, **options)
        self.head = nn.Linear(self._num_features(backbone), num_classes)

    def _num_features(self, name: str) -> int:
        """The size of the body's output for a picture of the size that it will get.

        Raises: DataError if it cannot take that, or gives no vector.
        """
        size = self.image_size or (self.frontend.num_mels, self.num_samples // self.frontend.hop + 1)
        modes = [(module, module.training) for module in self.backbone.modules()]
        try:
            with torch.no_grad():
                features = self.backbone.eval()(torch.zeros(1, 1, *size))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise DataError(
                f"{name} cannot take spectrograms of {size[0]} x {size[1]}: {error} Give image_size= as it wants it, "
                "or longer clips (seconds=)."
            ) from error
        finally:
            for module, training in modes:
                module.training = training
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise DataError(f"{name} gives no vector of features for a picture; choose another backbone.")
        return features.shape[1]

    def forward(self, clips: ClipBatch | Tensor) -> Tensor:
        waveforms, lengths = as_clips(clips)
        waveforms = nn.functional.pad(waveforms, (0, max(0, self.num_samples - waveforms.shape[1])))
        clips = ClipBatch(waveforms[:, : self.num_samples], lengths.clamp(max=self.num_samples)).masked()
        x = self.frontend(clips)  # [B, 1, F, T]
        frames = self.frontend.num_frames(clips.lengths)
        x = self.spec_augment(normalised(x, self.bn0, frames), frames)
        if self.image_size is not None:
            x = nn.functional.interpolate(x, size=self.image_size, mode="bilinear", antialias=True)
        return self.head(self.backbone(x))  # [B, C]
