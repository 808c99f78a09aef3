"""Tables from files and frames to bundles: formats, targets, parts, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from tabular.data.encoding import encode
from tabular.data.reader import read_rows, read_table, table_bundle
from tabular.data.source import TableBatch
from zoo.errors import DataError, UnknownNameError

TEXT = "n;size;kind\n1;2.5;a\n;3.5;b\n2;4.5;?\n3;5.5;a\n"


def frame_of(targets, **columns):
    count = len(targets)
    return pd.DataFrame({"x": np.arange(count) * 0.5, **columns, "y": targets})


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def same(left, right):
    return all(
        torch.equal(a, b)
        for part in left.parts
        for a, b in zip(left.parts[part].tensors, right.parts[part].tensors, strict=True)
    )


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "parquet", "semicolon", "bom"])
def test_every_form_of_a_table_reads_the_same(people, people_csv, tmp_path, form):
    """Fails if a separator, a compression or a byte-order mark changes what is read."""
    path = tmp_path / f"people.{form if '.' in form or form in ('tsv', 'parquet') else 'csv'}"
    if form == "parquet":
        people.to_parquet(path)
    elif form == "bom":
        people.to_csv(path, index=False, encoding="utf-8-sig")
    else:
        people.to_csv(path, index=False, sep={"tsv": "\t", "semicolon": ";"}.get(form, ","))
    options = {"target": "hired", "ignore": ["wage"], "show": False}
    assert same(read_table(path, **options), read_table(people_csv, **options))


def test_a_frame_reads_as_its_file(people, people_csv):
    """Fails if types that pandas gives a frame in memory lead to other kinds than those of a file."""
    options = {"target": "hired", "ignore": "wage", "show": False}
    assert same(table_bundle(people, **options), read_table(people_csv, **options))


def test_batches_hold_numbers_and_categories_beside_targets(people_csv):
    """Fails if columns of a row come from different rows, or a batch is not what `model(*inputs)` takes."""
    source = read_table(people_csv, target="hired", ignore=["wage"], show=False).train
    batches = list(source.batches(batch_size=64, shuffle=True, seed=1))
    assert isinstance(batches[0][0], TableBatch)
    assert batches[0][0].continuous.dtype == torch.float32
    assert batches[0][0].categories.dtype == torch.int64
    rows = torch.cat([torch.cat([t.continuous, t.categories, y[:, None]], 1) for t, y in batches])
    whole = torch.cat([source.table.continuous, source.table.categories, source.targets()[:, None]], 1)
    assert torch.equal(rows.sort(0).values, whole.sort(0).values)
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in whole.tolist()}
    inputs, target = source[3]
    assert torch.equal(inputs.continuous, source.table.continuous[3])
    assert target == source.targets()[3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n1,2,3\n", "cannot be read"),
    ],
)
def test_files_that_are_no_table(tmp_path, text, words):
    """Fails if pandas' own error reaches the user, or an empty table is trained on."""
    with pytest.raises(DataError, match=words):
        read_table(write(tmp_path / "bad.csv", text), target="a")


def test_other_files_are_refused_with_what_is_read(tmp_path):
    """Fails if a missing file, text in another encoding or a picture ends as a traceback."""
    with pytest.raises(DataError, match=r"no file .*Expected a \.csv"):
        read_table(tmp_path / "none.csv", target="a")
    (tmp_path / "latin.csv").write_bytes("a,b\nü,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_table(tmp_path / "latin.csv", target="b")
    (tmp_path / "cat.jpg").write_bytes(b"jpeg")
    with pytest.raises(DataError, match="no table"):
        read_table(tmp_path / "cat.jpg", target="a")


def test_the_target_is_never_guessed_by_its_place(people):
    """Fails if the last column is taken in silence, or an error does not list the columns."""
    with pytest.raises(DataError, match="row_id, age, city, height, joined, planet, hired, wage"):
        table_bundle(people)
    with pytest.raises(DataError, match="'label' and 'target' could be it"):
        table_bundle(frame_of([1.5, 2.5, 3.5], label=[1, 2, 3]).rename(columns={"y": "target"}))
    with pytest.raises(UnknownNameError, match="'hired'"):
        table_bundle(people, target="hird")
    assert table_bundle(frame_of(np.arange(9) + 0.5), show=False).preprocessing.target == "y"


@pytest.mark.parametrize(
    ("targets", "problem", "classes"),
    [
        ([10, 9, 2, 10, 9, 2], "auto", ("2", "9", "10")),
        (pd.array([1, 2, None, 1, 2, 1], dtype="Int64"), "auto", ("1", "2")),
        (["b", "a", "b", "a", "b", "a"], "auto", ("a", "b")),
        ([True, False, True, False, True, True], "auto", ("False", "True")),
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], "auto", None),
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], "classification", ("1", "2")),
        ([1, 2, 3, 4, 5, 6], "regression", None),
    ],
)
def test_what_is_predicted_follows_from_the_type_of_the_target(targets, problem, classes):
    """Fails if integers with gaps become floats and so values, or classes that are numbers are sorted as text."""
    bundle = table_bundle(frame_of(targets), target="y", problem=problem, validation=0.0, show=False)
    assert bundle.classes == classes
    assert bundle.kind == ("regression" if classes is None else "classification")
    assert bundle.train.targets().dtype == (torch.float32 if classes is None else torch.int64)


def test_classes_keep_the_order_that_is_asked_for():
    """Fails if the second class, whose scores the ROC curve is of, cannot be chosen."""
    frame = frame_of(["no", "yes", "no", "yes"])
    bundle = table_bundle(frame, classes=["yes", "no"], validation=0.0, show=False)
    assert bundle.train.targets().tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="'no', which is no class"):
        table_bundle(frame, classes=["yes", "nope"], validation=0.0)


def test_targets_that_cannot_be_used():
    """Fails if one class trains, or infinity reaches the loss."""
    with pytest.raises(DataError, match="always 'a'"):
        table_bundle(frame_of(["a"] * 5))
    with pytest.raises(DataError, match="not finite"):
        table_bundle(frame_of([1.0, float("inf"), 2.0, 3.0]))
    with pytest.raises(DataError, match="no value in any row"):
        table_bundle(frame_of([None, None]))


def test_rows_without_a_target_are_left_out_and_told(caplog):
    """Fails if they are dropped in silence, or counted as a class of their own."""
    bundle = table_bundle(frame_of(["a", None, "b", "a", None, "b"]), validation=0.0, show=False)
    assert len(bundle.train) == 4
    assert "2 of 6 rows have no target" in bundle.skipped[0][1]
    assert "2 of 6" in caplog.text


def test_a_column_of_parts_decides():
    """Fails if it is ignored, is taken for an input, or its rows are dealt anew."""
    parts = ["train"] * 6 + ["val"] * 2 + ["Test"] * 2
    frame = frame_of(np.arange(10) + 0.5, split=parts)
    bundle = table_bundle(frame, show=False)
    assert {part: source.targets().tolist() for part, source in bundle.parts.items()} == {
        "train": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "validation": [6.5, 7.5], "test": [8.5, 9.5],
    }  # fmt: skip
    assert bundle.preprocessing.names == ("x",)
    with pytest.raises(DataError, match="holds 'banana'"):
        table_bundle(frame.assign(split=["banana"] * 10))
    with pytest.raises(DataError, match="none is for train"):
        table_bundle(frame.assign(split=["test"] * 10))


def test_a_folder_of_parts(people, tmp_path):
    """Fails if test rows are trained on, or a part without a column is read on."""
    people[:200].to_csv(tmp_path / "train.csv", index=False)
    people[200:].to_parquet(tmp_path / "test.parquet")
    bundle = read_table(tmp_path, target="wage", validation=0.0, show=False)
    assert (len(bundle.train), len(bundle.test)) == (200, 100)
    np.testing.assert_allclose(bundle.test.targets().numpy(), people["wage"][200:].to_numpy(np.float32))
    people[200:].drop(columns="age").to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(DataError, match="lacks the columns age"):
        read_table(tmp_path, target="wage")


def test_classes_have_their_shares_in_every_part(people_csv):
    """Fails if the split is not stratified."""
    bundle = read_table(people_csv, target="hired", test=0.2, show=False)
    shares = [float(source.targets().double().mean()) for source in bundle.parts.values()]
    assert max(shares) - min(shares) < 0.02
    assert {part: len(source) for part, source in bundle.parts.items()} == {"train": 180, "validation": 60, "test": 60}


def test_the_origin_reads_the_same_again_and_the_fingerprint_tells_of_changes(people, tmp_path):
    """Fails if an option is not kept, is no JSON, or a changed value goes unnoticed."""
    path = tmp_path / "people.csv"
    people.to_csv(path, index=False)
    bundle = read_table(
        path, target="hired", ignore="wage, planet", categorical=["age"], encoding="standard", min_frequency=3,
        test=0.1, seed=5, show=False,
    )  # fmt: skip
    again = read_table(**json.loads(json.dumps(dict(bundle.origin))))
    assert same(again, bundle)
    assert (again.preprocessing, again.fingerprint) == (bundle.preprocessing, bundle.fingerprint)
    people.assign(age=people["age"] + 1).to_csv(path, index=False)
    assert read_table(**bundle.origin).fingerprint != bundle.fingerprint


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encoding": "minmax"}, UnknownNameError), ({"problem": "ranking"}, UnknownNameError),
        ({"min_frequency": 0}, ValueError), ({"categorical": ["agee"]}, UnknownNameError),
        ({"categorical": ["age"], "ignore": ["age"]}, ValueError), ({"ignore": ["hired"]}, DataError),
        ({"validation": 1.5}, ValueError),
    ],
)  # fmt: skip
def test_options_that_cannot_be(people_csv, options, error):
    """Fails if a misspelt column or choice is dropped in silence."""
    with pytest.raises(error):
        read_table(people_csv, target="hired", **options)


def test_integers_with_gaps_and_own_words_for_missing(tmp_path):
    """Fails if a gap turns "1" into "1.0", or "?" is a category."""
    path = write(tmp_path / "t.csv", TEXT)
    schema = read_table(
        path, target="size", categorical=["n"], min_frequency=1, validation=0.0, show=False
    ).preprocessing
    assert [column.categories[""] for column in schema.columns] == [("1", "2", "3"), ("a", "b")]
    schema = read_table(
        path, target="size", categorical=["n"], min_frequency=1, missing=[], validation=0.0, show=False
    ).preprocessing
    assert schema.columns[1].categories[""] == ("?", "a", "b")


def test_a_runs_own_words_for_missing_hold_for_new_files(tmp_path):
    """Fails if "-" is refused as a number, or is an unknown category, where training took it for missing."""
    text = "n,kind,y\n" + "\n".join(f"{'-' if i % 3 == 0 else i},{'-' if i % 4 == 0 else 'a'},{i}.5" for i in range(24))
    path = write(tmp_path / "t.csv", text)
    schema = read_table(path, target="y", missing="-", validation=0.0, show=False).preprocessing
    frame, _ = read_rows([path], schema)
    assert encode(frame, schema).categories[0].tolist() == [1]
    again = read_table(path, schema=schema, validation=0.0)
    assert torch.equal(again.train.table.continuous, encode(frame, schema).continuous)
