"""Plain CNN: stages of 3 x 3 convolutions, then a pooled linear head or a 1 x 1 convolution pooled to logits.

Source: Springenberg et al. 2014, arXiv:1412.6806, table 1, model C (`downsample="max"`), and table 2, All-CNN-C
  (`downsample="conv"`), both with `head="conv"`; that head comes from Lin et al. 2013, arXiv:1312.4400, section 3.2.
Differs from the paper: batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167) and no dropout by default, both slots;
  the linear head; no ReLU on the class scores; every 3 x 3 convolution is padded by 1, where the paper's 6 x 6 map
  before the average speaks for none in the last stage; He initialisation by fan-in.
Shapes: B images, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts, check_probabilities
from zoo.features import FeatureInfo

Head = Literal["linear", "conv"]
Norm = Literal["batch", "none"]
Downsample = Literal["conv", "max"]


class CNN(nn.Module):
    """Images [B, in_channels, H, W] of any size to logits [B, num_classes].

    head:       "linear" averages each channel over the image, then mixes channels; "conv" scores every position with
                a 1 x 1 convolution, then averages each class over the image.
    widths:     channels of each stage.
    depths:     3 x 3 convolutions of each stage; the last stage ends with a 1 x 1 convolution besides.
    norm:       what stands between a convolution and its ReLU.
    downsample: what halves the map between two stages: a strided 3 x 3 convolution or 3 x 3 max pooling.
    input_dropout: probability that a value of the image is dropped in training.
    dropout:    probability that a value is dropped in training after each halving.
    Raises:     ValueError for a value that is none of the choices, `widths` and `depths` of different lengths,
                a count below 1, or a probability outside [0, 1).
    """

    classifier: ClassVar[str] = "head"

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        head: Head = "linear",
        widths: Sequence[int] = (96, 192, 192),
        depths: Sequence[int] = (2, 2, 1),
        norm: Norm = "batch",
        downsample: Downsample = "conv",
        input_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_choice("head", head, get_args(Head))
        check_choice("norm", norm, get_args(Norm))
        check_choice("downsample", downsample, get_args(Downsample))
        check_probabilities(input_dropout=input_dropout, dropout=dropout)
        _check_stages(widths, depths)

        self.input_dropout = nn.Dropout(input_dropout)
        self.stages = nn.ModuleList()
        channels = in_channels
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            layers = [_downsample(downsample, channels, norm, dropout)] if index else []
            for _ in range(depth):
                layers.append(conv_block(in_channels=channels, out_channels=width, norm=norm))
                channels = width
            if index == len(widths) - 1:
                layers.append(conv_block(in_channels=width, out_channels=width, kernel_size=1, norm=norm))
            self.stages.append(nn.Sequential(*layers))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head: nn.Module = (
            nn.Linear(channels, num_classes) if head == "linear" else nn.Conv2d(channels, num_classes, kernel_size=1)
        )
        self.feature_info = tuple(FeatureInfo(f"stages.{i}", width, 2**i) for i, width in enumerate(widths))
        self._init_weights()

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to one map for each stage, at strides 1, 2, 4, ..."""
        x, maps = self.input_dropout(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes]."""
        x = self.forward_features(x)[-1]  # [B, C, H / stride, W / stride]
        if isinstance(self.head, nn.Conv2d):
            return self.pool(self.head(x)).flatten(1)
        return self.head(self.pool(x).flatten(1))

    def _init_weights(self) -> None:
        """He initialisation by fan-in for convolutions; PyTorch's default for a linear head."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def conv_block(
    *, in_channels: int, out_channels: int, norm: Norm, kernel_size: int = 3, stride: int = 1
) -> nn.Sequential:
    """Maps [B, in_channels, H, W] to maps [B, out_channels, H / stride, W / stride]: convolution, norm, ReLU."""
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=norm == "none"
    )
    norms = [nn.BatchNorm2d(out_channels)] if norm == "batch" else []
    return nn.Sequential(conv, *norms, nn.ReLU(inplace=True))


def _downsample(kind: Downsample, channels: int, norm: Norm, dropout: float) -> nn.Sequential:
    """Maps [B, C, H, W] to maps [B, C, H / 2, W / 2]."""
    halve: nn.Module
    if kind == "conv":
        halve = conv_block(in_channels=channels, out_channels=channels, norm=norm, stride=2)
    else:
        halve = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    return nn.Sequential(halve, nn.Dropout(dropout))


def _check_stages(widths: Sequence[int], depths: Sequence[int]) -> None:
    """Raises ValueError unless there is at least one stage, and a width and a depth for each."""
    if not widths or len(widths) != len(depths):
        raise ValueError(
            f"widths={tuple(widths)!r} and depths={tuple(depths)!r} do not fit: pass one number for each stage in both."
        )
    for width, depth in zip(widths, depths, strict=True):
        check_counts(widths=width, depths=depth)
