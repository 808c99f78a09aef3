"""Folders, tables and arrays of images as bundles; every fault names its file."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from vision.data.folder import read_images, read_inputs
from zoo.errors import DataError, UnknownNameError
from zoo.records import ImagePreprocessing

SMALL = ImagePreprocessing(size=(16, 16), resize=20)
CLASSES = ("cat", "dog", "owl")


def save_image(path, value, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 60, (*size, 3)) + value
    Image.fromarray(noise.astype(np.uint8)).save(path)


def fill(root, *, count=6, classes=CLASSES):
    for code, name in enumerate(classes):
        for number in range(count):
            save_image(root / name / f"{number}.{'png' if number % 2 else 'jpg'}", 60 * code + number)
    return root


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos")


def files(bundle, part):
    return [os.path.relpath(path, bundle.origin["path"]) for path in bundle.parts[part].dataset.paths]


def test_class_folders_become_a_bundle(photos):
    bundle = read_images(photos, preprocessing=SMALL, validation=1 / 3)
    assert bundle.task == "vision/classification"
    assert bundle.kind == "classification"
    assert bundle.classes == CLASSES
    assert bundle.input_shape == (3, 16, 16)
    assert bundle.preprocessing == SMALL
    assert bundle.skipped == ()
    assert bundle.train.targets().bincount().tolist() == [4, 4, 4]
    assert bundle.validation.targets().bincount().tolist() == [2, 2, 2]
    assert bundle.test is None
    assert not set(files(bundle, "train")) & set(files(bundle, "validation"))
    for part in bundle.parts:
        labels = [bundle.classes[code] for code in bundle.parts[part].targets()]
        assert labels == [os.path.dirname(file) for file in files(bundle, part)]
    inputs, targets = next(bundle.train.batches(batch_size=5, shuffle=True))
    assert inputs.shape == (5, 3, 16, 16)
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64


def test_evaluation_gives_what_read_inputs_gives(photos):
    bundle = read_images(photos, preprocessing=SMALL)
    paths = bundle.validation.dataset.paths
    assert torch.equal(next(bundle.validation.batches(batch_size=50))[0], read_inputs(paths, SMALL))
    assert read_inputs(paths[0], SMALL).shape == (1, 3, 16, 16)
    plain = next(bundle.train.unaugmented().batches(batch_size=50))[0]
    assert torch.equal(plain, read_inputs(bundle.train.dataset.paths, SMALL))
    with pytest.raises(DataError, match="no image files"):
        read_inputs([], SMALL)


def test_workers_change_nothing(photos):
    bundle = read_images(photos, preprocessing=SMALL)
    options = {"batch_size": 4, "shuffle": True, "seed": 3, "epoch": 1}
    here = list(bundle.train.batches(**options))
    there = list(bundle.train.batches(num_workers=2, **options))
    for (inputs, targets), (others, other_targets) in zip(here, there, strict=True):
        assert torch.equal(inputs, others)
        assert torch.equal(targets, other_targets)
    again = torch.cat([inputs for inputs, _ in bundle.train.batches(**{**options, "epoch": 2, "shuffle": False})])
    assert not any(torch.equal(row, other) for row in again for inputs, _ in here for other in inputs)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing"), ("train", "dev", None)])
def test_part_folders_are_recognised(tmp_path, names):
    for name, count in zip(names, (4, 2, 1), strict=True):
        if name:
            fill(tmp_path / name, count=count)
    bundle = read_images(tmp_path, preprocessing=SMALL)
    lengths = {name: len(source) for name, source in bundle.parts.items()}
    assert lengths == {"train": 12, "validation": 6} | ({"test": 3} if names[2] else {})


def test_a_missing_validation_folder_is_split_off_training(tmp_path):
    fill(tmp_path / "train", count=5)
    fill(tmp_path / "test", count=1)
    bundle = read_images(tmp_path, preprocessing=SMALL)
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 12, "validation": 3, "test": 3}


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, classes=("train", "car"))
    assert read_images(tmp_path, preprocessing=SMALL).classes == ("car", "train")


def test_the_origin_builds_the_same_bundle_and_the_fingerprint_notices_changes(photos):
    first = read_images(photos, preprocessing=SMALL, seed=4, test=0.2, augment="light")
    again = read_images(**json.loads(json.dumps(dict(first.origin))))
    assert again.fingerprint == first.fingerprint
    assert again.preprocessing == SMALL
    assert again.origin == first.origin
    for part in first.parts:
        assert files(first, part) == files(again, part)
    assert torch.equal(first.train[3][0], again.train[3][0])
    os.utime(photos / "cat" / "0.jpg", (0, 0))
    assert read_images(**first.origin).fingerprint == first.fingerprint
    prints = {first.fingerprint}
    save_image(photos / "cat" / "0.jpg", 7)
    prints.add(read_images(**first.origin).fingerprint)
    (photos / "dog" / "1.png").rename(photos / "owl" / "99.png")
    prints.add(read_images(**first.origin).fingerprint)
    (photos / "owl" / "99.png").unlink()
    prints.add(read_images(**first.origin).fingerprint)
    data = bytearray((photos / "cat" / "2.jpg").read_bytes())
    data[-20] ^= 1
    (photos / "cat" / "2.jpg").write_bytes(data)
    prints.add(read_images(**first.origin).fingerprint)
    assert len(prints) == 5


def write_table(root, header, rows):
    table = root / "table.csv"
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return table


def test_a_table_names_files_labels_and_parts(photos):
    rows = [
        f"{name}/{number}.jpg,{name},{part}"
        for name in CLASSES
        for number, part in ((0, "train"), (2, "Train"), (4, "val"))
    ]
    bundle = read_images(write_table(photos, "path,label,split", rows), preprocessing=SMALL)
    assert bundle.classes == CLASSES
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 6, "validation": 3}
    renamed = write_table(photos, "file,kind,part", rows)
    other = read_images(renamed, preprocessing=SMALL, path_column="file", label_column="kind", split_column="part")
    assert other.fingerprint == bundle.fingerprint
    assert read_images(**other.origin).fingerprint == bundle.fingerprint


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("path,lable", ["cat/0.jpg,cat"], "has no column 'label'. Did you mean 'lable'"),
        ("path,label", [], "no lines under its header"),
        ("path,label", ["cat/0.jpg,"], r"table.csv, line 2 has no label"),
        ("path,label", ["cat/0.jpg"], r"table.csv, line 2 has no label"),
        ("path,label", ["cat/0.jpg,cat", ",cat"], r"table.csv, line 3 has no path"),
        ("path,label,split", ["cat/0.jpg,cat,trian"], "has the split 'trian'"),
        ("path,label,split", ["cat/0.jpg,cat,train", "cat/2.jpg,cat,"], "filled in some lines"),
        ("path,label", ["cat/0.jpg,cat", "cat/../cat/0.jpg,dog"], "is named twice, by .* line 2 and .* line 3"),
        ("path,label", ["cat/77.jpg,cat"], r"77.jpg cannot be read: No such file"),
    ],
)
def test_faulty_tables_are_told(photos, header, rows, message):
    others = [f"{name}/{n}.png,{name}" + (",train" if "split" in header else "") for name in CLASSES for n in (1, 3)]
    with pytest.raises(DataError, match=message):
        read_images(write_table(photos, header, [*rows, *others] if rows else rows), preprocessing=SMALL)


def corrupt(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "file", "reason"),
    [
        (lambda p: (p / "cat/0.jpg").write_bytes(b""), "cat/0.jpg", "is empty"),
        (lambda p: (p / "cat/0.jpg").write_bytes(b"words"), "cat/0.jpg", "is not an image"),
        (lambda p: corrupt(p / "cat/0.jpg"), "cat/0.jpg", "cannot be decoded"),
        (lambda p: corrupt(p / "dog/1.png"), "dog/1.png", "cannot be decoded"),
        (lambda p: (p / "cat/gone.jpg").symlink_to(p / "nowhere.jpg"), "cat/gone.jpg", "No such file"),
        (lambda p: save_image(p / "ant/0.jpg", 3), "ant/0.jpg", "the only image of the class 'ant'"),
        (lambda p: (p / "void").mkdir(), "void", "class folder without images"),
        (lambda p: save_image(p / "cat/more/1.jpg", 3), "cat/more", "folder inside a class folder"),
        (lambda p: save_image(p / "stray.jpg", 3), "stray.jpg", "outside the class folders"),
    ],
)
def test_bad_files_raise_or_are_skipped_and_reported(photos, spoil, file, reason):
    """Fails if a bad file is passed over in silence, or skipping drops more than that file."""
    spoil(photos)
    with pytest.raises(DataError, match=f"{file} .*{reason}") as caught:
        read_images(photos, preprocessing=SMALL)
    assert 'on_error="skip"' in str(caught.value)
    bundle = read_images(photos, preprocessing=SMALL, on_error="skip")
    ((skipped, why),) = bundle.skipped
    assert os.path.relpath(skipped, photos) == file
    assert reason in why
    assert bundle.classes == CLASSES
    assert len(bundle.train) + len(bundle.validation) == 18 - (file in ("cat/0.jpg", "dog/1.png"))
    assert sum(len(targets) for _, targets in bundle.train.batches(batch_size=8)) == len(bundle.train)


def test_damage_within_a_file_is_found_when_reading_or_by_skipping(photos):
    """A whole-looking file is not decoded beforehand under "raise": the batch names it; "skip" decodes it."""
    path = photos / "cat" / "1.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    bundle = read_images(photos, preprocessing=SMALL, validation=0.0)
    with pytest.raises(DataError, match=r"cat/1.png cannot be decoded"):
        list(bundle.train.batches(batch_size=4))
    assert read_images(photos, preprocessing=SMALL, on_error="skip").skipped[0][0] == str(path)


def test_many_faults_are_counted(photos):
    for number in range(4):
        (photos / "cat" / f"{number}.{'png' if number % 2 else 'jpg'}").write_bytes(b"")
        (photos / "dog" / f"{number}.{'png' if number % 2 else 'jpg'}").write_bytes(b"")
    with pytest.raises(DataError, match=r"8 faults in the images(.|\n)*and 3 more"):
        read_images(photos, preprocessing=SMALL)


def test_hidden_and_other_files_are_reported_as_ignored(photos):
    (photos / ".DS_Store").write_bytes(b"x")
    (photos / "notes.txt").write_text("notes")
    (photos / "cat" / "Thumbs.db").write_bytes(b"x")
    (photos / "cat" / ".0.jpg").write_bytes(b"x")
    (photos / "__MACOSX").mkdir()
    bundle = read_images(photos, preprocessing=SMALL)
    reported = {os.path.relpath(file, photos): reason for file, reason in bundle.skipped}
    assert reported == {
        ".DS_Store": "is hidden",
        "notes.txt": "is no image by its name",
        "cat/Thumbs.db": "is no image by its name",
        "cat/.0.jpg": "is hidden",
        "__MACOSX": "is hidden",
    }
    assert len(bundle.train) + len(bundle.validation) == 18


def test_unusable_places_are_told(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="There is nothing at"):
        read_images(tmp_path / "none")
    with pytest.raises(DataError, match="holds no folders with images"):
        read_images(tmp_path)
    save_image(tmp_path / "flat" / "a.jpg", 1)
    with pytest.raises(DataError, match=r"flat holds images directly, such as .*a.jpg"):
        read_images(tmp_path / "flat")
    fill(tmp_path / "outer" / "inner", count=2)
    with pytest.raises(DataError, match=r"outer holds the single folder inner; pass .*inner"):
        read_images(tmp_path / "outer")
    (tmp_path / "voids" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images in its class folders"):
        read_images(tmp_path / "voids")
    fill(tmp_path / "single", classes=("cat",))
    with pytest.raises(DataError, match="train holds 'cat' only"):
        read_images(tmp_path / "single", preprocessing=SMALL)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(DataError, match="neither a folder nor"):
        read_images(tmp_path / "text.txt")

    scandir = os.scandir

    def refuse(path):
        if "inner" in str(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"inner cannot be read: Permission denied"):
        read_images(tmp_path / "outer" / "inner")
    fill(tmp_path / "mixed", classes=("cat", "inner", "owl"))
    with pytest.raises(DataError, match=r"mixed/inner cannot be read: Permission denied"):
        read_images(tmp_path / "mixed")


def test_a_class_missing_in_training_is_told(tmp_path):
    fill(tmp_path / "train", classes=("cat", "dog"))
    fill(tmp_path / "val")
    with pytest.raises(DataError, match="validation has the class 'owl', which is missing in train"):
        read_images(tmp_path, preprocessing=SMALL)


def test_given_classes_keep_their_order_and_unknown_ones_are_told(photos):
    names = ["owl", "cat", "dog", "emu"]
    bundle = read_images(photos, preprocessing=SMALL, classes=names, validation=0.0)
    assert bundle.classes == tuple(names)
    assert bundle.train.targets().bincount(minlength=4).tolist() == [6, 6, 6, 0]
    with pytest.raises(DataError, match=r"dog.*is of the class 'dog', which is not among"):
        read_images(photos, preprocessing=SMALL, classes=["cat", "owl"])
    skipped = read_images(photos, preprocessing=SMALL, classes=["cat", "owl"], on_error="skip")
    assert len(skipped.skipped) == 6


@pytest.mark.parametrize("wrong", [{"augment": "standart"}, {"on_error": "ignore"}])
def test_misspelt_options_raise(photos, wrong):
    with pytest.raises(UnknownNameError):
        read_images(photos, **wrong)


def test_impossible_shares_raise(photos):
    with pytest.raises(ValueError, match="leave rows to train"):
        read_images(photos, validation=0.6, test=0.4)


def save_npz(path, **changes):
    generator = np.random.default_rng(0)
    arrays = {
        "images": generator.integers(0, 256, (12, 10, 10), dtype=np.uint8),
        "labels": np.arange(12) % 3,
        "classes": np.array(CLASSES),
        "split": np.array(["train"] * 6 + ["val"] * 3 + ["test"] * 3),
    } | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_arrays_in_a_file_become_a_bundle_in_memory(tmp_path):
    path = save_npz(tmp_path / "data.npz")
    bundle = read_images(path, preprocessing=SMALL)
    assert bundle.classes == CLASSES
    assert bundle.task == "vision/classification"
    assert bundle.input_shape == (3, 16, 16)
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 6, "validation": 3, "test": 3}
    assert bundle.test.targets().tolist() == [0, 1, 2]
    inputs, _ = next(bundle.validation.batches(batch_size=3))
    assert inputs.shape == (3, 3, 16, 16)
    first, second = (next(bundle.train.batches(batch_size=6, epoch=epoch))[0] for epoch in (0, 1))
    assert not torch.equal(first, second)
    again = read_images(**json.loads(json.dumps(dict(bundle.origin))))
    assert again.fingerprint == bundle.fingerprint
    assert torch.equal(next(again.train.batches(batch_size=6))[0], first)
    save_npz(path, labels=(np.arange(12) + 1) % 3)
    assert read_images(path, preprocessing=SMALL).fingerprint != bundle.fingerprint


def test_arrays_may_be_coloured_named_by_strings_and_split_here(tmp_path):
    images = np.zeros((12, 8, 9, 3), np.uint8)
    path = save_npz(tmp_path / "a.npz", images=images, labels=np.array(CLASSES * 4), classes=None, split=None)
    bundle = read_images(path, preprocessing=SMALL, validation=0.25, augment="none")
    assert bundle.classes == CLASSES
    assert bundle.validation.targets().bincount().tolist() == [1, 1, 1]
    assert bundle.train.augment is None
    other = read_images(path, preprocessing=SMALL, classes=["owl", "dog", "cat"], validation=0.0)
    assert other.train.targets().tolist() == [2, 1, 0] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "holds no array 'images'"),
        ({"images": np.zeros((12, 8, 8), np.float32)}, r"must be uint8 .* got float32 \[12, 8, 8\]"),
        ({"images": np.zeros((12, 8, 8, 4), np.uint8)}, r"must be uint8"),
        ({"labels": np.arange(5)}, r"12 images but labels of the shape \[5\]"),
        ({"labels": np.zeros(12)}, "must be integers or strings, got float64"),
        ({"labels": np.full(12, 3)}, "run to 3, but it names 3 classes"),
        (
            {"labels": np.array([0, 0, 0, 0, 1, 1, 0, 1, 2, 0, 1, 0])},
            "validation has the class 'owl', which is missing",
        ),
        ({"split": np.array(["trian"] * 12)}, "holds 'trian'. Did you mean 'train'"),
        ({"split": np.array(["test"] * 12)}, "leaves no images to train on"),
        ({"split": np.arange(12)}, "one string an image"),
        ({"labels": np.array([object()] * 12)}, "cannot be read as an .npz file"),
    ],
)
def test_faulty_arrays_are_told(tmp_path, changes, message):
    path = save_npz(tmp_path / "data.npz", **changes)
    with pytest.raises(DataError, match=message) as caught:
        read_images(path, preprocessing=SMALL)
    assert "data.npz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x03\x04 and no more"])
def test_damaged_array_files_are_told(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"data.npz cannot be read"):
        read_images(tmp_path / "data.npz")
