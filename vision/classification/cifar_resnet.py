"""ResNet for 32 x 32 images: 6n + 2 layers in three stages of 16, 32 and 64 channels.

Source: He et al. 2015, arXiv:1512.03385, section 4.2; shortcuts A and B from sections 3.3 and 4.1.
Differs from the paper: nothing known. The paper does not say on which side option A pads the channels: here the
  zeros come after the copied channels.
Shapes: B images, C channels, H height, W width.
"""

from typing import ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from vision.classification.arguments import check_choice, check_counts
from vision.classification.resnet import BasicBlock, init_residual, projection
from zoo.features import FeatureInfo

Shortcut = Literal["A", "B"]

WIDTHS = (16, 32, 64)


class CifarResNet(nn.Module):
    """Images [B, in_channels, H, W] to logits [B, num_classes].

    depth:    layers with weights on the longest path, 6n + 2 for n blocks in each stage.
    shortcut: where the shape changes, "A" subsamples and pads channels with zeros, "B" is a 1 x 1 convolution.
    zero_init_gamma: the last batch norm of each branch starts at 0, so that each block starts as its shortcut.
    Raises:   ValueError for a depth that is not 6n + 2, an unknown shortcut, or a count below 1.
    """

    classifier: ClassVar[str] = "fc"
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        depth: int = 20,
        shortcut: Shortcut = "A",
        zero_init_gamma: bool = False,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, depth=depth)
        check_choice("shortcut", shortcut, get_args(Shortcut))
        blocks_per_stage, rest = divmod(depth - 2, 6)
        if blocks_per_stage < 1 or rest:
            raise ValueError(f"depth={depth} is not valid: pass 6n + 2 with n >= 1, as 20, 32, 44, 56 or 110.")

        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        channels = WIDTHS[0]
        for index, width in enumerate(WIDTHS):
            blocks = []
            for position in range(blocks_per_stage):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(_block(channels, width, stride, shortcut))
                channels = width
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

        self.feature_info = tuple(
            FeatureInfo(f"layer{index + 1}", width, 2**index) for index, width in enumerate(WIDTHS)
        )
        init_residual(self, zero_init_gamma=zero_init_gamma)
        nn.init.kaiming_normal_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to three maps, at strides 1, 2 and 4."""
        x = self.relu(self.bn1(self.conv1(x)))  # [B, 16, H, W]
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes]."""
        x = self.forward_features(x)[-1]  # [B, 64, H/4, W/4]
        return self.fc(self.avgpool(x).flatten(1))


class PaddedShortcut(nn.Module):
    """Option A: every `stride`-th pixel of [B, C, H, W], then channels of zeros up to `out_channels`."""

    def __init__(self, *, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, in_channels, H, W] to maps [B, out_channels, H / stride, W / stride]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.padding))  # [B, out_channels, H / stride, W / stride]


def _block(in_channels: int, width: int, stride: int, shortcut: Shortcut) -> BasicBlock:
    """One residual block with the shortcut that its change of shape asks for."""
    downsample: nn.Module | None = None
    if stride != 1 or in_channels != width:
        build = PaddedShortcut if shortcut == "A" else projection
        downsample = build(in_channels=in_channels, out_channels=width, stride=stride)
    return BasicBlock(in_channels=in_channels, width=width, stride=stride, downsample=downsample)
