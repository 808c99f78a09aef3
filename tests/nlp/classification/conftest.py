"""A table of made-up reviews that one word decides, and a run trained on it."""

import csv
import random
from pathlib import Path

import pytest

GOOD, BAD = ("good", "great", "lovely"), ("bad", "awful", "poor")
REST = ["the", "dress", "is", "and", "it", "fits", "this", "size", "blue", "skirt", "runs", "small"]


def write_reviews(path: Path, *, number: int = 120, seed: int = 0) -> Path:
    """A table with the columns text and label: half the rows are "pos", half "neg"."""
    generator = random.Random(seed)
    rows = []
    for index in range(number):
        words = generator.choices(REST, k=generator.randint(2, 12))
        words.insert(generator.randint(0, len(words)), generator.choice(BAD if index % 2 else GOOD))
        rows.append((" ".join(words), "neg" if index % 2 else "pos"))
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv")
