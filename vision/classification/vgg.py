"""VGG: five stages of 3 x 3 convolutions, each closed by max pooling, then three wide linear layers.

Source: Simonyan and Zisserman 2014, arXiv:1409.1556, section 2 and table 1, columns A, B, D and E.
Differs from the paper: adaptive pooling before the linear layers, as in torchvision, so that any image of 32 pixels
  or more passes; He initialisation by fan-out for the convolutions; batch norm as an option (after Ioffe and
  Szegedy 2015, arXiv:1502.03167).
Tensor names are torchvision's.
Shapes: B images, C channels, H height, W width.
"""

from typing import Literal, get_args

from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts, check_probabilities
from vision.classification.maps import maps_of_sequence
from zoo.features import FeatureInfo

Depth = Literal[11, 13, 16, 19]
Norm = Literal["none", "batch"]

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS: dict[int, tuple[int, ...]] = {  # in each stage
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
POOLED_SIZE = 7  # pixels a side of the map that the first linear layer sees


class VGG(nn.Module):
    """Images [B, in_channels, H, W] to logits [B, num_classes].

    depth:      layers with weights, convolutions and linear layers together.
    norm:       what stands between a convolution and its ReLU.
    head_width: units in each of the two hidden linear layers.
    dropout:    probability that a unit of a hidden linear layer is dropped in training.
    Raises:     ValueError for a value that is none of the choices, a count below 1 or a probability outside [0, 1).
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        depth: Depth = 16,
        norm: Norm = "none",
        head_width: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, head_width=head_width)
        check_choice("depth", depth, get_args(Depth))
        check_choice("norm", norm, get_args(Norm))
        check_probabilities(dropout=dropout)

        layers: list[nn.Module] = []
        info = []
        channels = in_channels
        for index, (width, count) in enumerate(zip(WIDTHS, CONVOLUTIONS[depth], strict=True)):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
                if norm == "batch":
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            info.append(FeatureInfo(f"features.{len(layers) - 1}", width, 2**index))
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        info.append(FeatureInfo(f"features.{len(layers) - 1}", channels, 2 ** len(WIDTHS)))
        self.feature_info = tuple(info)

        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED_SIZE)
        self.classifier = nn.Sequential(
            nn.Linear(channels * POOLED_SIZE**2, head_width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(head_width, head_width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(head_width, num_classes),
        )
        self._init_weights()

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to six maps, at strides 1, 2, 4, 8, 16 and 32."""
        return maps_of_sequence(self.features, x, wanted=self.feature_info)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes]."""
        x = self.avgpool(self.features(x))  # [B, 512, 7, 7]
        return self.classifier(x.flatten(1))

    def _init_weights(self) -> None:
        """He initialisation by fan-out for convolutions, the paper's normal of deviation 0.01 for linear layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
