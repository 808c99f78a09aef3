"""IDX files: read, written by hand in the test; damaged ones; and whole sets through the reader of classification."""

import gzip
import struct

import numpy as np
import pytest

from vision.data.folder import read_images
from vision.data.idx import find_idx, read_idx
from zoo.errors import DataError


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 5, 6)).astype(np.uint8)


@pytest.fixture
def write_set():
    """Writes a set of images and labels into a folder."""

    def write(folder, images, *, part="train", labels=None, prefix="", compress=True):
        folder.mkdir(exist_ok=True)
        labels = np.arange(len(images)) % 3 if labels is None else labels
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx_bytes(np.asarray(array))
            name = f"{prefix}{part}-{kind}-ubyte{'.gz' if compress else ''}"
            (folder / name).write_bytes(gzip.compress(data) if compress else data)
        return folder

    return write


@pytest.mark.parametrize("compress", [True, False])
def test_reads_what_was_written(tmp_path, images, compress):
    """Fails if the byte order or the order of the dimensions is mistaken."""
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(idx_bytes(images)) if compress else idx_bytes(images))
    np.testing.assert_array_equal(read_idx(path), images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "damaged"),
        (lambda data: data + b"x", "damaged"),
        (lambda data: data[:9], "damaged"),
        (lambda data: b"", "no IDX file"),
        (lambda data: b"\x89PNG" + data, "no IDX file"),
        (lambda data: data[:2] + b"\x0d" + data[3:], "0x0d"),
        (lambda data: data[:3] + b"\0", "no IDX file"),
        (lambda data: gzip.compress(data)[:-12], "cannot be read"),
        (lambda data: gzip.compress(data)[:20] + b"\0" * 20, "cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path, images, change, words):
    """Fails if a file that was cut off gives fewer images, or a traceback of NumPy's."""
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(idx_bytes(images)))
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_set_is_read_for_classification(tmp_path, images, write_set):
    """Fails if images and labels part ways, the test part is lost, or it is split off the training part besides."""
    folder = write_set(tmp_path / "set", images)
    write_set(folder, images[:4], part="t10k", labels=[2, 1, 0, 2], compress=False)
    bundle = read_images(folder, input_shape=(1, 6, 6), validation=0.25, test=0.5, augment="none")
    assert {part: len(source) for part, source in bundle.parts.items()} == {"train": 9, "validation": 3, "test": 4}
    assert bundle.classes == ("0", "1", "2")
    assert bundle.test.targets().tolist() == [2, 1, 0, 2]
    whole = read_images(folder, input_shape=(1, 6, 6), validation=0.0, augment="none")
    assert whole.train.targets().tolist() == [0, 1, 2] * 4
    np.testing.assert_array_equal(whole.train.tensors[0][:, 0], images)
    again = read_images(**bundle.origin)
    assert again.fingerprint == bundle.fingerprint


def test_another_set_of_names_for_the_same_files(tmp_path, images, write_set):
    """Fails if the prefix of EMNIST's files, or the dot in some copies of MNIST's, hides them."""
    parts = find_idx(write_set(tmp_path / "emnist", images, prefix="emnist-letters-"))
    assert list(parts) == ["train"]
    assert parts["train"].labels is not None
    (tmp_path / "dots").mkdir()
    (tmp_path / "dots" / "train-images.idx3-ubyte").write_bytes(idx_bytes(images))
    assert list(find_idx(tmp_path / "dots")) == ["train"]


def test_several_sets_in_one_folder(tmp_path, images, write_set):
    """Fails if the images of one set would get the labels of another."""
    folder = write_set(tmp_path / "sets", images, prefix="emnist-letters-")
    write_set(folder, images, prefix="emnist-digits-")
    with pytest.raises(DataError, match="emnist-digits, emnist-letters"):
        read_images(folder)


def test_no_training_part(tmp_path, images, write_set):
    folder = write_set(tmp_path / "set", images, part="t10k")
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        read_images(folder)


def test_labels_that_are_missing_or_too_few(tmp_path, images, write_set):
    """Fails if images are paired with what labels there are."""
    folder = write_set(tmp_path / "set", images)
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx_bytes(np.zeros(11))))
    with pytest.raises(DataError, match="12 images"):
        read_images(folder)
    labels.unlink()
    with pytest.raises(DataError, match="no labels"):
        read_images(folder)


def test_a_folder_of_classes_is_no_set(tmp_path):
    """Fails if every folder is taken for IDX files."""
    (tmp_path / "cat").mkdir()
    assert find_idx(tmp_path) == {}
    with pytest.raises(DataError, match="cannot be read"):
        find_idx(tmp_path / "nothing")
