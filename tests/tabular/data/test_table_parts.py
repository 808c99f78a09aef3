"""Parts of tables by group and by time, and rows that are in two of them."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import zoo
from tabular.data.reader import read_rows, read_table, table_bundle
from zoo.data import find_leaks, folds
from zoo.errors import DataError

GENERATOR = np.random.default_rng(0)
DAYS = pd.Timestamp("2020-01-01") + pd.to_timedelta(GENERATOR.permutation(200), unit="D")
PATIENTS = pd.DataFrame(
    {
        "x": GENERATOR.normal(size=200),
        "patient": [f"p{number}" for number in GENERATOR.integers(0, 40, 200)],
        "day": DAYS.strftime("%d.%m.%Y"),
        "y": GENERATOR.choice(["ill", "well"], 200),
    }
)
OPTIONS = {"target": "y", "validation": 0.2, "test": 0.2, "show": False}


def rows_of(bundle, frame):
    """The rows of each part, found by their value of x, which differs in all."""
    order = np.argsort(np.argsort(frame["x"].to_numpy()))
    inputs = {part: source.table.continuous[:, 0] for part, source in bundle.parts.items()}
    ranks = torch.cat(list(inputs.values())).argsort().argsort().split([len(each) for each in inputs.values()])
    places = {int(rank): row for row, rank in enumerate(order)}
    return {part: [places[int(rank)] for rank in each] for part, each in zip(inputs, ranks, strict=True)}


def test_no_group_is_in_two_parts_and_groups_are_no_input():
    bundle = table_bundle(PATIENTS, group_column="patient", encoding="standard", **OPTIONS)
    assert "patient" not in bundle.preprocessing.names
    assert "patient" in bundle.preprocessing.dropped
    held = [set(PATIENTS["patient"].iloc[rows]) for rows in rows_of(bundle, PATIENTS).values()]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    assert [len(source) for source in bundle.parts.values()] == pytest.approx([120, 40, 40], abs=4)
    for fold in folds(bundle, 4, kind="group"):
        assert not set(fold.groups["train"].tolist()) & set(fold.groups["validation"].tolist())
        assert len(fold.groups["validation"]) == len(fold.validation)


@pytest.mark.parametrize("kind", ["texts", "dates", "numbers"])
def test_the_latest_rows_are_for_the_test(kind):
    """Fails if texts are put in order as texts: "02.01.2020" stands before "31.12.2019"."""
    days = pd.to_datetime(PATIENTS["day"], format="%d.%m.%Y")
    column = {"texts": PATIENTS["day"], "dates": days, "numbers": (days - days.min()).dt.days}[kind]
    frame = PATIENTS.assign(day=column)
    bundle = table_bundle(frame, time_column="day", ignore=["patient"], encoding="standard", **OPTIONS)
    found = {part: days.iloc[rows] for part, rows in rows_of(bundle, frame).items()}
    assert found["train"].max() < found["validation"].min() < found["validation"].max() < found["test"].min()
    assert [len(rows) for rows in found.values()] == [120, 40, 40]
    assert "day" in bundle.preprocessing.names


def test_it_is_read_again_as_it_was(tmp_path):
    path = tmp_path / "patients.csv"
    PATIENTS.to_csv(path, index=False)
    bundle = zoo.load_data(path, task="tabular/prediction", group_column="patient", **OPTIONS)
    again = read_table(**bundle.origin)
    assert all(torch.equal(again.groups[part], groups) for part, groups in bundle.groups.items())
    assert all(torch.equal(a, b) for a, b in zip(again.test.tensors, bundle.test.tensors, strict=True))
    rows, _ = read_rows([path], bundle.preprocessing)
    assert "patient" not in rows.columns
    whole = read_table(path, schema=bundle.preprocessing, group_column="patient", validation=0, test=0, show=False)
    assert len(whole.train) == 200


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (PATIENTS, {"group_column": "patent"}, DataError, "patent"),
        (PATIENTS, {"group_column": "patient", "time_column": "day"}, ValueError, "not by both"),
        (PATIENTS.assign(patient=[None, *["a"] * 199]), {"group_column": "patient"}, DataError, "the first row 0"),
        (PATIENTS.assign(patient="a"), {"group_column": "patient"}, DataError, "needs 3 groups at least; there are 1"),
        (PATIENTS.assign(day="soon"), {"time_column": "day"}, DataError, "'day'"),
        (PATIENTS.assign(day=[np.nan, *range(199)]), {"time_column": "day"}, DataError, "1 of 200 rows have no time"),
        (
            PATIENTS.assign(split=["train", "test"] * 100),
            {"group_column": "patient"},
            DataError,
            "into both train and test",
        ),
        (
            PATIENTS.assign(day=range(200), y=["ill", "well"] * 95 + ["dead"] * 10),
            {"time_column": "day"},
            DataError,
            "Every row of the class 'dead' is in test",
        ),
    ],
)
def test_faults_have_a_remedy(frame, options, error, message):
    with pytest.raises(error, match=message):
        table_bundle(frame, **OPTIONS, **options)


def test_rows_in_two_parts_are_told(tmp_path, caplog):
    """Fails if rows that only share what is not looked at, or what is rare, count as copies."""
    frame = PATIENTS.assign(split=["train"] * 150 + ["test"] * 50, code=[f"once {row}" for row in range(200)])
    frame.loc[199, ["x", "patient", "day", "y"]] = frame.loc[0, ["x", "patient", "day", "y"]]
    frame.loc[198, ["x", "patient", "day", "y", "code"]] = frame.loc[1, ["x", "patient", "day", "y", "code"]]
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    with caplog.at_level(logging.WARNING):
        bundle = zoo.load_data(path, task="tabular/prediction", target="y", categorical=["code"], validation=0)
    assert "1 row is in more than one part of the data (1 in both train and test)" in caplog.text
    (leak,) = find_leaks(bundle)
    assert [(part, row) for part, row, _ in leak.copies] == [("train", 1), ("test", 48)]
    with pytest.raises(DataError, match="Remove the copies"):
        zoo.load_data(path, task="tabular/prediction", target="y", categorical=["code"], validation=0, leaks="error")
    found = zoo.load_data(path, task="tabular/prediction", target="y", ignore=["code"], validation=0, leaks="ignore")
    assert len(find_leaks(found)) == 2
    assert len(find_leaks(folds(found, 3)[0])) == 2
