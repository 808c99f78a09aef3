from collections.abc import Callable

import numpy as np
import pytest
from ensemble_cases import classes_bundle, new_model
from torch import nn

from tabular.data.reader import table_bundle
from vision.classification.task import ImageClassification
from zoo.data import Bundle


@pytest.fixture
def bundle() -> Bundle:
    return classes_bundle()


@pytest.fixture
def task(bundle: Bundle) -> ImageClassification:
    return ImageClassification.from_bundle(bundle)


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    return new_model


@pytest.fixture
def model() -> nn.Module:
    return new_model()


@pytest.fixture
def table() -> Bundle:
    """50 rows of a table whose target is a number."""
    import pandas as pd

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=50), generator.normal(size=50)
    frame = pd.DataFrame({"x": x, "y": y, "z": 100 + 5 * x - 2 * y + 0.1 * generator.normal(size=50)})
    return table_bundle(frame, target="z", validation=0.2)
