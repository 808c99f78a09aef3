import numpy as np
import pytest
import torch
from torch import nn

from vision.classification.task import ImageClassification
from zoo.data import Bundle


@pytest.fixture
def bundle() -> Bundle:
    """90 rows of 6 numbers in 3 classes that a linear model can tell apart."""
    generator = np.random.default_rng(0)
    targets = np.arange(90) % 3
    inputs = generator.normal(size=(90, 6)).astype("float32")
    inputs[np.arange(90), targets] += 4
    return Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.2)


@pytest.fixture
def task(bundle: Bundle) -> ImageClassification:
    return ImageClassification.from_bundle(bundle)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
