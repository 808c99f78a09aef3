"""Made-up tables, and the catalogue of tables where it is not installed yet."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular.catalog import CATALOG
from zoo.registry import registry


@pytest.fixture(scope="session", autouse=True)
def catalogue() -> None:
    """The models and tasks of tables can be named."""
    if CATALOG.tasks[0].name not in registry().tasks:
        registry().add(CATALOG)


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    """300 rows in which `hired` follows from age and city, and `wage` from age and years since joining."""
    generator = np.random.default_rng(0)
    count = 300
    age = generator.integers(18, 66, count)
    city = generator.choice(["Bern", "Oslo", "Rome", "Wien"], count, p=[0.4, 0.3, 0.2, 0.1])
    joined = pd.Timestamp("2015-01-01") + pd.to_timedelta(generator.integers(0, 3000, count), unit="D")
    score = 0.12 * (age - 40) + np.where(city == "Oslo", 2.0, -1.0) + generator.normal(0, 0.3, count)
    frame = pd.DataFrame(
        {
            "row_id": np.arange(count),
            "age": age,
            "city": city,
            "height": generator.normal(1.7, 0.1, count).round(3),
            "joined": joined.strftime("%Y-%m-%d"),
            "planet": "Earth",
            "hired": np.where(score > 0, "yes", "no"),
            "wage": (1000.0 + 40 * age + generator.normal(0, 150, count)).round(2),
        }
    )
    frame.loc[::7, "height"] = np.nan
    frame.loc[::11, "city"] = None
    return frame


@pytest.fixture(scope="session")
def people_csv(people: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    people.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def ratings() -> pd.DataFrame:
    """600 ratings of 30 items by 40 users: biases of both and two kinds of taste."""
    generator = np.random.default_rng(0)
    user, item = generator.integers(1, 41, 600), generator.integers(1, 31, 600)
    taste = np.where((user % 2) == (item % 2), 1.0, -1.0)
    value = 3 + 0.5 * np.sin(user) + 0.5 * np.cos(item) + taste + generator.normal(0, 0.1, 600)
    return pd.DataFrame({"user_id": user, "item_id": item, "rating": value.clip(1, 5).round(1)})


@pytest.fixture(scope="session")
def ratings_csv(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "ratings.csv"
    ratings.to_csv(path, index=False)
    return path
