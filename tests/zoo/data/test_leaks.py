"""Leaks: what two parts hold is found, by content, and nothing else."""

import logging

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from zoo.data import Bundle, DatasetSource, balance, check_leaks, find_leaks, folds
from zoo.data.leaks import ENDS_BYTES, row_hashes, text_hashes
from zoo.errors import DataError, UnknownNameError

INPUTS = np.random.default_rng(0).integers(0, 3, size=(300, 1, 4, 5)).astype("uint8")


class Files(Dataset):
    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return torch.zeros(2), 0


def brute_force(parts):
    return {
        (one, a, two, b)
        for one in parts
        for two in parts
        if one < two
        for a, row in enumerate(parts[one])
        for b, other in enumerate(parts[two])
        if np.array_equal(row, other)
    }


@pytest.mark.parametrize("kind", ["arrays", "dataset", "balanced"])
def test_rows_of_two_parts_against_every_pair(kind):
    """Fails if copies within a part count, or one of a row's copies is left out."""
    inputs = INPUTS.copy()
    inputs[[200, 250]] = inputs[3]
    inputs[260] = inputs[205]
    inputs[7] = inputs[8]
    cut = {"train": inputs[:200], "validation": inputs[200:250], "test": inputs[250:]}
    targets = np.arange(300) % 2
    if kind == "dataset":
        parts = [TensorDataset(torch.from_numpy(part), torch.zeros(len(part)).long()) for part in cut.values()]
        bundle = Bundle(**dict(zip(cut, map(DatasetSource, parts), strict=True)), task="x", kind=None)
    else:
        bundle = Bundle.from_arrays(
            inputs[:200], targets[:200], validation=(inputs[200:250], targets[200:250]),
            test=(inputs[250:], targets[250:]),
        )  # fmt: skip
        bundle = balance(bundle, "oversample") if kind == "balanced" else bundle
    leaks = find_leaks(bundle)
    pairs = {
        (min(p, q), *((a, max(p, q), b) if p < q else (b, max(p, q), a)))
        for leak in leaks
        for p, a, _ in leak.copies
        for q, b, _ in leak.copies
        if p != q
    }
    assert pairs == brute_force(cut)
    assert [leak.parts for leak in leaks] == [("train", "validation", "test"), ("validation", "test")]
    assert str(leaks[0]) == "train row 3 = validation row 0 = test row 0"


def test_files_by_content(tmp_path, monkeypatch):
    """Fails if names are compared, copies within a part count, or a file is read whose size no other part has."""
    contents = {"a": b"same", "b": b"same", "c": b"some", "d": b"longer", "e": b"same", "f": b"twin", "g": b"twin"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in contents]
    bundle = Bundle(
        train=DatasetSource(Files([paths[0], *paths[4:]])), validation=DatasetSource(Files(paths[1:3])),
        test=DatasetSource(Files(paths[3:4])), task="x", kind=None,
    )  # fmt: skip
    opened = []
    import zoo.data.leaks as leaks

    hash_of = leaks._file_hash
    monkeypatch.setattr(leaks, "_file_hash", lambda path, size: opened.append(path) or hash_of(path, size))
    (leak,) = find_leaks(bundle)
    assert leak.copies == (("train", 0, paths[0]), ("train", 1, paths[4]), ("validation", 0, paths[1]))
    assert paths[3] not in opened
    cut = folds(Bundle(train=DatasetSource(Files(paths[:5])), task="x", kind=None), 2, seed=1)
    assert {copy[2] for leak in find_leaks(cut[0]) for copy in leak.copies} <= {paths[0], paths[1], paths[4]}


def test_large_files_are_told_apart_by_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.data.leaks.WHOLE_BYTES", 10)
    middle = np.random.default_rng(0).bytes(2 * ENDS_BYTES)
    contents = [middle + b"one", middle + b"one", middle + b"two"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    sources = [DatasetSource(Files([str(tmp_path / str(number))])) for number in range(3)]
    bundle = Bundle(train=sources[0], validation=sources[1], test=sources[2], task="x", kind=None)
    assert [leak.parts for leak in find_leaks(bundle)] == [("train", "validation")]


def test_hashes_tell_rows_apart():
    """Fails if the place of a number, or of an array, does not count, or padding hides a row's last bytes."""
    rows = np.array([[1, 2, 3], [3, 2, 1], [1, 2, 3], [1, 2, 4], [0, 0, 0], [0, 0, 1]], dtype=np.uint8)
    found = row_hashes([rows])
    assert found[0] == found[2]
    assert len(np.unique(found)) == 5
    swapped = row_hashes([rows[:, :1], rows[:, 1:2]])
    assert len(np.unique(swapped[:2])) == 2
    many = np.random.default_rng(0).integers(0, 2, size=(20_000, 24)).astype("float32")
    assert len(np.unique(row_hashes([many]))) == len(np.unique(many, axis=0))
    assert np.array_equal(row_hashes([many]), row_hashes([torch.from_numpy(many)]))
    assert text_hashes(["a", "b", "a"])[0] == text_hashes(["a"])[0] != text_hashes(["b"])[0]


def leaky():
    return Bundle.from_arrays(INPUTS[:5], [0, 1, 0, 1, 0], validation=(INPUTS[[1, 2]], [1, 0]))


def test_leaks_are_told_or_refused(caplog):
    with caplog.at_level(logging.WARNING):
        assert check_leaks(leaky()) is not None
    assert "2 rows are in more than one part of the data (2 in both train and validation)" in caplog.text
    assert "train row 1 = validation row 0" in caplog.text
    with pytest.raises(DataError, match='split by group, or allow them: leaks="warn"'):
        check_leaks(leaky(), "error")
    caplog.clear()
    check_leaks(leaky(), "ignore")
    check_leaks(Bundle.from_arrays(INPUTS[:200], np.arange(200) % 2, validation=0.0))
    assert not caplog.records
    with pytest.raises(UnknownNameError, match="Did you mean 'ignore'"):
        check_leaks(leaky(), "ignored")


def test_rows_that_nothing_is_known_of_are_left_out():
    class Own:
        def __len__(self):
            return 3

    assert find_leaks(Bundle(train=Own(), validation=Own(), task="x", kind=None)) == []
