"""What the tests of detection share: a tiny detector, and a folder of images with bright squares and dark discs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vision.detection.faster_rcnn import FasterRCNN
from vision.examples.detect import draw_things

TINY = {
    "backbone": "resnet20_cifar", "strides": (2, 4), "anchor_sizes": (16, 32, 48), "min_size": 64, "max_size": 96,
    "pyramid_channels": 16, "box_width": 32, "num_proposals": (60, 40), "rpn_samples": 64, "box_samples": 32,
    "norm": "batch",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> dict[str, object]:
    """Options of a detector that is built and trained in moments."""
    return dict(TINY)


@pytest.fixture
def detector(tiny: dict[str, object]) -> FasterRCNN:
    torch.manual_seed(0)
    return FasterRCNN(num_classes=2, **tiny)


@pytest.fixture(scope="module")
def make_voc(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a Pascal VOC folder of as many images for each part as asked for, with two things each."""

    def write(**counts: int) -> Path:
        return draw_things(tmp_path_factory.mktemp("things"), counts=counts)

    return write
