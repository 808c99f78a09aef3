"""Losses of images in the features of a frozen network: what they show, and their style.

Source: Johnson et al. 2016, arXiv:1603.08155, section 3.1; the style also Gatys et al. 2015, arXiv:1508.06576.
Differs from the paper: any backbone with feature maps, where theirs is VGG-16; means over the batch.
Shapes: B images, C channels, H x W pixels.
"""

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from zoo.features import FeatureExtractor
from zoo.losses.common import shape_of
from zoo.losses.images import gram
from zoo.losses.regression import mae, mse


class FeatureLoss(nn.Module):
    """Images (prediction, target), both [B, C, H, W], to a loss [] of their feature maps: what a subclass compares.

    backbone: a network with `feature_info` and `forward_features`, zoo.features.FeatureExtractor. It is copied, frozen
              and kept in evaluation mode; the one given stays as it is.
    layers:   places in `feature_info`, counted from 0; None takes all.
    weights:  one for each layer; None weighs all 1.
    Both images must be as the backbone takes them, in size, channels and normalisation.
    Raises:   TypeError for a network without feature maps; ValueError for layers or weights that do not fit.
    """

    def __init__(
        self, backbone: nn.Module, *, layers: Sequence[int] | None = None, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        count = len(backbone.feature_info) if isinstance(backbone, FeatureExtractor) else 0
        if not isinstance(backbone, nn.Module) or not count:
            raise TypeError(
                "The backbone must be a module with feature_info and forward_features, as "
                f"zoo.features.FeatureExtractor says; {type(backbone).__name__} is not. Native image "
                "classifiers of the zoo are."
            )
        self.layers = tuple(range(count)) if layers is None else tuple(layers)
        if not self.layers or not all(0 <= layer < count for layer in self.layers):
            raise ValueError(f"layers must lie in 0..{count - 1}, and be 1 or more; got {list(self.layers)}.")
        self.weights = (1.0,) * len(self.layers) if weights is None else tuple(weights)
        if len(self.weights) != len(self.layers):
            raise ValueError(f"{len(self.layers)} layers need as many weights; got {list(self.weights)}.")
        self.backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Takes the mode itself; the backbone stays in evaluation mode, its statistics are not to move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Images [B, C, H, W] and their targets to a loss [], differentiable in the prediction alone.

        Raises: ValueError if shapes do not fit.
        """
        self._check_shapes(prediction, target)
        found = self._features(prediction)
        with torch.no_grad():
            wanted = self._features(target)
        parts = [self.compare(*maps) * weight for *maps, weight in zip(found, wanted, self.weights, strict=True)]
        return torch.stack(parts).sum()

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss [] of two maps of one layer."""
        raise NotImplementedError

    def _check_shapes(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim != 4 or prediction.shape != target.shape:
            raise ValueError(
                f"Images must be [B, C, H, W] of one shape; got {shape_of(prediction)} and {shape_of(target)}."
            )

    def _features(self, images: Tensor) -> list[Tensor]:
        maps = cast(Any, self.backbone).forward_features(images)
        return [maps[layer] for layer in self.layers]


class PerceptualLoss(FeatureLoss):
    """Mean difference of the feature maps of two images, weighted over layers; arguments as for `FeatureLoss`.

    distance: "squared" or "absolute" difference.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        layers: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
        distance: Literal["squared", "absolute"] = "squared",
    ) -> None:
        super().__init__(backbone, layers=layers, weights=weights)
        if distance not in ("squared", "absolute"):
            raise ValueError(f'distance must be "squared" or "absolute"; got {distance!r}.')
        self.distance = distance

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (mse if self.distance == "squared" else mae)(prediction, target)


class StyleLoss(FeatureLoss):
    """Distance of the Gram matrices of two images' feature maps, weighted over layers; arguments as for `FeatureLoss`.

    The target may have another height and width than the prediction, and may be one image [1, C, H, W] for all.
    """

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        return gram(prediction, target)

    def _check_shapes(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim != 4 or target.ndim != 4:
            raise ValueError(f"Images must be [B, C, H, W]; got {shape_of(prediction)} and {shape_of(target)}.")
