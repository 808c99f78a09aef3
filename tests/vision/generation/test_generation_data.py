"""Images without labels: folders, parts, IDX files, arrays, sizes, channels, bad files."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from vision.generation.data import Mirror, read_images
from zoo.errors import DataError


def paint(path, *, size=(10, 12), value=None, seed=0):
    """A PNG of `size` (height, width); of one grey value, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape) if value is None else np.full(shape, value)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def arrays():
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)


@pytest.fixture
def npz(tmp_path, arrays):
    np.savez(tmp_path / "images.npz", images=arrays)
    return tmp_path / "images.npz"


def test_a_flat_folder_and_one_with_classes_are_the_same(tmp_path):
    """Fails if classes are asked for, or images in sub-folders are left out."""
    for index in range(6):
        paint(tmp_path / "flat" / f"{index}.png", seed=index)
        paint(tmp_path / "classes" / f"{index % 2}" / f"{index}.png", seed=index)
    (tmp_path / "flat" / "notes.txt").write_text("no image")
    paint(tmp_path / "flat" / ".hidden.png")
    bundles = [read_images(tmp_path / name, size=8, validation=0.0) for name in ("flat", "classes")]
    assert [len(bundle.train) for bundle in bundles] == [6, 6]
    rows = [sorted(bundle.train[row][0].sum().item() for row in range(6)) for bundle in bundles]
    assert rows[0] == rows[1]
    assert bundles[0].input_shape == (3, 8, 8)


def test_scale_and_square(tmp_path):
    """By hand: 0 is -1, 255 is 1, 102 is -0.2; the middle square of a wide image is taken."""
    for value in (0, 102, 255):
        paint(tmp_path / f"{value}.png", value=value)
    bundle = read_images(tmp_path, size=8, validation=0.0)
    means = sorted(bundle.train[row][0].mean().item() for row in range(3))
    assert means == pytest.approx([-1, -0.2, 1], abs=1e-6)
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    assert read_images(tmp_path, size=8, validation=0.0).train[0][0].mean() == 1


def test_parts_that_folders_name(tmp_path):
    """Fails if test images are trained on, or a share is split off although the part is there."""
    for part, number in (("train", 8), ("test", 3), ("val", 2)):
        for index in range(number):
            paint(tmp_path / part / f"{index}.png", value=index)
    bundle = read_images(tmp_path, size=8, validation=0.5, test=0.25)
    assert {part: len(source) for part, source in bundle.parts.items()} == {"train": 8, "validation": 2, "test": 3}


def test_shares_are_split_off_by_the_seed(npz):
    """Fails if parts overlap, or change from one reading to the next."""
    bundle = read_images(npz, validation=0.2, test=0.1, seed=3)
    parts = {part: {row.numpy().tobytes() for row in source.tensors[0]} for part, source in bundle.parts.items()}
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 14, "validation": 4, "test": 2}
    assert len(set.union(*parts.values())) == 20
    again, other = read_images(**bundle.origin), read_images(npz, validation=0.2, test=0.1, seed=4)
    assert again.fingerprint == bundle.fingerprint != other.fingerprint


def test_idx_files(tmp_path, arrays):
    header = struct.pack(">HBB3I", 0, 8, 3, *arrays.shape)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + arrays.tobytes()))
    header = struct.pack(">HBB3I", 0, 8, 3, 5, 8, 8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(header + arrays[:5].tobytes())
    bundle = read_images(tmp_path, input_shape=(3, 64, 64), validation=0.1)
    assert {part: len(source) for part, source in bundle.parts.items()} == {"train": 18, "validation": 2, "test": 5}
    assert bundle.input_shape == (1, 8, 8)
    np.testing.assert_allclose((bundle.test[0][0][0] + 1) * 127.5, arrays[0], atol=1e-3)


def test_arrays_with_parts(tmp_path, arrays):
    split = np.array(["train"] * 15 + ["Test"] * 5)
    np.savez(tmp_path / "x.npz", images=arrays[..., None], split=split)
    bundle = read_images(tmp_path / "x.npz", validation=0.2)
    assert {part: len(source) for part, source in bundle.parts.items()} == {"train": 12, "validation": 3, "test": 5}
    np.testing.assert_array_equal(bundle.test.tensors[0][:, 0], arrays[15:])


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ((4, 8, 8), {}, (1, 8, 8)),  # their own size, not the model's
        ((4, 8, 8), {"size": 16, "channels": 3}, (3, 16, 16)),
        ((4, 30, 30, 3), {}, (3, 64, 64)),  # no generator draws 30 pixels a side
        ((4, 8, 10, 3), {}, (3, 64, 64)),
        ((4, 28, 28, 3), {"channels": 1}, (1, 28, 28)),
    ],
)
def test_size_and_channels_of_arrays(tmp_path, shape, options, wanted):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    bundle = read_images(tmp_path / "x.npz", input_shape=(3, 64, 64), validation=0.0, **options)
    assert bundle.input_shape == tuple(bundle.train[0][0].shape) == wanted


def test_grey_is_weighted(tmp_path):
    """By hand: pure green of 200 is 0.587 * 200 = 117; fails if channels are averaged or the first is taken."""
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[..., 1] = 200
    np.savez(tmp_path / "x.npz", images=images)
    bundle = read_images(tmp_path / "x.npz", channels=1, validation=0.0)
    assert bundle.train.tensors[0].unique().tolist() == [117]


def test_mirror(npz):
    """Fails if validation images are mirrored too, or all are, or rows are swapped in place of columns."""
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    torch.testing.assert_close(
        Mirror()(images, torch.tensor([[0.2], [0.7]])), torch.stack([images[0].flip(2), images[1]])
    )
    bundle = read_images(npz, mirror=True, validation=0.5)
    plain = read_images(npz, validation=0.5)
    assert torch.equal(bundle.validation[0][0], plain.validation[0][0])
    (seen,) = next(bundle.train.batches(batch_size=10))
    (own,) = next(plain.train.batches(batch_size=10))
    swapped = [not torch.equal(one, two) for one, two in zip(seen, own, strict=True)]
    assert 0 < sum(swapped) < 10
    assert torch.equal(bundle.train.unaugmented()[0][0], own[0])


def test_bad_files(tmp_path):
    """Fails if one bad file stops all although it is to be skipped, or is skipped in silence."""
    for index in range(3):
        paint(tmp_path / f"{index}.png")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        read_images(tmp_path, size=8)
    bundle = read_images(tmp_path, size=8, validation=0.0, on_error="skip")
    assert len(bundle.train) == 3
    assert [file for file, _ in bundle.skipped] == [str(tmp_path / "bad.jpg")]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": np.zeros((2, 8, 8), np.uint8)}, "no array 'images'"),
        ({"images": np.zeros((2, 8, 8))}, "uint8"),
        ({"images": np.zeros((2, 8, 8, 2), np.uint8)}, "1 or 3"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "1 or 3"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "split": np.array(["train", "tset"])}, "tset"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "split": np.array(["train"])}, "1 names"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "split": np.array(["test", "test"])}, "to train on"),
    ],
)
def test_arrays_that_cannot_be(tmp_path, arrays, words):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=words):
        read_images(tmp_path / "x.npz")


def test_places_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "x.npz").write_bytes(b"no archive")
    for name, words in (("empty", "no images"), ("none", "nothing at"), ("x.png", "neither"), ("x.npz", "cannot be")):
        with pytest.raises(DataError, match=words):
            read_images(tmp_path / name)


def test_preprocessing_of_other_networks_is_refused(npz):
    """Fails if images scaled for a classifier reach a generator that draws in -1..1."""
    from zoo.records import ImagePreprocessing

    with pytest.raises(DataError, match=r"0\.5"):
        read_images(npz, preprocessing=ImagePreprocessing())
