"""Feature pyramid: maps of every scale with the same number of channels, each with what the coarser ones know.

Source: Lin et al. 2017, arXiv:1612.03144, section 3 and figure 3; the coarsest level by pooling after its section 4.1.
Differs from the paper: nothing known.
Tensor names are torchvision's.
Shapes: B images, C_i channels of the backbone's level i, D of the pyramid, h_i x w_i cells.
"""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Maps [B, C_i, h_i, w_i], finest first, to maps [B, D, h_i, w_i] and one more at twice the last stride."""

    def __init__(self, *, in_channels: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, out_channels, kernel_size=1)) for channels in in_channels
        )
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)) for _ in in_channels
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(cast(Tensor, module.bias))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        merged = self.inner_blocks[-1](maps[-1])
        pyramid = [self.layer_blocks[-1](merged)]
        for level in range(len(maps) - 2, -1, -1):
            lateral = self.inner_blocks[level](maps[level])
            merged = lateral + F.interpolate(merged, size=lateral.shape[-2:], mode="nearest")
            pyramid.insert(0, self.layer_blocks[level](merged))
        return [*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2)]


class PyramidBackbone(nn.Module):
    """A backbone and the pyramid on top of it: images [B, C, H, W] to the maps of `FeaturePyramid`.

    body:    gives feature maps by `forward_features` (zoo.features.FeatureExtractor).
    strides: of the maps to use, finest first.
    Raises:  ValueError if the body has no map of one of the strides.
    """

    def __init__(self, body: nn.Module, *, strides: Sequence[int], out_channels: int) -> None:
        super().__init__()
        info = list(body.feature_info)  # type: ignore[arg-type]
        index = {level.stride: number for number, level in enumerate(info)}  # of several at a stride the last
        missing = [stride for stride in strides if stride not in index]
        if missing:
            raise ValueError(
                f"The backbone has no map of stride {missing[0]}; it has {', '.join(map(str, sorted(index)))}. "
                "Choose among these by strides=."
            )
        self.body = body
        self.levels = [index[stride] for stride in strides]
        self.fpn = FeaturePyramid(
            in_channels=[info[level].channels for level in self.levels], out_channels=out_channels
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.body.forward_features(images)  # type: ignore[operator]
        return self.fpn([maps[level] for level in self.levels])
