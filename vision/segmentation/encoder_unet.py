"""U-Net on the encoder of your choice: a classification network on the way down, a light decoder on the way up.

Source: Ronneberger et al. 2015, arXiv:1505.04597, for the form; Iglovikov and Shvets 2018, arXiv:1801.05746
  (TernausNet), for the trained encoder; decoder, widths and initialisation as segmentation_models_pytorch's Unet.
Differs from the paper: nearest-neighbour upsampling for transposed convolutions, batch norm, padded convolutions.
Tensor names are segmentation_models_pytorch's.
Shapes: B images, C channels, H x W pixels, D channels of a map, K classes.
"""

from collections.abc import Sequence
from os import PathLike
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.classification.arguments import check_counts
from vision.encoders import build_encoder
from zoo.features import FeatureInfo

DECODER_WIDTHS = (256, 128, 64, 32, 16)


class EncoderUNet(nn.Module):
    """Images [B, in_channels, H, W] of any size to logits [B, num_classes, H, W].

    encoder:         name of a network that gives maps: `vision.encoders.build_encoder`.
    encoder_weights: its trained weights: "default", a tag, a path, or None for random ones.
    decoder_widths:  channels after each doubling of the size, from the coarsest map on; of an encoder with fewer
                     strides the last ones count.
    Raises:          ValueError for a count below 1, or an encoder whose strides are not powers of two.
    """

    body: ClassVar[str] = "encoder"
    classifier: ClassVar[str] = "segmentation_head.0"

    def __init__(
        self,
        *,
        num_classes: int = 2,
        in_channels: int = 3,
        encoder: str = "resnet34",
        encoder_weights: str | PathLike[str] | bool | None = None,
        decoder_widths: Sequence[int] = DECODER_WIDTHS,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        for width in decoder_widths:
            check_counts(decoder_widths=width)
        self.encoder = build_encoder(encoder, weights=encoder_weights, in_channels=in_channels)
        self.decoder = UNetDecoder(self.encoder.feature_info, widths=decoder_widths)
        head = nn.Conv2d(self.decoder.out_channels, num_classes, kernel_size=3, padding=1)
        self.segmentation_head = nn.Sequential(head)
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        deepest = self.encoder.feature_info[-1].name
        present = {name for name, _ in self.encoder.named_modules()}
        self.explained_layer = f"encoder.{deepest}" if deepest in present else None

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes, H, W]."""
        maps = self.encoder.forward_features(x)
        return self.segmentation_head(self.decoder(maps, size=(x.shape[-2], x.shape[-1])))


class UNetDecoder(nn.Module):
    """Maps of an encoder, finest first, to one map [B, out_channels, H, W].

    info:   of the maps; their strides are powers of two.
    widths: channels of the blocks, from the coarsest on; the last ones count if there are too many.
    """

    def __init__(self, info: Sequence[FeatureInfo], *, widths: Sequence[int]) -> None:
        super().__init__()
        skips = {part.stride: part.channels for part in info}
        deepest = max(skips)
        num_blocks = deepest.bit_length() - 1
        odd = [stride for stride in skips if stride & (stride - 1)]
        if odd or num_blocks < 1:
            raise ValueError(f"The encoder has the strides {sorted(skips)}; powers of two up to 2 or more are needed.")
        if len(widths) < num_blocks:
            raise ValueError(f"An encoder of stride {deepest} needs {num_blocks} decoder_widths, got {tuple(widths)}.")
        self.strides = [2**power for power in reversed(range(num_blocks))]
        # Of several maps at one stride the last, which is the deepest, is handed over.
        self.skips = {part.stride: index for index, part in enumerate(info) if part.stride != deepest}
        channels = skips[deepest]
        self.blocks = nn.ModuleList()
        for stride, width in zip(self.strides, widths[-num_blocks:], strict=True):
            self.blocks.append(DecoderBlock(channels + (skips[stride] if stride in self.skips else 0), width))
            channels = width
        self.out_channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, maps: Sequence[Tensor], *, size: tuple[int, int]) -> Tensor:
        """Maps as `info` describes them to [B, out_channels, *size]."""
        x = maps[-1]  # [B, D, ~H / deepest, ~W / deepest]
        for stride, block in zip(self.strides, self.blocks, strict=True):
            skip = maps[self.skips[stride]] if stride in self.skips else None
            target = tuple(-(-side // stride) for side in size) if skip is None else skip.shape[-2:]
            x = F.interpolate(x, size=target, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], dim=1))
        return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="nearest")


class DecoderBlock(nn.Module):
    """Maps [B, in_channels, H, W] to [B, out_channels, H, W]: twice convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels)
        self.conv2 = _convolution(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
