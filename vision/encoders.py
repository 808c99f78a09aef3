"""Encoders by name: classification networks without their heads, as bodies of detection and segmentation networks.

What such a network needs of its body is the Protocol `zoo.features.FeatureExtractor`: native classifiers fulfil it
themselves and keep their tensor names ("layer1.0.conv1.weight"), so that their published weights go on fitting;
timm's are wrapped, with their names below "model.".
Shapes: B images, C channels, H x W pixels.
"""

from os import PathLike
from typing import cast

import torch
from torch import Tensor, nn

from zoo.features import FeatureExtractor, FeatureInfo
from zoo.registry import create_model, list_models, model_info, split_backend

PROBE_SIZE = 96  # pixels a side: enough for every network whose input is not smaller yet (Inception needs 75)


class Encoder(nn.Module):
    """For annotations: an nn.Module that fulfils `zoo.features.FeatureExtractor`. Never built itself."""

    feature_info: tuple[FeatureInfo, ...]

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to maps [B, channels_i, ~H / stride_i, ~W / stride_i], finest first."""
        raise NotImplementedError


def build_encoder(name: str, *, weights: str | PathLike[str] | bool | None = None, in_channels: int = 3) -> Encoder:
    """A network that gives feature maps, finest first: `forward_features` and `feature_info`, with no unused parameter.

    name:    a native image classifier that gives maps, "resnet34", or any of timm's that does, "timm:convnext_tiny".
    weights: "default", a tag, the path of a file, or None for random initialisation.
    in_channels: channels of the images; trained weights for another number of them are adapted to it.
    Returns: the module in training mode. Its load report is logged.
    Raises:  UnknownNameError; ValueError if the model gives no maps; WeightsError.
    """
    backend, _ = split_backend(name)
    if backend == "timm":
        model = create_model(name, weights=weights, features_only=True, in_channels=in_channels)
        return cast(Encoder, TimmEncoder(model).train())
    if backend is not None or model_info(name).task != "vision/classification":
        raise _no_maps(name)
    model = create_model(name, weights=weights, in_channels=in_channels)
    if not isinstance(model, FeatureExtractor) or not model.feature_info:
        raise _no_maps(name)
    shape = model_info(name).input_shape
    _drop_unused(model, size=min([PROBE_SIZE, *shape[1:]]), in_channels=in_channels)
    return cast(Encoder, model.train())


class TimmEncoder(nn.Module):
    """A network of timm's built with features_only=True, under the names of `zoo.features.FeatureExtractor`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        names = {name for name, _ in model.named_modules()}
        self.feature_info = tuple(
            FeatureInfo(f"model.{_own_name(info['module'], names)}", info["num_chs"], info["reduction"])
            for info in model.feature_info.get_dicts()  # type: ignore[union-attr, operator]
        )

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes."""
        maps: list[Tensor] = self.model(x)
        return [
            found.permute(0, 3, 1, 2) if found.shape[1] != info.channels == found.shape[3] else found
            for found, info in zip(maps, self.feature_info, strict=True)
        ]  # hierarchical transformers give [B, H, W, C]

    def forward(self, x: Tensor) -> list[Tensor]:
        """As `forward_features`."""
        return self.forward_features(x)


def _drop_unused(model: nn.Module, *, size: int, in_channels: int) -> None:
    """Puts an identity in the place of each child that the maps do not need: the head, side heads, decoders."""
    used: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: used.add(name.partition(".")[0]))
        for name, module in model.named_modules()
        if name
    ]
    model.eval()
    try:
        with torch.no_grad():
            model.forward_features(torch.zeros(1, in_channels, size, size))  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    for name, child in model.named_children():
        if name not in used and any(True for _ in child.parameters()):
            setattr(model, name, nn.Identity())


def _own_name(name: str, present: set[str]) -> str:
    """The name of a module of timm's classifier in its feature extractor, where some dots became underscores."""
    return name if name in present else name.replace(".", "_")


def _no_maps(name: str) -> ValueError:
    known = [known for known in list_models(task="vision/classification") if known.startswith(("resnet", "efficient"))]
    return ValueError(
        f"{name} cannot be an encoder: it gives no feature maps by name. Pass a native image classifier, such as "
        f"{', '.join(known[:4])}, or a convolutional network of timm's, such as 'timm:{name.rpartition(':')[2]}' or "
        "'timm:convnext_tiny'."
    )
