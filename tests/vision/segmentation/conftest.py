"""Small folders of shapes with masks, and the task in the registry."""

import numpy as np
import pytest
from PIL import Image

from vision.segmentation.catalog import MODELS, TASKS
from zoo.records import Catalog
from zoo.registry import registry


@pytest.fixture(autouse=True, scope="session")
def _registered():
    """The room stands in the registry, whether the domain's catalogue holds it or not."""
    known = registry()
    models = tuple(entry for entry in MODELS if entry.name not in known.models)
    tasks = tuple(task for task in TASKS if task.name not in known.tasks)
    known.add(Catalog(models=models, tasks=tasks))


def draw(number, *, size=(40, 48)):
    """A noisy image with a bright square, and its mask of 0 and 1."""
    generator = np.random.default_rng(number)
    mask = np.zeros(size, dtype=np.uint8)
    top, left = generator.integers(2, 20, 2)
    mask[top : top + 16, left : left + 16] = 1
    image = generator.integers(0, 90, (*size, 3), dtype=np.uint8)
    image[mask > 0] += 120
    return image, mask


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A folder of 10 colour images, two of another size, with masks of 0 and 1."""
    root = tmp_path_factory.mktemp("shapes")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for number in range(10):
        image, mask = draw(number, size=(40, 48) if number < 8 else (44, 40))
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root
