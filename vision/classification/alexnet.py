"""AlexNet in its one-tower form: five convolutions, three wide linear layers.

Source: Krizhevsky 2014, arXiv:1404.5997, section 5, the model with one tower; layer sizes of Krizhevsky et al. 2012,
  "ImageNet classification with deep convolutional neural networks".
Differs from the paper: follows torchvision, with 256 channels in the fourth convolution for the paper's 384, adaptive
  pooling before the linear layers, so that any image of 63 pixels or more passes, no local response normalisation,
  PyTorch's default initialisation, and logits for a softmax where the paper trains 1000 logistic units.
Tensor names are torchvision's.
Shapes: B images, C channels, H height, W width.
"""

from typing import ClassVar

from torch import Tensor, nn

from vision.classification.arguments import check_counts, check_probabilities
from vision.classification.maps import maps_of_sequence
from zoo.features import FeatureInfo

POOLED_SIZE = 6  # pixels a side of the map that the first linear layer sees


class AlexNet(nn.Module):
    """Images [B, in_channels, H, W] to logits [B, num_classes].

    head_width: units in each of the two hidden linear layers.
    dropout:    probability that a unit before a hidden linear layer is dropped in training.
    Raises:     ValueError for a count below 1 or a probability outside [0, 1).
    """

    feature_info: ClassVar[tuple[FeatureInfo, ...]] = (
        FeatureInfo("features.1", 64, 4),
        FeatureInfo("features.4", 192, 8),
        FeatureInfo("features.11", 256, 16),
        FeatureInfo("features.12", 256, 32),
    )

    def __init__(
        self, *, num_classes: int = 1000, in_channels: int = 3, head_width: int = 4096, dropout: float = 0.5
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, head_width=head_width)
        check_probabilities(dropout=dropout)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED_SIZE)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * POOLED_SIZE**2, head_width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(head_width, head_width),
            nn.ReLU(inplace=True),
            nn.Linear(head_width, num_classes),
        )

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to four maps, at strides 4, 8, 16 and 32."""
        return maps_of_sequence(self.features, x, wanted=self.feature_info)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] to logits [B, num_classes]."""
        x = self.avgpool(self.features(x))  # [B, 256, 6, 6]
        return self.classifier(x.flatten(1))
