"""COCO files as bundles; every fault names its file."""

import json

import pytest
from PIL import Image

from vision.data.boxes import read_boxes
from zoo.errors import DataError


def content(count=3, *, first=0, categories=((7, "dog"), (3, "cat"))):
    """Images of 40 x 30 with a dog in each, and a crowd of cats in the first."""
    images = [
        {"id": 100 + first + number, "file_name": f"p{first + number}.png", "width": 40, "height": 30}
        for number in range(count)
    ]
    boxes = [
        {"id": number, "image_id": image["id"], "category_id": 7, "bbox": [2.5, 3, 20, 10]}
        for number, image in enumerate(images)
    ]
    boxes.append({"id": 99, "image_id": images[0]["id"], "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1})
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }


def write(file, data, images):
    """The file, and its images in the folder `images`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    for image in data["images"]:
        Image.new("RGB", (40, 30)).save(images / image["file_name"])
    return file


def lengths(bundle):
    return {part: len(source) for part, source in bundle.parts.items()}


@pytest.mark.parametrize("place", ["", "images", "elsewhere"])
def test_one_file(tmp_path, place):
    """Fails if width and height are taken for corners, or numbers of categories for labels."""
    file = write(tmp_path / "boxes.json", content(4), tmp_path / place)
    options = {"images": tmp_path / "elsewhere"} if place == "elsewhere" else {}
    bundle = read_boxes(file, validation=0.25, augment="none", **options)
    assert lengths(bundle) == {"train": 3, "validation": 1}
    assert bundle.classes == ("cat", "dog")
    row = next(target for _, target in (bundle.train[i] for i in range(3)) if len(target["labels"]) == 1)
    assert row["boxes"].tolist() == [[2.5, 3, 22.5, 13]]
    assert row["labels"].tolist() == [1]
    crowds = [target["iscrowd"].tolist() for _, target in (source[i] for source in bundle.parts.values()
              for i in range(len(source)))]  # fmt: skip
    assert [False, True] in crowds
    again = read_boxes(**json.loads(json.dumps(dict(bundle.origin))))
    assert again.fingerprint == bundle.fingerprint


LAYOUTS = {
    "coco": ("annotations/instances_{}2017.json", "{}2017"),
    "nested": ("annotations/instances_{}2017.json", "images/{}2017"),
    "roboflow": ("{}/_annotations.coco.json", "{}"),
    "plain": ("{}.json", "images"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_for_each_part(tmp_path, layout):
    """Fails if a file's part or the folder of its images is not found."""
    file, images = LAYOUTS[layout]
    parts = ("train", "valid" if layout == "roboflow" else "val", "test")
    for number, part in enumerate(parts):
        write(tmp_path / file.format(part), content(3 - number, first=10 * number), tmp_path / images.format(part))
    bundle = read_boxes(tmp_path)
    assert lengths(bundle) == {"train": 3, "validation": 2, "test": 1}
    assert "p20.png" in bundle.test.dataset.records[0].path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [2, 3, 0, 10]}, "without area"),
        ({"bbox": [2, 3, 90, 10]}, "reaches out of its image of 40 x 30 pixels"),
        ({"bbox": [2, 3, 90]}, "four numbers"),
        ({"bbox": None}, "four numbers"),
        ({"category_id": 8}, "has the category 8 in annotation 1"),
        ({"image_id": 5}, "has the image 5 in annotation 1"),
    ],
)
def test_boxes_that_cannot_be(tmp_path, change, words):
    data = content()
    data["annotations"][1] |= change
    file = write(tmp_path / "boxes.json", data, tmp_path)
    with pytest.raises(DataError) as caught:
        read_boxes(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    bundle = read_boxes(file, on_error="skip", validation=0.0)
    assert [words in reason for _, reason in bundle.skipped] == [True]
    assert sorted(len(record.boxes) for record in bundle.train.dataset.records) == [0, 1, 2]


def test_images_that_are_not_there(tmp_path):
    file = write(tmp_path / "boxes.json", content(), tmp_path)
    (tmp_path / "p1.png").unlink()
    with pytest.raises(DataError, match=r"p1.png is named by .*boxes.json and is not there"):
        read_boxes(file)
    assert lengths(read_boxes(file, on_error="skip", validation=0.0)) == {"train": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "is no COCO file"),
        ('{"images": [], "annotations": []}', "categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "'file_name'"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
    ],
)
def test_files_that_are_none(tmp_path, text, words):
    file = tmp_path / "boxes.json"
    file.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_boxes(file)
    assert str(file) in str(caught.value)


def test_parts_must_have_the_same_classes(tmp_path):
    write(tmp_path / "train.json", content(), tmp_path / "images")
    write(tmp_path / "val.json", content(1, first=5, categories=((7, "dog"), (3, "owl"))), tmp_path / "images")
    with pytest.raises(DataError, match="owl"):
        read_boxes(tmp_path)


def test_two_files_of_one_part(tmp_path):
    write(tmp_path / "train.json", content(), tmp_path / "images")
    write(tmp_path / "train2.json", content(), tmp_path / "images")
    with pytest.raises(DataError, match="both of the part 'train'"):
        read_boxes(tmp_path)
