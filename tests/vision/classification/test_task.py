"""What image classification asks of data and options, and what it takes for predicting and explaining."""

import numpy as np
import pytest
import torch
from torch import nn

from vision.classification.task import ImageClassification
from zoo.data import Bundle
from zoo.errors import DataError

CAPSULES = "vision.classification.capsnet:capsule_losses"
CLASSES = ("cat", "dog")


@pytest.fixture
def task():
    return ImageClassification(classes=CLASSES)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


def bundle(images):
    """The images with the classes 0, 1, 0, 1, ..."""
    return Bundle.from_arrays(images, np.arange(len(images)) % 2, validation=0.0)


def test_weights_count_in_the_loss(model):
    """By hand: weights (1, 3) make the mean (l0 + 3 l1) / 4; fails if they are dropped on the way to the loss."""
    images, targets = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    task = ImageClassification(classes=CLASSES, class_weights=(1, 3))
    single = nn.functional.cross_entropy(model(images), targets, reduction="none")
    torch.testing.assert_close(task.losses(model, (images, targets))["loss"], (single[0] + 3 * single[1]) / 4)
    assert task.mean_weight((images, targets)) == 4


@pytest.mark.parametrize(
    "weights", ["balanced", "ab", [1.0], [1, -2], [0, 0], [1, float("nan")], [1, float("inf")], [1, "2"], {0: 1, 1: 2}]
)
def test_class_weights_that_cannot_be(weights):
    """Fails if a text is counted by its letters, or a negative weight rewards mistakes."""
    with pytest.raises(ValueError, match="class_weights"):
        ImageClassification(classes=CLASSES, class_weights=weights)


@pytest.mark.parametrize("options", [{"class_weights": [1, 2]}, {"label_smoothing": 0.1}])
def test_options_of_cross_entropy_are_not_dropped_in_silence(options):
    """Fails if a model with a loss of its own takes them without effect."""
    with pytest.raises(ValueError, match="capsule_losses does not take them"):
        ImageClassification(classes=CLASSES, losses=CAPSULES, **options)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 3, 8, 8), np.uint8), "scale them"),
        (np.zeros((4, 32, 32, 3), np.float32), "channels-last"),
    ],
)
def test_arrays_that_are_no_images_for_a_network(images, words):
    """Fails if bytes reach the first convolution, or 32 rows of pixels are taken for channels."""
    with pytest.raises(DataError, match=words):
        ImageClassification.from_bundle(bundle(images))


def test_arrays_that_are_images(task):
    """Fails if the checks refuse many channels, few pixels, or rows of numbers."""
    for shape in ((3, 8, 8), (1, 4, 4), (12, 8, 8), (4, 8, 4), (64,)):
        found = ImageClassification.from_bundle(bundle(np.zeros((4, *shape), np.float32)))
        assert found.input_shape == shape


def test_predicts_and_explains_one_image_or_several_in_arrays_or_tensors(task, model):
    """Fails if an array or an image without the batch dimension reaches the network as it is."""
    images = torch.randn(2, 3, 8, 8)
    wanted = task.predict(model, images)
    assert [set(row) for row in wanted] == [{"label", "probability", "top"}] * 2
    assert task.predict(model, images.numpy()) == wanted
    assert task.predict(model, images.double().numpy()) == wanted
    assert task.predict(model, images[0])[0]["label"] == wanted[0]["label"]
    assert task.explain(model, images[0].numpy(), target="dog").heat.shape == (1, 8, 8)


@pytest.mark.parametrize("inputs", [np.zeros((2, 3, 8, 8), np.uint8), torch.zeros(8), [1, 2], None])
def test_what_cannot_be_predicted_for_says_what_can(task, model, inputs):
    """Fails if it ends as an AttributeError or inside the first layer."""
    with pytest.raises(DataError, match=r"\[B, C, H, W\]"):
        task.predict(model, inputs)
