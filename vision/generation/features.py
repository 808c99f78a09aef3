"""Networks in whose features drawn images are compared with real ones.

Source: Heusel et al. 2017, arXiv:1706.08500, for features of a classifier; Naeem et al. 2020, arXiv:2002.09797,
  section 3.3, for those of a network with random weights.
Differs from the paper: the classifier is one that was trained on the user's own images, not Inception on ImageNet, so
  values compare with each other for one classifier, and with no published FID.
Shapes: B images, C channels, H, W pixels, D features.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.randomness import isolated_generators, seed_everything_here
from zoo.errors import DataError
from zoo.heads import head_path
from zoo.records import ImagePreprocessing
from zoo.training.frozen import inputs_of

RANDOM_WIDTHS = (32, 64, 128)
RANDOM_SEED = 0


class ClassifierFeatures(nn.Module):
    """Images [B, C, H, W] in -1..1 to what the head of a trained classifier sees of them [B, D].

    classifier:    images to logits.
    preprocessing: what the classifier was trained to see.
    """

    def __init__(self, classifier: nn.Module, preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.classifier = classifier.eval()
        self.head = head_path(classifier)
        self.size = preprocessing.size
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(preprocessing.std)[:, None, None])

    mean: Tensor
    std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Images in -1..1 to features; they are resized and normalised for the classifier first."""
        with inputs_of(self.classifier.get_submodule(self.head)) as caught:
            self.classifier(self._seen(images))
        features = caught[0].float()
        return features.flatten(2).mean(2) if features.ndim > 2 else features

    def _seen(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True, align_corners=False)
        channels = len(self.mean)
        if images.shape[1] != channels:
            images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return ((images + 1) / 2 - self.mean) / self.std


class RandomFeatures(nn.Module):
    """Images [B, C, H, W] to features [B, 128] of three strided convolutions, their weights random but always the same.

    They see edges and textures, no objects: good to tell whether training gets anywhere, not how good it is.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        with isolated_generators():
            seed_everything_here(RANDOM_SEED)
            for after in RANDOM_WIDTHS:
                layer = nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layers += [layer, nn.ReLU()]
                before = after
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Images to features, each averaged over the image."""
        return self.layers(images).mean((2, 3)).float()


def load_classifier(directory: str | Path) -> ClassifierFeatures:
    """The features of the classifier of a run directory.

    Raises: DataError if the run is of no classifier of images; RunError if there is none.
    """
    from vision.classification.task import ImageClassification
    from zoo.training import load_run

    with isolated_generators():  # a model that is built draws weights, even where others are loaded then
        run = load_run(directory)
        task, model = run.task, run.model
    if not isinstance(task, ImageClassification) or task.preprocessing is None:
        raise DataError(
            f"fid_classifier must be the run of a vision/classification model on image data; {directory} is one of "
            f"{task.name}. Train one: zoo train cnn_linear --data ... --out classifier"
        )
    return ClassifierFeatures(model, task.preprocessing)


@torch.no_grad()
def num_features(network: nn.Module, image_shape: tuple[int, ...]) -> int:
    """How many features a network gives for images [C, H, W]."""
    device = next(network.parameters()).device
    return network(torch.zeros(2, *image_shape, device=device)).shape[1]
