"""Inception-v3 with its auxiliary head.

Source: Szegedy et al. 2015, arXiv:1512.00567, table 1 and figures 5 to 7; modules and names as torchvision's, which
    holds the network of Google's training code. The paper gives no weight for the auxiliary loss, no dropout and no
    initialisation: 0.4, 0.2 and the truncated normals are those of that code (tensorflow/models, inception).
Differs from the paper, with that code: the stem ends in a 1x1 convolution to 80 channels, a 3x3 to 192 and a max pool,
    where table 1 has three 3x3 convolutions; the modules on the 35 x 35 grid keep a 5x5 kernel in one branch, where
    figure 5 has 3x3.
Shapes: B images, C channels, H x W pixels, K classes. 299 x 299 images give grids of 35, 17 and 8.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from vision.classification.arguments import check_counts, check_probabilities
from vision.classification.googlenet import (
    ConvNormReLU,
    check_input_transform,
    imagenet_to_symmetric,
    truncated_normal_,
)
from zoo.features import FeatureInfo
from zoo.outputs import AuxiliaryLogits

AUXILIARY_WEIGHT = 0.4  # tensorflow/models, inception/inception_model.py
SMALLEST_IMAGE = 75  # pixels: the last grid is 1 x 1
SMALLEST_AUXILIARY_IMAGE = 299  # pixels: the auxiliary head pools 17 x 17 to 5 x 5, and its kernel needs all of it


class InceptionV3(nn.Module):
    """Images [B, C, H, W] to logits [B, K]; in training, with the auxiliary head, to AuxiliaryLogits.

    aux_logits:      with the side head, which only training uses; it needs images of 299 pixels or more.
    transform_input: the images are normalised by ImageNet's mean and standard deviation, and the network wants them
                     on -1..1, as torchvision's checkpoint does. Leave it off where the preprocessing does that.
    dropout:         probability that a feature of the main head is dropped.
    Raises: ValueError if a number is out of range, `transform_input` meets images without three channels, or an
            image is too small.
    """

    classifier: ClassVar[str] = "fc"
    feature_info: ClassVar[tuple[FeatureInfo, ...]] = (
        FeatureInfo("Conv2d_2b_3x3", 64, 2),
        FeatureInfo("Conv2d_4a_3x3", 192, 4),
        FeatureInfo("Mixed_5d", 288, 8),
        FeatureInfo("Mixed_6e", 768, 16),
        FeatureInfo("Mixed_7c", 2048, 32),
    )

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_probabilities(dropout=dropout)
        check_input_transform(transform_input, in_channels=in_channels)
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = ConvNormReLU(in_channels, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = ConvNormReLU(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = ConvNormReLU(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = ConvNormReLU(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = ConvNormReLU(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = Grid35(192, pool_width=32)
        self.Mixed_5c = Grid35(256, pool_width=64)
        self.Mixed_5d = Grid35(288, pool_width=64)
        self.Mixed_6a = Grid35To17(288)
        self.Mixed_6b = Grid17(768, width=128)
        self.Mixed_6c = Grid17(768, width=160)
        self.Mixed_6d = Grid17(768, width=160)
        self.Mixed_6e = Grid17(768, width=192)
        if aux_logits:
            self.AuxLogits = AuxiliaryHead(768, num_classes)
        self.Mixed_7a = Grid17To8(768)
        self.Mixed_7b = Grid8(1280)
        self.Mixed_7c = Grid8(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                truncated_normal_(module.weight, std=0.1)
        if self.aux_logits:
            truncated_normal_(self.AuxLogits.conv1.conv.weight, std=0.01)
            truncated_normal_(self.AuxLogits.fc.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor | AuxiliaryLogits:
        with_auxiliary = self.training and self.aux_logits
        if with_auxiliary and min(x.shape[-2:]) < SMALLEST_AUXILIARY_IMAGE:
            raise ValueError(
                f"The auxiliary head trains on images of {SMALLEST_AUXILIARY_IMAGE} pixels or more, "
                f"got {tuple(x.shape[-2:])}. Use larger images or build the model with aux_logits=False."
            )
        maps = self.forward_features(x)
        pooled = self.avgpool(maps[-1]).flatten(1)  # [B, 2048]
        logits = self.fc(self.dropout(pooled))  # [B, K]
        if not with_auxiliary:
            return logits
        return AuxiliaryLogits(logits, (self.AuxLogits(maps[3]),), AUXILIARY_WEIGHT)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes; unpadded kernels make them smaller by a few.

        Raises: ValueError if an image is smaller than 75 pixels.
        """
        if min(x.shape[-2:]) < SMALLEST_IMAGE:
            raise ValueError(f"Images must have {SMALLEST_IMAGE} pixels or more a side, got {tuple(x.shape[-2:])}.")
        if self.transform_input:
            x = imagenet_to_symmetric(x)
        half = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # [B, 64, H/2, W/2]
        quarter = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(half)))  # [B, 192, H/4, W/4]
        eighth = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(quarter))))  # [B, 288, H/8, W/8]
        sixteenth = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(eighth)))  # [B, 768, H/16, W/16]
        sixteenth = self.Mixed_6e(self.Mixed_6d(sixteenth))
        last = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(sixteenth)))  # [B, 2048, H/32, W/32]
        return [half, quarter, eighth, sixteenth, last]


class Grid35(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 224 + pool_width, H, W] (figure 5)."""

    def __init__(self, in_channels: int, *, pool_width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = ConvNormReLU(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = ConvNormReLU(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = ConvNormReLU(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = ConvNormReLU(96, 96, kernel_size=3, padding=1)
        self.pool = nn.AvgPool2d(kernel_size=3, stride=1, padding=1)
        self.branch_pool = ConvNormReLU(in_channels, pool_width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(self.pool(x)),
        ]
        return torch.cat(branches, dim=1)


class Grid35To17(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 480 + in_channels, ~H/2, ~W/2] (figure 10)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNormReLU(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = ConvNormReLU(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = ConvNormReLU(96, 96, kernel_size=3, stride=2)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, self.pool(x)], dim=1)


class Grid17(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 768, H, W] (figure 6: 7x7 kernels as 1x7 and 7x1).

    width: channels between the factors.
    """

    def __init__(self, in_channels: int, *, width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = ConvNormReLU(in_channels, width, kernel_size=1)
        self.branch7x7_2 = row_kernel(width, width, length=7)
        self.branch7x7_3 = column_kernel(width, 192, length=7)
        self.branch7x7dbl_1 = ConvNormReLU(in_channels, width, kernel_size=1)
        self.branch7x7dbl_2 = column_kernel(width, width, length=7)
        self.branch7x7dbl_3 = row_kernel(width, width, length=7)
        self.branch7x7dbl_4 = column_kernel(width, width, length=7)
        self.branch7x7dbl_5 = row_kernel(width, 192, length=7)
        self.pool = nn.AvgPool2d(kernel_size=3, stride=1, padding=1)
        self.branch_pool = ConvNormReLU(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        branches = [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(self.pool(x)),
        ]
        return torch.cat(branches, dim=1)


class Grid17To8(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 512 + in_channels, ~H/2, ~W/2]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNormReLU(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = ConvNormReLU(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = ConvNormReLU(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = ConvNormReLU(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvNormReLU(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvNormReLU(192, 192, kernel_size=3, stride=2)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        branches = [self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(wide), self.pool(x)]
        return torch.cat(branches, dim=1)


class Grid8(nn.Module):
    """Maps [B, in_channels, H, W] to [B, 2048, H, W] (figure 7: 1x3 and 3x1 kernels side by side)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = ConvNormReLU(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = row_kernel(384, 384, length=3)
        self.branch3x3_2b = column_kernel(384, 384, length=3)
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = ConvNormReLU(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = row_kernel(384, 384, length=3)
        self.branch3x3dbl_3b = column_kernel(384, 384, length=3)
        self.pool = nn.AvgPool2d(kernel_size=3, stride=1, padding=1)
        self.branch_pool = ConvNormReLU(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self.pool(x)),
        ]
        return torch.cat(branches, dim=1)


class AuxiliaryHead(nn.Module):
    """Maps [B, in_channels, H, W], 17 x 17 or more, to logits [B, K] of the side head (figure 8)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(kernel_size=5, stride=3)
        self.conv0 = ConvNormReLU(in_channels, 128, kernel_size=1)
        self.conv1 = ConvNormReLU(128, 768, kernel_size=5)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(self.pool(x)))  # [B, 768, 1, 1] at 299 pixels
        return self.fc(self.avgpool(x).flatten(1))


def row_kernel(in_channels: int, out_channels: int, *, length: int) -> ConvNormReLU:
    """A convolution with kernels of 1 x length pixels that keeps height and width."""
    return ConvNormReLU(in_channels, out_channels, kernel_size=(1, length), padding=(0, length // 2))


def column_kernel(in_channels: int, out_channels: int, *, length: int) -> ConvNormReLU:
    """A convolution with kernels of length x 1 pixels that keeps height and width."""
    return ConvNormReLU(in_channels, out_channels, kernel_size=(length, 1), padding=(length // 2, 0))
