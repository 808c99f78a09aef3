from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import zoo
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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 noisy pictures, JPEG and PNG, in the classes blue, green and red."""
    return paint(tmp_path_factory.mktemp("photos"), ("blue", "green", "red"), number=20)


@pytest.fixture
def write_photos() -> Callable[..., Path]:
    """`paint`: writes a folder of pictures."""
    return paint


@pytest.fixture(scope="session")
def cifar_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights for resnet20_cifar with 10 classes, which knows nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet20.safetensors"
    save_file(zoo.create_model("resnet20_cifar").state_dict(), path)
    return path


def paint(folder: Path, classes: Sequence[str], *, number: int, seed: int = 0) -> Path:
    """`number` pictures of 40 x 44 pixels for each class, whose name is that of its colour."""
    generator = np.random.default_rng(seed)
    channel = {"red": 0, "green": 1, "blue": 2}
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(number):
            pixels = generator.integers(0, 90, (40, 44, 3)).astype(np.uint8)
            pixels[..., channel[name]] += 140
            Image.fromarray(pixels).save(folder / name / f"{index}.{'jpg' if index % 2 else 'png'}")
    return folder
