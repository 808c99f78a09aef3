"""GoogLeNet, also called Inception-v1, with batch norm and two auxiliary heads.

Source: Szegedy et al. 2014, arXiv:1409.4842, table 1 and section 5; modules, names and padding as torchvision's.
Differs from the paper: BatchNorm (eps 1e-3) after every convolution and no local response norm; the third branch of a
    module has 3x3 kernels where the paper has 5x5, as in the published checkpoint (`large_kernel=5` is the paper's);
    an auxiliary head averages to a 4x4 grid from any size, where the paper pools 5x5 windows with stride 3.
Shapes: B images, C channels, H x W pixels, K classes.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts, check_probabilities
from zoo.features import FeatureInfo
from zoo.outputs import AuxiliaryLogits

AUXILIARY_WEIGHT = 0.3  # section 5: the losses of the side heads are weighted by 0.3
IMAGENET_MEAN_STD = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))


class GoogLeNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K]; in training, with auxiliary heads, to AuxiliaryLogits.

    aux_logits:        with the two side heads, which only training uses: after modules 4a and 4d.
    transform_input:   the images are normalised by ImageNet's mean and standard deviation, and the network wants them
                       on -1..1, as torchvision's checkpoint does. Leave it off where the preprocessing does that.
    large_kernel:      height and width, pixels, of the kernels in the third branch of each module.
    dropout:           probability that a feature of the main head is dropped.
    auxiliary_dropout: the same of a side head.
    Raises: ValueError if a number is out of range, or `transform_input` meets images without three channels.
    """

    classifier: ClassVar[str] = "fc"
    feature_info: ClassVar[tuple[FeatureInfo, ...]] = (
        FeatureInfo("conv1", 64, 2),
        FeatureInfo("conv3", 192, 4),
        FeatureInfo("inception3b", 480, 8),
        FeatureInfo("inception4e", 832, 16),
        FeatureInfo("inception5b", 1024, 32),
    )

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        transform_input: bool = False,
        large_kernel: Literal[3, 5] = 3,
        dropout: float = 0.4,
        auxiliary_dropout: float = 0.7,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_probabilities(dropout=dropout, auxiliary_dropout=auxiliary_dropout)
        check_choice("large_kernel", large_kernel, (3, 5))
        check_input_transform(transform_input, in_channels=in_channels)
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.conv1 = ConvNormReLU(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(64, 64, kernel_size=1)
        self.conv3 = ConvNormReLU(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception3a = InceptionModule(192, (64, 96, 128, 16, 32, 32), large_kernel=large_kernel)
        self.inception3b = InceptionModule(256, (128, 128, 192, 32, 96, 64), large_kernel=large_kernel)
        self.maxpool3 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception4a = InceptionModule(480, (192, 96, 208, 16, 48, 64), large_kernel=large_kernel)
        self.inception4b = InceptionModule(512, (160, 112, 224, 24, 64, 64), large_kernel=large_kernel)
        self.inception4c = InceptionModule(512, (128, 128, 256, 24, 64, 64), large_kernel=large_kernel)
        self.inception4d = InceptionModule(512, (112, 144, 288, 32, 64, 64), large_kernel=large_kernel)
        self.inception4e = InceptionModule(528, (256, 160, 320, 32, 128, 128), large_kernel=large_kernel)
        self.maxpool4 = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)
        self.inception5a = InceptionModule(832, (256, 160, 320, 32, 128, 128), large_kernel=large_kernel)
        self.inception5b = InceptionModule(832, (384, 192, 384, 48, 128, 128), large_kernel=large_kernel)
        if aux_logits:
            self.aux1 = AuxiliaryHead(512, num_classes, dropout=auxiliary_dropout)
            self.aux2 = AuxiliaryHead(528, num_classes, dropout=auxiliary_dropout)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # The paper names no initialisation; this is the one of TF-Slim's inception_v1.
                truncated_normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor | AuxiliaryLogits:
        maps, side_maps = self._maps(x)
        pooled = self.avgpool(maps[-1]).flatten(1)  # [B, 1024]
        logits = self.fc(self.dropout(pooled))  # [B, K]
        if not (self.training and self.aux_logits):
            return logits
        auxiliary = (self.aux1(side_maps[0]), self.aux2(side_maps[1]))
        return AuxiliaryLogits(logits, auxiliary, AUXILIARY_WEIGHT)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes."""
        return self._maps(x)[0]

    def _maps(self, x: Tensor) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """The maps of `feature_info`, and the two that the side heads see."""
        if self.transform_input:
            x = imagenet_to_symmetric(x)
        half = self.conv1(x)  # [B, 64, H/2, W/2]
        quarter = self.conv3(self.conv2(self.maxpool1(half)))  # [B, 192, H/4, W/4]
        eighth = self.inception3b(self.inception3a(self.maxpool2(quarter)))  # [B, 480, H/8, W/8]
        side1 = self.inception4a(self.maxpool3(eighth))  # [B, 512, H/16, W/16]
        side2 = self.inception4d(self.inception4c(self.inception4b(side1)))  # [B, 528, H/16, W/16]
        sixteenth = self.inception4e(side2)  # [B, 832, H/16, W/16]
        last = self.inception5b(self.inception5a(self.maxpool4(sixteenth)))  # [B, 1024, H/32, W/32]
        return [half, quarter, eighth, sixteenth, last], (side1, side2)


class InceptionModule(nn.Module):
    """Maps [B, in_channels, H, W] through four branches, joined along the channels, to [B, C, H, W].

    widths: channels of the 1x1 branch; of the 3x3 branch before and after its wide kernel; of the large-kernel
            branch before and after; of the pooling branch. The columns of the paper's table 1.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int], *, large_kernel: int) -> None:
        super().__init__()
        point, before_3x3, after_3x3, before_large, after_large, pool = widths
        self.branch1 = ConvNormReLU(in_channels, point, kernel_size=1)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, before_3x3, kernel_size=1),
            ConvNormReLU(before_3x3, after_3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, before_large, kernel_size=1),
            ConvNormReLU(before_large, after_large, kernel_size=large_kernel, padding=large_kernel // 2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), ConvNormReLU(in_channels, pool, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """Maps [B, in_channels, H, W] to logits [B, K] of a side head: a 4x4 grid, then two linear layers."""

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormReLU(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pool(x)).flatten(1)  # [B, 2048]
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class ConvNormReLU(nn.Module):
    """Maps [B, in_channels, H, W] through a convolution, batch norm (eps 1e-3) and ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


def imagenet_to_symmetric(x: Tensor) -> Tensor:
    """Images [B, 3, H, W] normalised by ImageNet's mean and standard deviation to the same images on -1..1."""
    channels = [x[:, i] * (std / 0.5) + (mean - 0.5) / 0.5 for i, (mean, std) in enumerate(IMAGENET_MEAN_STD)]
    return torch.stack(channels, dim=1)


def truncated_normal_(weight: Tensor, *, std: float) -> None:
    """Fills `weight` from a normal distribution cut at two standard deviations, as TensorFlow's initialiser does."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def check_input_transform(transform_input: bool, *, in_channels: int) -> None:
    """Raises ValueError if `transform_input` is asked for images that have not ImageNet's three channels."""
    if transform_input and in_channels != 3:
        raise ValueError(
            f"transform_input rescales the three channels of ImageNet, got in_channels={in_channels}: "
            "pass transform_input=False and normalise the images to -1..1 instead."
        )
