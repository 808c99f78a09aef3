import pytest
from search_cases import new_bundle, new_model

from vision.classification.task import ImageClassification


@pytest.fixture
def bundle():
    return new_bundle()


@pytest.fixture
def task(bundle):
    return ImageClassification.from_bundle(bundle)


@pytest.fixture
def model():
    return new_model()
