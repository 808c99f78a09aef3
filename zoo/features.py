"""The one Protocol through which a backbone gives its feature maps to detection, segmentation and explanation."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """One feature map of a backbone.

    name:     dotted path of the module whose output it is.
    channels: size of dimension 1.
    stride:   input pixels per step of the map.
    """

    name: str
    channels: int
    stride: int


@runtime_checkable
class FeatureExtractor(Protocol):
    """A network that gives feature maps, finest first, one for each `feature_info`."""

    feature_info: tuple[FeatureInfo, ...]

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to maps [B, channels_i, ~H / stride_i, ~W / stride_i]."""
        ...
