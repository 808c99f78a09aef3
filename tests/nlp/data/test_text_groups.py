"""Texts dealt out by a column of groups."""

import pytest
import torch

from nlp.data.texts import read_texts
from zoo.data import folds
from zoo.errors import DataError


@pytest.fixture
def table(tmp_path):
    lines = ["text,label,author"]
    lines += [f"text number {row} of many,{'good' if row % 3 else 'bad'},author {row % 17}" for row in range(170)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(lines))
    return path


def authors(source):
    return {int(text.split()[2]) % 17 for text in source.texts}


def test_no_author_is_in_two_parts(table):
    bundle = read_texts(table, group_column="author", validation=0.2, test=0.2)
    held = [authors(source) for source in bundle.parts.values()]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    assert held[0] | held[1] | held[2] == set(range(17))
    again = read_texts(**bundle.origin)
    assert again.test.texts == bundle.test.texts
    assert all(torch.equal(again.groups[part], groups) for part, groups in bundle.groups.items())
    for fold in folds(bundle, 3, kind="group"):
        assert not authors(fold.train) & authors(fold.validation)


def test_without_a_column_there_are_no_groups(table):
    assert read_texts(table).groups == {}
    with pytest.raises(DataError, match="read them with group_column="):
        folds(read_texts(table), 3, kind="group")


def test_faults_are_named(table, tmp_path):
    with pytest.raises(DataError, match="has no column 'writer'"):
        read_texts(table, group_column="writer")
    path = tmp_path / "some.csv"
    path.write_text("text,label,author\none,a,x\ntwo,b,\n")
    with pytest.raises(DataError, match=r"some.csv, line 3 has no group in 'author'"):
        read_texts(path, group_column="author")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="group_column is for tables"):
        read_texts(tmp_path / "folder", group_column="author")
