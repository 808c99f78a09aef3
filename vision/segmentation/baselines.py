"""What segmentation without a network reaches: the commonest class, and a forest on filtered pixels.

Source of the forest: the pixel classification of ilastik, Berg et al. 2019, doi:10.1038/s41592-019-0582-9.
Differs from the paper: fewer filters, and pixels drawn at random in place of brush strokes.
Shapes: C channels, H x W pixels, F features.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from vision.data.masks_files import IGNORE
from zoo.data import Bundle, Source
from zoo.metrics import make_metric

SIGMAS = (1.0, 2.0, 4.0, 8.0)  # pixels
PIXELS = 40_000  # drawn from the training images
TREES = 60


def majority(bundle: Bundle, split: str) -> dict[str, float]:
    """Every pixel gets the commonest class of the training images."""
    num_classes = len(bundle.classes or ())
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for _, mask in _images(bundle.train):
        counts += mask[mask != IGNORE].bincount(minlength=num_classes)
    commonest = int(counts.argmax())
    return _judged(bundle, split, lambda image: torch.full(image.shape[1:], commonest))


def pixel_forest(bundle: Bundle, split: str) -> dict[str, float]:
    """A random forest on grey levels, blurs, edges and blobs of several sizes around each pixel."""
    from sklearn.ensemble import RandomForestClassifier

    generator = np.random.default_rng(0)
    share = -(-PIXELS // len(bundle.train))
    features, labels = [], []
    for image, mask in _images(bundle.train):
        flat = mask.flatten().numpy()
        rows = generator.permutation(np.flatnonzero(flat != IGNORE))[:share]
        features.append(pixel_features(image)[rows])
        labels.append(flat[rows])
    forest = RandomForestClassifier(n_estimators=TREES, min_samples_leaf=5, random_state=0)
    forest.fit(np.concatenate(features), np.concatenate(labels))

    def predict(image: Tensor) -> Tensor:
        return torch.from_numpy(forest.predict(pixel_features(image))).view(image.shape[1:])

    return _judged(bundle, split, predict)


def pixel_features(image: Tensor) -> np.ndarray:
    """An image [C, H, W] to features of its pixels, float32 [H W, F]."""
    from scipy import ndimage

    maps = []
    for channel in image.numpy():
        maps.append(channel)
        for sigma in SIGMAS:
            maps.append(ndimage.gaussian_filter(channel, sigma))
            maps.append(ndimage.gaussian_gradient_magnitude(channel, sigma))
            maps.append(ndimage.gaussian_laplace(channel, sigma))
    return np.stack([part.ravel() for part in maps], axis=1).astype(np.float32)


def _images(source: Source) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole images and their masks."""
    plain = source.unaugmented()
    for row in range(len(plain)):
        image, mask = plain[row][:2]
        yield image, mask


def _judged(bundle: Bundle, split: str, predict: Callable[[Tensor], Tensor]) -> dict[str, float]:
    num_classes = len(bundle.classes or ())
    metrics = {
        "mean_iou": make_metric("iou", num_classes=num_classes, inputs="labels"),
        "dice": make_metric("dice", num_classes=num_classes, inputs="labels"),
        "pixel_accuracy": make_metric("pixel_accuracy", inputs="labels"),
    }
    for image, mask in _images(bundle.parts[split]):
        labels = predict(image)
        for metric in metrics.values():
            metric.update(labels[None], mask[None])
    return {name: float(metric.compute()) for name, metric in metrics.items()}
