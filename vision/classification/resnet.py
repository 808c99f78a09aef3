"""ResNet for ImageNet: stages of residual blocks, two or three convolutions deep.

Source: He et al. 2015, arXiv:1512.03385, section 3.3 and table 1; squeeze-and-excitation after Hu et al. 2017,
  arXiv:1709.01507, figure 3; zero-initialised gammas after Goyal et al. 2017, arXiv:1706.02677, section 5.1.
Differs from the paper: a bottleneck takes its stride in the 3 x 3 convolution, as in torchvision ("v1.5"), unless
  `stride_in="1x1"`; shortcuts that change shape are 1 x 1 convolutions (option B) only.
Tensor names are torchvision's; those of squeeze-and-excitation are timm's.
Shapes: B images, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts
from zoo.features import FeatureInfo
from zoo.layers.squeeze_excitation import SqueezeExcitation

Block = Literal["basic", "bottleneck"]
StrideIn = Literal["3x3", "1x1"]
Attention = Literal["none", "se"]

STEM_WIDTH = 64
WIDTHS = (64, 128, 256, 512)  # of the 3 x 3 convolutions in the four stages


class ResNet(nn.Module):
    """Images [B, in_channels, H, W] to logits [B, num_classes].

    block:     "basic" is two 3 x 3 convolutions; "bottleneck" is 1 x 1, 3 x 3, 1 x 1 with four times the channels out.
    depths:    number of blocks in each of the four stages.
    stride_in: which convolution of a bottleneck takes the stride.
    attention: what scales the channels at the end of every residual branch.
    reduction: channels over hidden units in the attention.
    zero_init_gamma: the last batch norm of each branch starts at 0, so that each block starts as its shortcut.
    Raises:    ValueError for a value that is none of the choices, or a count below 1.
    """

    classifier: ClassVar[str] = "fc"
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        block: Block = "basic",
        depths: Sequence[int] = (2, 2, 2, 2),
        stride_in: StrideIn = "3x3",
        attention: Attention = "none",
        reduction: int = 16,
        zero_init_gamma: bool = False,
    ) -> None:
        super().__init__()
        _check(num_classes, in_channels, block, depths, stride_in, attention, reduction)
        self.conv1 = nn.Conv2d(in_channels, STEM_WIDTH, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_WIDTH)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        channels = STEM_WIDTH
        info = [FeatureInfo("relu", STEM_WIDTH, 2)]
        for index, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
            blocks: list[nn.Module] = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                gate = attention_layer(attention, _out_channels(block, width), reduction)
                blocks.append(_residual_block(block, channels, width, stride, stride_in, gate))
                channels = _out_channels(block, width)
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            info.append(FeatureInfo(f"layer{index + 1}", channels, 4 * 2**index))

        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self.feature_info = tuple(info)
        init_residual(self, zero_init_gamma=zero_init_gamma)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to five maps, at strides 2, 4, 8, 16 and 32."""
        stem = self.relu(self.bn1(self.conv1(x)))  # [B, 64, H/2, W/2]
        maps = [stem, self.layer1(self.maxpool(stem))]  # [B, C1, H/4, W/4]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes]."""
        x = self.forward_features(x)[-1]  # [B, C4, H/32, W/32]
        return self.fc(self.avgpool(x).flatten(1))


class BasicBlock(nn.Module):
    """Maps [B, in_channels, H, W] to [B, width, H / stride, W / stride]: two 3 x 3 convolutions and a shortcut.

    downsample: the shortcut, None for the identity.
    se:         what scales the channels of the branch, None for nothing.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        se: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = se
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, in_channels, H, W] to maps [B, width, H / stride, W / stride]."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        if self.se is not None:
            branch = self.se(branch)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(branch + shortcut)


class Bottleneck(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 4 width, H / stride, W / stride]: 1 x 1, 3 x 3, 1 x 1 and a shortcut.

    downsample: the shortcut, None for the identity.
    se:         what scales the channels of the branch, None for nothing.
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        *,
        in_channels: int,
        width: int,
        stride: int = 1,
        stride_in: StrideIn = "3x3",
        downsample: nn.Module | None = None,
        se: nn.Module | None = None,
    ) -> None:
        super().__init__()
        stride1, stride2 = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, stride=stride1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.se = se
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, in_channels, H, W] to maps [B, 4 width, H / stride, W / stride]."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        if self.se is not None:
            branch = self.se(branch)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(branch + shortcut)


def projection(*, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """The paper's option B shortcut: a strided 1 x 1 convolution and batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def attention_layer(attention: Attention, channels: int, reduction: int) -> nn.Module | None:
    """The layer that scales `channels` at the end of a branch, or None."""
    return SqueezeExcitation(channels=channels, reduction=reduction) if attention == "se" else None


def init_residual(model: nn.Module, *, zero_init_gamma: bool) -> None:
    """He initialisation by fan-out for every convolution; optionally zero for the last gamma of every branch."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_init_gamma and isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif zero_init_gamma and isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)


def _residual_block(
    block: Block, in_channels: int, width: int, stride: int, stride_in: StrideIn, se: nn.Module | None
) -> nn.Module:
    """One block with the shortcut that its change of shape asks for."""
    out_channels = _out_channels(block, width)
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = projection(in_channels=in_channels, out_channels=out_channels, stride=stride)
    if block == "basic":
        return BasicBlock(in_channels=in_channels, width=width, stride=stride, downsample=downsample, se=se)
    return Bottleneck(
        in_channels=in_channels, width=width, stride=stride, stride_in=stride_in, downsample=downsample, se=se
    )


def _out_channels(block: Block, width: int) -> int:
    """Channels that a block of this width gives."""
    return width if block == "basic" else width * Bottleneck.expansion


def _check(
    num_classes: int,
    in_channels: int,
    block: Block,
    depths: Sequence[int],
    stride_in: StrideIn,
    attention: Attention,
    reduction: int,
) -> None:
    """Raises ValueError for the first argument of ResNet that cannot be used."""
    check_counts(num_classes=num_classes, in_channels=in_channels, reduction=reduction)
    check_choice("block", block, get_args(Block))
    check_choice("stride_in", stride_in, get_args(StrideIn))
    check_choice("attention", attention, get_args(Attention))
    if len(depths) != len(WIDTHS):
        raise ValueError(f"depths={tuple(depths)!r} is not valid: pass {len(WIDTHS)} numbers, one for each stage.")
    for depth in depths:
        check_counts(depths=depth)
    if block == "basic" and stride_in == "1x1":
        raise ValueError("stride_in='1x1' needs block='bottleneck': a basic block has no 1 x 1 convolution.")
