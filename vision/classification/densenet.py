"""DenseNet and DenseNet-BC, for ImageNet and for CIFAR.

Source: Huang et al. 2016, arXiv:1608.06993, section 3 and tables 1 and 2; names as torchvision's.
    ImageNet: table 1, L = 121, 161, 169, 201. CIFAR: three dense blocks of (L - 4) / 6 layers with bottlenecks, of
    (L - 4) / 3 without; a first convolution of twice the growth rate with bottlenecks, of 16 channels without.
Differs from the paper: nothing known.
Shapes: B images, C channels, H x W pixels, k growth rate, K classes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts, check_probabilities
from vision.classification.maps import maps_of_sequence
from zoo.features import FeatureInfo

OLD_LAYER_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class DenseNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K]; each layer of a dense block sees all maps before it.

    growth_rate:       k, the channels that each layer adds.
    depths:            layers in each dense block.
    stem_width:        channels of the first convolution.
    stem:              "imagenet" divides the size by four (7x7 convolution and pooling), "cifar" keeps it (3x3).
    bottleneck_factor: a 1x1 convolution to this many times k comes first in each layer; None for a plain layer.
    compression:       share of the channels, 0..1, that a transition between two blocks keeps.
    dropout:           probability that a value is dropped after each convolution but the first.
    Raises: ValueError if a number is out of range or `stem` is not known.
    """

    feature_info: tuple[FeatureInfo, ...]

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        growth_rate: int = 32,
        depths: Sequence[int] = (6, 12, 24, 16),
        stem_width: int = 64,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        bottleneck_factor: int | None = 4,
        compression: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, growth_rate=growth_rate, stem_width=stem_width)
        check_counts(num_blocks=len(depths), **{f"depths[{i}]": depth for i, depth in enumerate(depths)})
        check_counts(bottleneck_factor=1 if bottleneck_factor is None else bottleneck_factor)
        check_probabilities(dropout=dropout)
        check_choice("stem", stem, ("imagenet", "cifar"))
        if not 0 < compression <= 1:
            raise ValueError(
                f"compression={compression!r} is not valid: pass a share above 0 and up to 1 (all channels)."
            )
        self.features = _stem(stem, in_channels=in_channels, width=stem_width)
        stride = 4 if stem == "imagenet" else 1
        width = stem_width
        info = [FeatureInfo("features.relu0", width, 2)] if stem == "imagenet" else []
        for i, depth in enumerate(depths, start=1):
            block = DenseBlock(width, depth, growth_rate=growth_rate, factor=bottleneck_factor, dropout=dropout)
            self.features.add_module(f"denseblock{i}", block)
            width += depth * growth_rate
            if i < len(depths):
                info.append(FeatureInfo(f"features.denseblock{i}", width, stride))
                kept = max(1, int(width * compression))
                self.features.add_module(f"transition{i}", Transition(width, kept, dropout=dropout))
                width, stride = kept, stride * 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))  # torchvision's name, whatever the number of blocks
        self.features.add_module("relu5", nn.ReLU())
        self.feature_info = (*info, FeatureInfo("features.relu5", width, stride))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # section 4.2 points to He et al. 2015
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)
        return self.classifier(x)  # [B, K]

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes: each dense block's, before its transition."""
        return maps_of_sequence(self.features, x, wanted=self.feature_info)


class DenseBlock(nn.ModuleDict):
    """Maps [B, in_channels, H, W] to [B, in_channels + depth * k, H, W]: the input and what each layer adds."""

    def __init__(self, in_channels: int, depth: int, *, growth_rate: int, factor: int | None, dropout: float) -> None:
        super().__init__()
        for i in range(depth):
            width = in_channels + i * growth_rate
            self[f"denselayer{i + 1}"] = DenseLayer(width, growth_rate=growth_rate, factor=factor, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.values():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseLayer(nn.Module):
    """Maps [B, in_channels, H, W] to the k new channels [B, k, H, W]; norm and ReLU before each convolution."""

    def __init__(self, in_channels: int, *, growth_rate: int, factor: int | None, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.bottleneck = factor is not None
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        if factor is None:
            self.conv1 = nn.Conv2d(in_channels, growth_rate, kernel_size=3, padding=1, bias=False)
            return
        self.conv1 = nn.Conv2d(in_channels, factor * growth_rate, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(factor * growth_rate)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(factor * growth_rate, growth_rate, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self._drop(self.conv1(self.relu1(self.norm1(x))))
        if self.bottleneck:
            x = self._drop(self.conv2(self.relu2(self.norm2(x))))
        return x

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, training=self.training) if self.dropout else x


class Transition(nn.Sequential):
    """Maps [B, in_channels, H, W] to [B, out_channels, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


def _stem(kind: str, *, in_channels: int, width: int) -> nn.Sequential:
    """Images [B, C, H, W] to maps [B, width, H/4, W/4] for "imagenet", [B, width, H, W] for "cifar"."""
    stem = nn.Sequential()
    if kind == "cifar":
        stem.add_module("conv0", nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False))
        return stem
    stem.add_module("conv0", nn.Conv2d(in_channels, width, kernel_size=7, stride=2, padding=3, bias=False))
    stem.add_module("norm0", nn.BatchNorm2d(width))
    stem.add_module("relu0", nn.ReLU())
    stem.add_module("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    return stem


def convert_torchvision_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a torchvision checkpoint, "denselayer1.norm.1.weight" renamed to "denselayer1.norm1.weight".

    torchvision's published files date from PyTorch 0.2, whose module names could hold a dot.
    """
    return {OLD_LAYER_NAME.sub(r"\1\2.", key): value for key, value in state_dict.items()}
