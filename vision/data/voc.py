"""Pascal VOC annotations: an .xml for each image.

Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4; the development kit's format.
Pixels are counted from 1 there and a box holds its last row and column, so that xmin = 1, xmax = width is the whole
image; here that is x1 = 0, x2 = width.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from vision.data.box_listing import Box, BoxListing, Corners, ImageRecord
from vision.data.listing import EXTENSIONS
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest

ANNOTATION_FOLDERS = ("Annotations", "annotations", "Annotation", "labels", "")
IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "")
SETS = "ImageSets/Main"
# -- The lists that may be in ImageSets/Main, by part; trainval only where there is no train.
LISTS = {TRAIN: ("train.txt", "trainval.txt"), VALIDATION: ("val.txt", "valid.txt"), TEST: ("test.txt",)}


def is_voc(root: Path) -> bool:
    """Whether a folder holds .xml annotations where `list_voc` looks for them."""
    return any(
        os.path.isdir(root / name) and any(_suffix(file) == ".xml" for file in os.listdir(root / name))
        for name in ANNOTATION_FOLDERS
    )


def list_voc(root: Path) -> BoxListing:
    """The images and boxes of a Pascal VOC folder; no image is opened here.

    Raises: DataError if a list of ImageSets/Main cannot be read.
    """
    listing = BoxListing()
    annotations = _files(root, ANNOTATION_FOLDERS, {".xml"})
    images = _files(root, IMAGE_FOLDERS, EXTENSIONS)
    parts = _parts(root, annotations, listing)
    names = sorted(annotations) if parts is None else list(parts)
    for name in names:
        if name not in annotations:
            listing.problems.append((images.get(name, name), f"is in {SETS}, but there is no {name}.xml"))
            continue
        try:
            record = _read(annotations[name], images.get(name), None if parts is None else parts[name])
        except DataError as error:
            listing.problems.append((annotations[name], str(error)))
        else:
            listing.records.append(record)
    if parts is None:
        left = sorted(set(images) - set(annotations))
        listing.problems += [(images[name], f"has no annotation {name}.xml") for name in left]
    return listing


def _files(root: Path, folders: tuple[str, ...], suffixes: "frozenset[str] | set[str]") -> dict[str, str]:
    """Files by name without suffix, from the first of `folders` that holds any."""
    for folder in folders:
        place = root / folder
        if place.is_dir():
            found = {
                os.path.splitext(file)[0]: str(place / file)
                for file in sorted(os.listdir(place))
                if _suffix(file) in suffixes and not file.startswith(".")
            }
            if found:
                return found
    return {}


def _parts(root: Path, annotations: dict[str, str], listing: BoxListing) -> dict[str, str] | None:
    """The part of each name in ImageSets/Main, or None where there are no such lists."""
    folder = root / SETS
    lists = {part: next((folder / name for name in names if (folder / name).is_file()), None)
             for part, names in LISTS.items()}  # fmt: skip
    if lists[TRAIN] is None:
        if any(lists.values()):
            raise DataError(f"{folder} names a part, but none to train on: it has no {' or '.join(LISTS[TRAIN])}.")
        return None
    own = [part for part in (VALIDATION, TEST, TRAIN) if lists[part] is not None]
    parts: dict[str, str] = {}
    for part in own:
        file = lists[part]
        assert file is not None, "there is a list of this part"
        for name in _names(file):
            if parts.setdefault(name, part) != part and file.name != "trainval.txt":
                raise DataError(f"{file} names {name}, which is in the part {parts[name]!r} already.")
    left = sorted(set(annotations) - set(parts))
    listing.ignored += [(annotations[name], f"is in no list of {SETS}") for name in left]
    return {name: parts[name] for name in sorted(parts)}


def _names(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    return (line.split()[0] for line in lines if line.strip())


def _read(path: str, image: str | None, part: str | None) -> ImageRecord:
    """The record of one annotation file; a DataError says what is wrong with it, without its name."""
    try:
        top = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise DataError(f"is no XML: {error}") from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
    if image is None:
        named = top.findtext("filename") or "its name with .jpg, .png and so on"
        raise DataError(f"is of an image that is not there ({named})")
    boxes = tuple(_box(element, number) for number, element in enumerate(top.iter("object"), 1))
    size = None
    if top.find("size") is not None:
        height, width = (_number(top, f"size/{side}", "it") for side in ("height", "width"))
        size = (int(height), int(width)) if height and width else None  # some tools write 0 for unknown
    return ImageRecord(image, boxes, part, path, size)


def _box(element: ElementTree.Element, number: int) -> Box:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise DataError(f"has no <name> in object {number}")
    where = f"object {number} ({label})"
    x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}", where) for corner in ("xmin", "ymin", "xmax", "ymax"))
    corners: Corners = (x1 - 1, y1 - 1, x2, y2)
    if x2 <= x1 or y2 <= y1:  # the single pixel that this is by the letter of the format is a slip of the hand
        corners = (x1, y1, x2, y2)
    return Box(label, corners, difficult=(element.findtext("difficult") or "0").strip() == "1")


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    text = element.findtext(path)
    if text is None:
        tags = [child.tag for child in element.iter()]
        raise DataError(f"has no <{path.replace('/', '><')}> in {where}. {nearest(path.split('/')[-1], tags)}")
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"has {text.strip()!r} for <{path.split('/')[-1]}> in {where}; a number is needed") from error


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()
