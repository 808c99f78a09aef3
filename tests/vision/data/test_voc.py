"""Pascal VOC folders as bundles; every fault names its file."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vision.data.boxes import read_boxes, read_detector_inputs
from zoo.errors import DataError, UnknownNameError

GOOD = (("cat", (1, 1, 20, 30), 0), ("dog", (11, 6, 40, 32), 1))


def annotation(objects=GOOD, size=(40, 32)):
    parts = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        + "</bndbox></object>"
        for name, box, difficult in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{parts}</annotation>"


def save(folder, name, value=100, size=(40, 32), suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 50, 200)).save(folder / f"{name}{suffix}")


@pytest.fixture
def voc(tmp_path):
    """Six images: three to train, one to validate, two to test."""
    for number in range(6):
        save(tmp_path / "JPEGImages", f"im{number}", 40 * number)
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"im{number}.xml").write_text(annotation())
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for part, numbers in (("train", (0, 1, 2)), ("val", (3,)), ("test", (4, 5)), ("trainval", (0, 1, 2, 3))):
        (sets / f"{part}.txt").write_text("\n".join(f"im{number}" for number in numbers) + "\n")
    return tmp_path


def lengths(bundle):
    return {part: len(source) for part, source in bundle.parts.items()}


def test_a_folder_becomes_a_bundle(voc):
    """Fails if a box is a pixel off, the list trainval is read beside train, or classes start at 1."""
    bundle = read_boxes(voc, augment="none")
    assert lengths(bundle) == {"train": 3, "validation": 1, "test": 2}
    assert (bundle.classes, bundle.task, bundle.kind, bundle.skipped) == (("cat", "dog"), "vision/detection", None, ())
    image, target = bundle.train[1]
    assert image.shape == (3, 32, 40)
    assert target["boxes"].tolist() == [[0, 0, 20, 30], [10, 5, 40, 32]]
    assert target["labels"].tolist() == [0, 1]
    assert target["difficult"].tolist() == [False, True]
    assert target["iscrowd"].tolist() == [False, False]
    images, targets = next(bundle.train.batches(batch_size=3))
    assert [type(images), type(targets), len(images)] == [list, list, 3]
    assert images[0].dtype == torch.float32
    assert images[2][0].mean() == pytest.approx(80 / 255, abs=0.02)


def test_without_lists_parts_are_drawn(voc):
    for file in (voc / "ImageSets" / "Main").iterdir():
        file.unlink()
    bundle = read_boxes(voc, validation=1 / 3, test=1 / 6)
    assert lengths(bundle) == {"train": 3, "validation": 2, "test": 1}
    names = [record.path for source in bundle.parts.values() for record in source.dataset.records]
    assert len(set(names)) == 6
    other = read_boxes(voc, validation=1 / 3, test=1 / 6, seed=5)
    assert other.fingerprint != bundle.fingerprint


def test_images_beside_their_annotations(tmp_path):
    for number in range(4):
        save(tmp_path, f"a{number}", suffix=".png")
        (tmp_path / f"a{number}.xml").write_text(annotation())
    assert lengths(read_boxes(tmp_path, validation=0.25)) == {"train": 3, "validation": 1}


def test_a_part_that_is_not_named_is_drawn(voc):
    (voc / "ImageSets" / "Main" / "val.txt").unlink()
    bundle = read_boxes(voc, validation=1 / 3)
    assert lengths(bundle) == {"train": 2, "validation": 1, "test": 2}
    assert bundle.skipped == ((str(voc / "Annotations" / "im3.xml"), "is in no list of ImageSets/Main"),)


def test_the_origin_builds_the_same_bundle_and_the_fingerprint_notices_changes(voc):
    first = read_boxes(voc, seed=4)
    again = read_boxes(**json.loads(json.dumps(dict(first.origin))))
    assert again.fingerprint == first.fingerprint
    assert again.origin == first.origin
    assert torch.equal(first.train[2][0], again.train[2][0])
    prints = {first.fingerprint}
    file = voc / "Annotations" / "im1.xml"
    file.write_text(annotation([("cat", (1, 1, 20, 31), 0), GOOD[1]]))
    prints.add(read_boxes(voc).fingerprint)
    save(voc / "JPEGImages", "im2", 7)
    prints.add(read_boxes(voc).fingerprint)
    assert len(prints) == 3


BAD_BOXES = [
    ((5, 5, 5, 5), "[5, 5, 5, 5] without area"),
    ((9, 5, 3, 30), "without area"),
    ((1, 1, 90, 30), "[0, 0, 90, 30] that reaches out of its image of 40 x 32 pixels"),
    ((-8, 1, 20, 30), "reaches out of its image"),
    ((50, 1, 60, 30), "reaches out of its image"),
    ((1, 1, "nan", 30), "not finite"),
]


@pytest.mark.parametrize(("box", "words"), BAD_BOXES)
def test_boxes_that_cannot_be(voc, box, words):
    """Fails if such a box reaches the loss, or takes the good ones of its image with it when skipped."""
    file = voc / "Annotations" / "im1.xml"
    file.write_text(annotation([GOOD[0], ("dog", box, 0)]))
    with pytest.raises(DataError) as caught:
        read_boxes(voc)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert 'on_error="skip"' in str(caught.value)
    bundle = read_boxes(voc, on_error="skip", augment="none")
    assert [(path, words in reason) for path, reason in bundle.skipped] == [(str(file), True)]
    assert len(bundle.train[1][1]["boxes"]) == 1
    assert lengths(bundle)["train"] == 3


def test_a_pixel_over_the_edge_is_clipped(voc):
    (voc / "Annotations" / "im0.xml").write_text(annotation([("cat", (0, 0, 41, 33), 0)]))
    assert read_boxes(voc, augment="none").train[0][1]["boxes"].tolist() == [[0, 0, 40, 32]]


def break_file(voc, how):
    """Damages image or annotation 1; gives the name of the file that is to be blamed."""
    image, xml = voc / "JPEGImages" / "im1.jpg", voc / "Annotations" / "im1.xml"
    if how == "xml":
        xml.write_text("<annotation><object>")
    elif how == "no box":
        xml.write_text("<annotation><object><name>cat</name></object></annotation>")
    elif how == "no name":
        xml.write_text("<annotation><object></object></annotation>")
    elif how == "word":
        xml.write_text(annotation([("cat", ("one", 1, 20, 30), 0)]))
    elif how == "size":
        xml.write_text(annotation(size=(32, 40)))
    elif how == "no image":
        image.unlink()
    elif how == "no xml":
        xml.unlink()
        return "im1"
    elif how == "cut":
        image.write_bytes(image.read_bytes()[:200])
        return str(image)
    else:
        image.write_text("no picture")
        return str(image)
    return str(xml)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("xml", "is no XML"),
        ("no box", "has no <bndbox><xmin> in object 1 (cat)"),
        ("no name", "has no <name> in object 1"),
        ("word", "'one' for <xmin>"),
        ("size", "is 32 x 40 pixels; it is 40 x 32"),
        ("no image", "is of an image that is not there"),
        ("no xml", "there is no im1.xml"),
        ("cut", "im1.jpg"),
        ("text", "im1.jpg"),
    ],
)
def test_files_that_cannot_be_used(voc, how, words):
    """Fails if a bad file stops training hours later, or stops reading without its name."""
    blamed = break_file(voc, how)
    with pytest.raises(DataError) as caught:
        read_boxes(voc)
    assert words in str(caught.value)
    assert blamed in str(caught.value)
    bundle = read_boxes(voc, on_error="skip")
    assert lengths(bundle) == {"train": 2, "validation": 1, "test": 2}
    assert len(bundle.skipped) == 1


def test_an_error_lists_five_and_counts_the_rest(voc):
    for number in range(6):
        (voc / "Annotations" / f"im{number}.xml").write_text(annotation([("cat", (5, 5, 5, 9), 0)] * 2))
    with pytest.raises(DataError, match=r"12 faults(.|\n)*\.\.\. and 7 more"):
        read_boxes(voc)
    with pytest.raises(DataError, match="no box that could be used"):
        read_boxes(voc, on_error="skip")


def test_classes_that_were_asked_for(voc):
    bundle = read_boxes(voc, classes=("dog", "cat", "owl"), augment="none")
    assert bundle.classes == ("dog", "cat", "owl")
    assert bundle.train[0][1]["labels"].tolist() == [1, 0]
    with pytest.raises(DataError, match=r"box of cat .* not among those asked for"):
        read_boxes(voc, classes=("dog",))


@pytest.mark.parametrize("options", [{"augment": "lite"}, {"on_error": "skipp"}])
def test_options_that_do_not_exist(voc, options):
    with pytest.raises(UnknownNameError, match="Did you mean"):
        read_boxes(voc, **options)


def test_a_place_without_boxes(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="Pascal VOC folder"):
            read_boxes(path)


def test_images_turned_by_their_metadata_are_upright(tmp_path):
    """Fails if boxes are laid on the stored image, which a viewer turns by 90 degrees."""
    image = Image.fromarray(np.zeros((32, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    for number in range(2):
        image.save(tmp_path / f"t{number}.jpg", exif=exif)
        (tmp_path / f"t{number}.xml").write_text(annotation(size=(32, 40), objects=[("cat", (1, 1, 20, 40), 0)]))
    bundle = read_boxes(tmp_path, validation=0.5, augment="none")
    assert bundle.train[0][0].shape == (3, 40, 32)
    (tmp_path / "t0.xml").write_text(annotation(size=(40, 32)))
    with pytest.raises(DataError, match="EXIF orientation"):
        read_boxes(tmp_path)


def test_inputs_are_what_evaluation_sees(voc):
    bundle = read_boxes(voc)
    images, _ = next(bundle.test.batches(batch_size=2))
    read = read_detector_inputs([record.path for record in bundle.test.dataset.records])
    assert all(torch.equal(one, other) for one, other in zip(images, read, strict=True))
