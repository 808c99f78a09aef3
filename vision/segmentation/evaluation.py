"""What an evaluation of segmentation keeps beside numbers: the first images with what was predicted and true.

Shapes: B images, C channels, H x W pixels, K classes.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vision.data.masks_files import IGNORE
from vision.segmentation.pictures import shown_image
from zoo.metrics import ListMetric, Metric, Processes
from zoo.records import ImagePreprocessing

MOST_OVERLAYS = 4
LARGEST_SIDE = 512  # pixels: overlays are thinned out to that


class Evaluated(NamedTuple):
    """The outputs for a batch: logits [B, K, H, W], the images [B, C, H, W], and what normalised them."""

    logits: Tensor
    images: Tensor
    preprocessing: ImagePreprocessing | None


class Overlay(NamedTuple):
    """An image, floats [H, W, 3] in 0..1, with predicted and true class numbers [H, W]."""

    image: np.ndarray
    prediction: np.ndarray
    target: np.ndarray


class OfLogits:
    """A metric of `Evaluated.logits` against masks."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.higher_is_better = metric.higher_is_better

    def update(self, outputs: Evaluated, target: Tensor) -> None:
        """Adds one batch."""
        self.metric.update(outputs.logits, target)

    def compute(self) -> float | Tensor:
        """The metric's value."""
        return self.metric.compute()

    def sync(self, processes: Processes) -> "OfLogits":
        """Takes the sums of all processes."""
        self.metric.sync(processes)
        return self

    def reset(self) -> None:
        """Forgets all that was added."""
        self.metric.reset()


class KeptOverlays(ListMetric):
    """The first images of an evaluation; the value is how many they are, as a tensor [1], which is no figure to log."""

    def update(self, outputs: Evaluated, target: Tensor) -> None:
        for row in range(min(len(target), MOST_OVERLAYS - len(self.items))):
            seen = (target[row] != IGNORE).nonzero()
            if not len(seen):
                continue
            bottom, right = (int(side) + 1 for side in seen.amax(0))  # what a batch of several sizes was filled up with
            step = max(1, -(-max(bottom, right) // LARGEST_SIDE))
            part = (slice(0, bottom, step), slice(0, right, step))
            self.items.append(
                Overlay(
                    shown_image(outputs.images[row][:, *part], outputs.preprocessing),
                    outputs.logits[row].argmax(0)[part].cpu().numpy(),
                    target[row][part].cpu().numpy(),
                )
            )

    def compute(self) -> Tensor:
        return torch.tensor([len(self.items)])
