"""What columns are taken for, what the user's word changes, and what is told about them."""

import logging

import numpy as np
import pandas as pd
import pytest

from tabular.data.files import typed
from tabular.data.inference import Wishes, guess_columns
from tabular.data.leaks import predictive_power
from tabular.data.reader import table_bundle
from zoo.errors import DataError

ROWS = 400
GENERATOR = np.random.default_rng(0)
COLUMNS = {
    "weight": (GENERATOR.normal(size=ROWS), "continuous"),
    "count": (GENERATOR.integers(0, 50, ROWS), "continuous"),
    "stars": (GENERATOR.integers(1, 6, ROWS), "categorical"),
    "flag": (GENERATOR.random(ROWS) > 0.5, "categorical"),
    "colour": (GENERATOR.choice(["red", "green"], ROWS), "categorical"),
    "store_id": (GENERATOR.integers(0, 50, ROWS), "categorical"),
    "paid": (GENERATOR.integers(0, 50, ROWS), "continuous"),
    "when": ([f"2024-{1 + i % 12:02}-{1 + i % 28:02} 10:{i % 60:02}" for i in range(ROWS)], "date"),
    "swiss": ([f"{1 + i % 28:02}.{1 + i % 12:02}.2024" for i in range(ROWS)], "date"),
    "stamp": (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="D"), "date"),
    "comment": ([f"text number {i}" for i in range(ROWS)], "dropped"),
    "Unnamed: 0": (np.arange(ROWS), "dropped"),
    "order_id": (GENERATOR.permutation(ROWS), "dropped"),
    "always": (["x"] * ROWS, "dropped"),
    "void": ([None] * ROWS, "dropped"),
    "version": ([f"{i % 9}.{i % 7}" for i in range(ROWS)], "categorical"),
}


@pytest.fixture(scope="module")
def guesses():
    frame = pd.DataFrame({name: values for name, (values, _) in COLUMNS.items()}).pipe(typed)
    found = guess_columns(frame.assign(y=1.0), target="y", wishes=Wishes())
    return {guess.name: guess for guess in found}


@pytest.mark.parametrize("name", COLUMNS)
def test_kinds_are_read_off_the_values(guesses, name):
    """Fails if codes are averaged, measures are categories, or identifiers are learnt by heart."""
    assert guesses[name].kind == COLUMNS[name][1], guesses[name]


def test_what_is_told(guesses):
    """Fails if a dropped column does not say why, or how to keep it."""
    assert guesses["always"].note == "constant: always 'x'"
    assert guesses["void"].note == "empty"
    assert "to keep it: categorical=['comment']" in guesses["comment"].note
    assert guesses["comment"].warning
    assert not guesses["always"].warning


def test_a_constant_with_gaps_says_something():
    """Fails if "there or not" is taken for a constant."""
    frame = pd.DataFrame({"x": ["a", None] * 10, "y": np.arange(20.0)}).pipe(typed)
    assert guess_columns(frame, target="y", wishes=Wishes())[0].kind == "categorical"


def test_numbers_with_a_stray_word_are_pointed_out():
    """Fails if one "unknown" among prices makes them categories in silence."""
    prices = [f"{i}.5" for i in range(60)] + ["unknown"] * 3
    frame = pd.DataFrame({"price": prices, "y": np.arange(63.0)}).pipe(typed)
    (guess,) = guess_columns(frame, target="y", wishes=Wishes())
    assert guess.kind == "categorical"
    assert guess.warning
    assert "missing=['unknown']" in guess.note


def test_the_users_word_goes_over_every_guess(people):
    """Fails if a wish is dropped, or cannot keep what would be left out."""
    schema = table_bundle(
        people, target="wage", categorical=["age", "planet"], continuous="row_id", ignore=["height"], show=False
    ).preprocessing
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds == {
        "row_id": "continuous", "age": "categorical", "city": "categorical", "joined": "date", "planet": "categorical",
        "hired": "categorical",
    }  # fmt: skip
    assert schema.dropped == {"height": "ignored as asked"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"continuous": ["city"]}, "'city' must hold numbers, but 272 of 300 values do not, the first "),
        ({"dates": ["city"]}, "Write them as 2024-12-31"),
        ({"ignore": ["row_id", "age", "city", "height", "joined", "planet", "hired"]}, "No column is left"),
    ],
)
def test_wishes_that_the_values_refuse(people, options, words):
    """Fails if text becomes NaN in silence, or a model without inputs is trained."""
    with pytest.raises(DataError, match=words):
        table_bundle(people, target="wage", **options)


def test_the_report_is_logged_before_training(people, caplog):
    """Fails if a kind, a share of missing values or a reason is not shown."""
    with caplog.at_level(logging.INFO):
        table_bundle(people, target="hired", ignore=["wage"])
    lines = {line.split()[0]: line for line in caplog.text.splitlines() if line.startswith("  ")}
    assert "continuous" in lines["age"]
    assert "14.3%" in lines["height"]
    assert "constant: always 'Earth'" in lines["planet"]
    assert "240 train, 60 validation" in caplog.text
    assert "2 classes (classification): yes " in caplog.text
    assert "alone predicts" not in caplog.text


@pytest.mark.parametrize(
    ("target", "leak"),
    [("hired", lambda people: people["hired"].map({"yes": "accepted", "no": "rejected"})),
     ("hired", lambda people: np.where(people["hired"] == "yes", 0.9, 0.1) + np.linspace(0, 0.05, len(people))),
     ("wage", lambda people: np.log(people["wage"])),
     ("wage", lambda people: -3 * people["wage"])],
)  # fmt: skip
def test_a_column_that_gives_the_target_away_is_warned_of(people, caplog, target, leak):
    """Fails if copies by another name, or growing functions of the target, go unnoticed."""
    table_bundle(people.assign(outcome_code=leak(people)), target=target)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("'outcome_code' alone predicts the target" in text for text in warned), warned
    assert not any("'age' alone" in text for text in warned), warned


def test_power_by_hand():
    """Fails if chance counts for something, or values seen once are learnt by heart: identifiers predict nothing."""
    target = np.tile([0, 1], 50)
    assert predictive_power(target.copy(), target, classes=2) == 1
    assert predictive_power(np.arange(100), target[np.random.default_rng(1).permutation(100)], classes=2) < 0.5
    assert predictive_power(np.zeros(100, int), np.arange(100) % 10 * 1.0, classes=None) == pytest.approx(0, abs=0.01)
    rare = np.r_[np.zeros(98, int), 1, 1][np.random.default_rng(0).permutation(100)]
    assert predictive_power(np.zeros(100, int), rare, classes=2) == 0  # though 98 % would be right
