"""What the tests of generation share: a small data set in memory, and a small model for it."""

import numpy as np
import pytest
import torch

from vision.generation.dcgan import dcgan
from vision.generation.task import ImageGeneration
from zoo.data import ArraySource, Bundle


@pytest.fixture
def bundle():
    """72 images of 16 x 16 pixels, a bright bar at a random place; 60 to train on, 12 for validation."""
    generator = np.random.default_rng(0)
    images = generator.normal(-0.7, 0.05, (72, 1, 16, 16)).astype("float32")
    for image, column in zip(images, generator.integers(0, 13, 72), strict=True):
        image[:, :, column : column + 3] += 1.4
    parts = torch.from_numpy(images.clip(-1, 1)).split([60, 12])
    return Bundle(
        train=ArraySource(parts[0]), validation=ArraySource(parts[1]), task="vision/generation", kind=None,
        input_shape=(1, 16, 16), fingerprint="bars",
    )  # fmt: skip


@pytest.fixture
def task(bundle):
    return ImageGeneration.from_bundle(bundle)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return dcgan(image_size=16, channels=1, latent_dim=6, generator_width=4, discriminator_width=4)
