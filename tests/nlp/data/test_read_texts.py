"""Tables and folders of texts to bundles, and what is wrong with them by file and line."""

import csv
from pathlib import Path

import pandas as pd
import pytest
import torch

from nlp.data.inputs import read_input_texts
from nlp.data.texts import read_texts
from zoo.data import Bundle
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError

ROWS = [("good", "a good dress"), ("bad", "a bad\ndress")] * 10


def write_csv(path: Path, rows: list[tuple], header: tuple[str, ...] = ("label", "text")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def texts_of(bundle: Bundle) -> list[str]:
    return [text for source in bundle.parts.values() for text in source.texts]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_of_each_kind(tmp_path, suffix):
    """Fails if a kind of file loses rows, classes or the raw texts."""
    path = tmp_path / f"reviews{suffix}"
    if suffix == ".parquet":
        pd.DataFrame(ROWS, columns=["label", "text"]).to_parquet(path)
    else:
        write_csv(path, ROWS)
    bundle = read_texts(path, validation=0.2, test=0.2)
    assert bundle.classes == ("bad", "good")
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 12, "validation": 4, "test": 4}
    assert sorted(texts_of(bundle)) == sorted(text for _, text in ROWS)
    for source in bundle.parts.values():
        assert [("bad", "good")[code] in text for code, text in zip(source.targets(), source.texts, strict=True)]


def test_origin_gives_the_same_bundle_again(tmp_path):
    """Fails if an option is left out of the origin: the run's data would be others on resume."""
    path = write_csv(tmp_path / "r.csv", ROWS, header=("Sentiment", "Review Text"))
    options = {"tokenizer": "bpe", "tokenizer_options": {"vocab_size": 270}, "max_length": 4, "seed": 5, "test": 0.2}
    bundle = read_texts(path, **options)
    again = read_texts(**bundle.origin)
    assert again.fingerprint == bundle.fingerprint
    assert again.preprocessing.to_dict() == bundle.preprocessing.to_dict()
    assert torch.equal(again.train[3][0].ids, bundle.train[3][0].ids)
    assert read_texts(path, **{**options, "seed": 6}).fingerprint != bundle.fingerprint
    assert int(bundle.train.lengths.max()) == 4


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path):
    """Fails if words of the test part get numbers: results would look too good."""
    rows = [(label, text, "train") for label, text in ROWS] + [("good", "onlyhere", "test")]
    bundle = read_texts(write_csv(tmp_path / "r.csv", rows, header=("label", "text", "split")), validation=0.0)
    assert "onlyhere" not in bundle.preprocessing.tokenizer.vocabulary.numbers
    assert bundle.test[0][0].ids.tolist() == [1]
    assert bundle.validation is None


def test_faults_are_named_by_line(tmp_path):
    """Fails if a text over two lines shifts the numbers, or a fault passes in silence."""
    path = write_csv(tmp_path / "r.csv", [*ROWS[:2], ("good", " "), ("", "no label"), *ROWS])
    with pytest.raises(DataError, match="2 faults") as caught:
        read_texts(path)
    assert f"{path}, line 5 has no text in 'text'" in str(caught.value)
    assert f"{path}, line 6 has no label in 'label'" in str(caught.value)
    bundle = read_texts(path, on_error="skip")
    assert [place for place, _ in bundle.skipped] == [f"{path}, line 5", f"{path}, line 6"]
    assert len(texts_of(bundle)) == 22


def test_missing_cells_of_parquet(tmp_path):
    """Fails if a gap becomes the text "None" or "nan", or makes floats of whole labels."""
    path = tmp_path / "r.parquet"
    frame = pd.DataFrame({"text": ["good dress", None, "bad", "worse"] * 5, "stars": [5, 4, None, 1] * 5})
    frame.to_parquet(path)
    bundle = read_texts(path, on_error="skip")
    assert bundle.classes == ("1", "5")
    assert len(texts_of(bundle)) == 10
    assert bundle.skipped[0] == (f"{path}, row 2", "has no text in 'text'")


def test_whole_numbers_are_classes_by_value_and_fractions_are_refused(tmp_path):
    """Fails if 10 comes before 2, or a value to regress becomes a class."""
    path = write_csv(tmp_path / "r.csv", [(number, "some text") for number in (10, 2, 1) * 4])
    assert read_texts(path).classes == ("1", "2", "10")
    path = write_csv(tmp_path / "f.csv", [(0.5, "some text"), (1.5, "more")] * 4)
    with pytest.raises(DataError, match=r"numbers with a point, such as 0\.5"):
        read_texts(path)


def test_columns_that_cannot_be_told(tmp_path):
    """Fails if a column is guessed where two would do."""
    path = write_csv(tmp_path / "r.csv", [("a", "b", "c")] * 4, header=("text", "review", "label"))
    with pytest.raises(DataError, match="text_column, as any of 'text', 'review'"):
        read_texts(path)
    with pytest.raises(DataError, match=r"no column 'reviw'\. Did you mean 'review'"):
        read_texts(path, text_column="reviw")
    path = write_csv(tmp_path / "n.csv", [("a", "b")] * 4, header=("text", "outcome"))
    with pytest.raises(DataError, match="Its columns: 'text', 'outcome'"):
        read_texts(path)
    with pytest.raises(DataError, match="no column 'part'"):
        read_texts(path, label_column="outcome", split_column="part")


def write_reviews(root: Path, parts: tuple[str, ...] = ("",), number: int = 5) -> Path:
    for part in parts:
        for label in ("neg", "pos"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for index in range(number):
                (folder / f"{index}.txt").write_text(f"{part} {label} film {index}")
    return root


def test_folders(tmp_path):
    bundle = read_texts(write_reviews(tmp_path / "plain"))
    assert bundle.classes == ("neg", "pos")
    assert (len(bundle.train), len(bundle.validation)) == (8, 2)


def test_imdb_layout(tmp_path):
    """Fails if the unlabelled reviews become a class, or the test folder is mixed in."""
    root = write_reviews(tmp_path / "aclImdb", ("train", "test"))
    (root / "train" / "unsup").mkdir()
    (root / "train" / "unsup" / "0.txt").write_text("no class")
    (root / "imdb.vocab").write_text("film")
    bundle = read_texts(root)
    assert bundle.classes == ("neg", "pos")
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 8, "validation": 2, "test": 10}
    assert all(text.startswith("test") for text in bundle.test.texts)
    assert (str(root / "train" / "unsup"), "holds texts without a class, by its name") in bundle.skipped


def test_bad_files_in_folders(tmp_path):
    root = write_reviews(tmp_path / "r")
    (root / "pos" / "empty.txt").write_text("  ")
    (root / "pos" / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(DataError, match="2 faults") as caught:
        read_texts(root)
    assert "empty.txt has no text" in str(caught.value)
    assert "latin.txt is not a text in UTF-8" in str(caught.value)
    assert len(texts_of(read_texts(root, on_error="skip"))) == 10


def test_classes_of_a_trained_model(tmp_path):
    """Fails if other data number their classes by themselves."""
    path = write_csv(tmp_path / "r.csv", ROWS)
    bundle = read_texts(path, classes=["unseen", "good", "bad"], validation=0.0)
    assert bundle.classes == ("unseen", "good", "bad")
    assert set(bundle.train.targets().tolist()) == {1, 2}
    with pytest.raises(DataError, match="'bad', which the model does not know"):
        read_texts(path, classes=["good", "badd"])


def test_texts_are_no_longer_than_the_model_allows(tmp_path):
    """Fails if a longer limit goes over that of the weights: the model has no positions for the rest."""
    path = write_csv(tmp_path / "r.csv", ROWS)
    record = {"tokenizer": "none", "max_length": 3}
    for wanted, expected in ((None, 3), (2, 2)):
        bundle = read_texts(path, preprocessing=record, tokenizer="whitespace", max_length=wanted)
        assert bundle.preprocessing.max_length == int(bundle.train.lengths.max()) == expected
    with pytest.raises(ValueError, match="built for 3 tokens"):
        read_texts(path, preprocessing=record, tokenizer="whitespace", max_length=4)


def test_wrong_arguments(tmp_path):
    path = write_csv(tmp_path / "r.csv", ROWS)
    with pytest.raises(UnknownNameError, match="tokenizer"):
        read_texts(path, tokenizer="word")
    with pytest.raises(UnknownArgumentError, match="min_frequency"):
        read_texts(path, tokenizer="whitespace", tokenizer_options={"min_freq": 2})
    with pytest.raises(ValueError, match="max_length"):
        read_texts(path, max_length=0)
    with pytest.raises(DataError, match="neither a folder nor a table"):
        read_texts(write_csv(tmp_path / "r.xls", ROWS))
    with pytest.raises(DataError, match="is for tables"):
        read_texts(write_reviews(tmp_path / "f"), text_column="text")
    (tmp_path / "c.csv").write_text("label,text\ngood,fine\nbad,not, quoted\n")
    with pytest.raises(DataError, match="line 3 has 3 cells for 2 columns"):
        read_texts(tmp_path / "c.csv")


def test_inputs_to_predict_for(tmp_path):
    """Fails if a sentence is taken for a file, or names do not say the line."""
    table = write_csv(tmp_path / "r.csv", [("good", "a\nb"), ("bad", "c")])
    lines = tmp_path / "lines.txt"
    lines.write_text("first\n\nthird\n")
    texts, names = read_input_texts(["I read r.csv", table, str(lines)])
    assert texts == ["I read r.csv", "a\nb", "c", "first", "third"]
    assert names == ["I read r.csv", "r.csv:2", "r.csv:4", "lines.txt:1", "lines.txt:3"]
    assert read_input_texts(["x" * 10_000])[0] == ["x" * 10_000]
    with pytest.raises(DataError, match=r"no file missing\.csv"):
        read_input_texts(["missing.csv"])
    with pytest.raises(DataError, match="is empty"):
        read_input_texts([" "])
