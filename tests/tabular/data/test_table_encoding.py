"""Columns to numbers: by hand, against scikit-learn, on training rows alone, and after JSON."""

import json
import logging
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer

from tabular.data.encoding import encode, fit_scale, scaled
from tabular.data.reader import read_rows, table_bundle
from tabular.data.schema import TableSchema
from tabular.data.values import texts
from zoo.errors import DataError


def schema_of(frame, **options):
    options = {"target": "y", "validation": 0.0, "min_frequency": 1, "show": False, **options}
    return table_bundle(frame, **options).preprocessing


def frame_of(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame({**columns, "y": np.linspace(0, 1, count)})


def test_standard_by_hand():
    """Values 1, 2, 3, 6: fails if the median does not fill, the indicator is missing, or the deviation is of n - 1."""
    schema = schema_of(frame_of(x=[1.0, 2.0, 3.0, 6.0, None]), encoding="standard")
    filled = np.array([1, 2, 3, 6, 2.5])
    found = encode(pd.DataFrame({"x": [6.0, None]}), schema).continuous
    expected = [[(6 - filled.mean()) / filled.std(), 0], [(2.5 - filled.mean()) / filled.std(), 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_quantiles_are_those_of_scikit_learn_inside_the_range():
    """Fails if ranks are off by one, or the normal distribution is not the standard one."""
    values = np.random.default_rng(0).exponential(size=800)
    reference = QuantileTransformer(n_quantiles=800, output_distribution="normal").fit(values[:, None])
    scale = fit_scale(values, method="quantile")
    inner = np.quantile(values, np.linspace(0.01, 0.99, 300))
    expected = reference.transform(inner[:, None])[:, 0]
    np.testing.assert_allclose(scaled(inner, scale), expected, atol=1e-5)


def test_quantiles_of_equal_values_and_beyond_the_range():
    """Nine zeros and a one: fails if zeros take the lowest rank, order is lost, or new extremes are infinite."""
    scale = fit_scale(np.r_[np.zeros(90), np.arange(1, 11)], method="quantile")
    zero, one, ten, beyond = scaled(np.array([0.0, 1.0, 10.0, 1e9]), scale).tolist()
    assert zero == pytest.approx(-0.12, abs=0.02)  # the normal quantile of 0.45
    assert zero < one < ten <= beyond < 4
    assert scaled(np.array([-1e9]), scale)[0] == pytest.approx(-beyond, abs=1e-6)


def test_a_constant_number_is_harmless():
    """Fails if a column without spread is divided by 0."""
    for method in ("standard", "quantile", "min_max"):
        found = scaled(np.array([5.0, 7.0]), fit_scale(np.full(20, 5.0), method=method))
        assert np.isfinite(found).all()


def test_least_and_largest_are_those_of_scikit_learn():
    """Fails if a missing value, which takes the median, or a new one beyond the range is cut off."""
    values = np.random.default_rng(0).exponential(size=(200, 1))
    new = np.array([-3.0, 0.5, 99.0])
    expected = MinMaxScaler().fit(values).transform(new[:, None])[:, 0]
    scale = fit_scale(np.r_[values[:, 0], np.nan], method="min_max")
    np.testing.assert_allclose(scaled(new, scale), expected, rtol=1e-5)
    median = (np.median(values) - values.min()) / np.ptp(values)
    assert scaled(np.array([np.nan]), scale)[0] == pytest.approx(median, rel=1e-5)


@pytest.mark.parametrize("encoding", ["standard", "quantile", "min_max"])
def test_it_is_fitted_on_training_rows_alone(encoding):
    """Fails if a test row moves the mean, the quantiles, the median, the categories or the target's mean."""
    columns = {"x": np.arange(20.0), "c": ["a", "b"] * 10, "split": ["train"] * 15 + ["test"] * 5}
    frame = frame_of(**columns)
    changed = frame.copy()
    changed.loc[15:, ["x", "y"]] = 1e6
    changed.loc[15:, "c"] = "z"
    assert schema_of(frame, encoding=encoding) == schema_of(changed, encoding=encoding)


def test_categories_unknown_missing_and_rare():
    """Fails if an unseen category raises or is taken for another, or a rare one gets a number of its own."""
    schema = schema_of(frame_of(c=["a", "a", "b", "b", "rare", None]), min_frequency=2)
    assert schema.cardinalities == (4,)
    found = encode(pd.DataFrame({"c": ["a", "b", "rare", "new", None]}), schema).categories
    assert found[:, 0].tolist() == [2, 3, 0, 0, 1]


def test_texts_of_numbers_do_not_depend_on_their_type():
    """Fails if a gap, or a file of another type, makes "1" another category than "1.0"."""
    for values in ([1, 2, 1], [1.0, 2.0, 1.0], ["1", "2", "1"], ["1 ", "2", " 1"]):
        codes, names = texts(pd.Series(values, dtype=object))
        assert (codes.tolist(), names) == ([0, 1, 0], ["1", "2"])
    codes, names = texts(pd.Series([1, "1", None], dtype=object))
    assert (codes.tolist(), names) == ([0, 0, -1], ["1"])
    assert texts(pd.Series([0.25, True], dtype=object))[1] == ["0.25", "True"]
    with pytest.raises(DataError, match="ignore="):
        texts(pd.Series([[1], [2]], dtype=object, name="lists"))


def test_dates_by_hand():
    """29 February 2024, 18:00, a Thursday: fails if weeks start on Sunday, months at 0, or hours are lost."""
    frame = frame_of(d=["2024-02-29 18:00", "1970-01-01 00:00", "2023-12-31 06:00"] * 4)
    schema = schema_of(frame, encoding="standard")
    (column,) = schema.columns
    assert list(column.scales) == ["elapsed", "year", "day", "hour"]
    numbers = {part: column.scales[part] for part in column.scales}
    found = encode(frame[:2], schema)
    raw = [
        [value * scale.std + scale.mean for value, scale in zip(row, numbers.values(), strict=True)]
        for row in found.continuous.double().tolist()
    ]
    np.testing.assert_allclose(raw, [[19782.75, 2024, 29, 18], [0, 1970, 1, 0]], rtol=1e-4, atol=0.01)
    known = column.categories
    assert [known["month"][found.categories[0, 0] - 2], known["weekday"][found.categories[0, 1] - 2]] == [
        "2",
        "Thursday",
    ]
    assert [known["month"][found.categories[1, 0] - 2], known["weekday"][found.categories[1, 1] - 2]] == [
        "1",
        "Thursday",
    ]


def test_dates_without_times_and_with_gaps():
    """Fails if days get an hour, each part has an indicator of its own, or a gap has a weekday."""
    schema = schema_of(frame_of(d=["2024-02-29", None, "2023-12-31"] * 4))
    (column,) = schema.columns
    assert list(column.scales) == ["elapsed", "year", "day"]
    assert schema.num_continuous == 4
    found = encode(pd.DataFrame({"d": [None, "2024-02-29"]}), schema)
    assert found.continuous[:, 1].tolist() == [1, 0]
    assert found.categories[0].tolist() == [1, 1]


def test_the_way_dates_are_written_is_kept():
    """Fails if 03.04. is read as 4 March because the new file holds no day above 12."""
    schema = schema_of(frame_of(d=["31.12.2024", "03.04.2024"] * 5), encoding="standard")
    one = encode(pd.DataFrame({"d": ["03.04.2024"]}), schema).categories[0, 0].item()
    assert schema.columns[0].categories["month"][one - 2] == "4"
    with pytest.raises(DataError, match=r"'d' must hold dates like 31.12.2024.*'2024/03/04' in row 1"):
        encode(pd.DataFrame({"d": ["2024/03/04"]}), schema)


def test_infinite_values_count_as_missing(caplog):
    """Fails if infinity reaches the mean, or is dropped in silence."""
    schema = schema_of(frame_of(x=[1.0, 2.0, math.inf, 3.0]), encoding="standard")
    assert math.isfinite(schema.columns[0].scales[""].mean)
    assert "1 infinite values of 'x'" in caplog.text


def test_json_gives_the_same_encoding_back(people):
    """Fails if a number loses digits or a part of the schema is not kept."""
    schema = table_bundle(people, target="hired", show=False).preprocessing
    again = TableSchema.from_dict(json.loads(json.dumps(schema.as_dict())))
    assert again == schema
    for left, right in zip(encode(people, schema), encode(people, again), strict=True):
        assert torch.equal(left, right)


def test_inputs_of_each_column(people):
    """Fails if a column's numbers or categories are counted to its neighbour."""
    schema = table_bundle(people, target="hired", show=False).preprocessing
    assert schema.names == ("age", "city", "height", "joined", "wage")
    assert schema.inputs_of == (((0,), ()), ((), (0,)), ((1, 2), ()), ((3, 4, 5), (1, 2)), ((6,), ()))
    assert schema.num_continuous == 7
    assert schema.cardinalities == (6, 14, 9)


def test_a_table_that_does_not_fit_is_refused_by_column(people, people_csv, tmp_path, caplog):
    """Fails if a missing column is filled, one of another kind is coerced, or the file at fault is not named."""
    schema = table_bundle(people, target="hired", show=False).preprocessing
    path = tmp_path / "new.csv"
    people.drop(columns=["age", "joined"]).rename(columns={"height": "hight"}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"new\.csv lacks the columns 'age', 'height' \(is it 'hight'\?\), 'joined'"):
        read_rows([path], schema)
    people.assign(age="old").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"new\.csv: the column 'age' must hold numbers.*the first 'old' in row 1"):
        read_rows([people_csv, path], schema)
    people.assign(joined=5).to_csv(path, index=False)
    with pytest.raises(DataError, match="'joined' holds numbers, and dates are wanted"):
        read_rows([path], schema)
    people.assign(extra=1).drop(columns="hired").to_csv(path, index=False)
    with caplog.at_level(logging.WARNING):
        frame, names = read_rows([path, people_csv], schema)
    assert "does not know the columns extra" in caplog.text
    assert list(frame.columns) == list(schema.names)
    assert (names[0], names[300], len(frame)) == ("new.csv:2", "people.csv:2", 600)
    whole = encode(people, schema)
    for left, right in zip(encode(frame, schema), whole, strict=True):
        assert torch.equal(left[300:], right)


def test_columns_of_another_meaning_are_warned_of(people, caplog):
    """Fails if a category that training has never seen answers in silence, or a single new one is cried about."""
    schema = table_bundle(people, target="hired", show=False).preprocessing
    row = {"age": 40, "height": None, "joined": "2020-02-02", "wage": 2000.0}
    read_rows([json.dumps({**row, "city": "Oslo"}), json.dumps({**row, "city": None})], schema)
    table_bundle(people.replace({"city": {"Wien": "Graz"}}), schema=schema)
    assert not caplog.records
    read_rows([json.dumps({**row, "city": "oslo"})], schema)
    table_bundle(people.assign(city="x1"), schema=schema)
    assert "training has not seen 1 of 1 values of the column 'city', such as 'oslo'" in caplog.text
    assert "300 of 300 values of the column 'city', such as 'x1' (it has, for one, 'Bern')" in caplog.text


def test_rows_as_json(people):
    """Fails if text rows are read otherwise than files, or broken JSON ends as a traceback."""
    schema = table_bundle(people, target="hired", ignore=["wage"], show=False).preprocessing
    row = {"age": 40, "city": "Oslo", "height": None, "joined": "2020-02-02"}
    frame, names = read_rows([json.dumps(row)], schema)
    assert names == ["row 1"]
    for left, right in zip(encode(frame, schema), encode(pd.DataFrame([row]), schema), strict=True):
        assert torch.equal(left, right)
    with pytest.raises(DataError, match="no JSON object"):
        read_rows(['{"age": 40,'], schema)
    with pytest.raises(DataError, match="row 1 lacks the columns 'city', 'height', 'joined'"):
        read_rows(['{"age": 40}'], schema)
