"""Labelled files in folders, tables and patterns, whatever kind of file a domain reads."""

from pathlib import Path

import pytest

from zoo.data.listing import FileKind, Record, list_folder, list_pattern, list_table
from zoo.errors import DataError

NOTES = FileKind(one="note", many="notes", extensions=frozenset((".note",)), layout="Expected folders of notes.")
COLUMNS = {"path_column": "path", "label_column": "label", "split_column": "split"}


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_class_folders(tmp_path):
    """Fails if a class or a file is lost, hidden ones are taken, or what is no data is called a fault."""
    root = write(
        tmp_path, "b/2.note", "a/1.NOTE", "a/readme.txt", ".git/x.note", "__MACOSX/y.note", "z.note", "a/in/3.note"
    )
    found = list_folder(root, NOTES)
    assert found.records == [Record(str(root / "a/1.NOTE"), "a", None), Record(str(root / "b/2.note"), "b", None)]
    assert [Path(path).name for path, _ in found.problems] == ["z.note", "in"]
    assert {Path(path).name for path, _ in found.ignored} == {".git", "__MACOSX", "readme.txt"}


def test_parts_by_the_names_of_folders(tmp_path):
    """Fails if "valid" or "dev" is taken for a class."""
    found = list_folder(write(tmp_path, "train/a/1.note", "dev/a/2.note", "Test/b/3.note"), NOTES)
    assert {(record.label, record.part) for record in found.records} == {
        ("a", "train"), ("a", "validation"), ("b", "test")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("1.note",), "holds notes directly"),
        (("a.txt",), "no folders with notes"),
        (("only/a/1.note",), "single folder only"),
        (("a/1.txt", "b/2.txt"), "no notes in its class folders"),
    ],
)
def test_folders_without_data_say_what_was_expected(tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        list_folder(write(tmp_path, *names), NOTES)


def test_names_of_files_say_the_class(tmp_path):
    """Fails if a field is lost, or a file that does not fit is taken without a word."""
    root = write(tmp_path, "cat_ann_1.note", "dog_bob_2.note", "odd.note", "x.txt")
    found = list_pattern(root, "{label}_{who}_{number}.note", NOTES)
    assert [(record.label, dict(record.fields)["who"]) for record in found.records] == [("cat", "ann"), ("dog", "bob")]
    assert found.fields == ("label", "who", "number")
    assert len(found.problems) == len(found.ignored) == 1
    with pytest.raises(DataError, match=r"\{label\}"):
        list_pattern(root, "{who}.note", NOTES)


def test_tables_name_files(tmp_path):
    """Fails if a line at fault is taken, its number is wrong, or columns beside path and split are lost."""
    table = tmp_path / "notes.csv"
    table.write_text(
        "path,label,split,who\n1.note,a,train,ann\n1.note,b,test,bob\n2.note,,train,\n3.note,b,sometimes,x\n"
    )
    found = list_table(table, **COLUMNS)
    assert [(record.part, dict(record.fields)) for record in found.records] == [("train", {"label": "a", "who": "ann"})]
    reasons = [reason for _, reason in found.problems]
    assert "line 2" in reasons[0]
    assert "line 3" in reasons[0]
    assert reasons[1:] == ["has no label", "has the split 'sometimes'; known: train, validation, test"]
    table.write_text("file,label\n1.note,a\n")
    with pytest.raises(DataError, match="no column 'path'"):
        list_table(table, **COLUMNS)
