"""What can be wrong with images and their boxes, found before training begins."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from vision.data.box_listing import Box, ImageRecord, Problem
from vision.data.checks import Inspection, inspect_files
from zoo.errors import nearest

TOLERANCE = 1.0  # pixels that a box may reach out of its image, as annotation tools count from 0 or 1; it is clipped
ROTATED = 5  # EXIF orientations from here on turn the image on its side


def checked_records(
    records: Sequence[ImageRecord], *, classes: Sequence[str] | None, decode: bool
) -> tuple[list[ImageRecord], list[Problem]]:
    """The records that can be used, with boxes that can be, and what was wrong with the others.

    classes: names that boxes may have; None allows any.
    decode:  whether to read all pixels of every image.
    """
    paths = [record.path for record in records]
    inspections = inspect_files(paths, decode=decode)
    usable = [path for path, found in zip(paths, inspections, strict=True) if found.fault is None]
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        sizes = dict(zip(usable, pool.map(image_size, usable), strict=True))
    kept: list[ImageRecord] = []
    problems: list[Problem] = []
    for record, inspection in zip(records, inspections, strict=True):
        found, faults = _checked(record, inspection, sizes.get(record.path), classes)
        problems += faults
        if found is not None:
            kept.append(found)
    return kept, problems


def image_size(path: str) -> tuple[int, int]:
    """Height and width of the upright image, pixels, from the head of a file that was found to be an image."""
    from PIL import Image

    from vision.data.jpeg import ORIENTATION

    with Image.open(path) as image:
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) >= ROTATED
        return (image.width, image.height) if turned else (image.height, image.width)


def _checked(
    record: ImageRecord, inspection: Inspection, size: tuple[int, int] | None, classes: Sequence[str] | None
) -> tuple[ImageRecord | None, list[Problem]]:
    if inspection.fault is not None or size is None:
        return None, [(record.path, inspection.fault or "cannot be read")]
    if record.size is not None and record.size != size:
        turned = " Its EXIF orientation turns it: save it upright." if record.size == size[::-1] else ""
        return None, [
            (
                record.source,
                f"says that {os.path.basename(record.path)} is {record.size[1]} x {record.size[0]} pixels; it is "
                f"{size[1]} x {size[0]}.{turned}",
            )
        ]
    problems: list[Problem] = []
    boxes: list[Box] = []
    for box in record.boxes:
        fault = _fault(box, size, classes)
        if fault is not None:
            problems.append((record.source, fault))
        else:
            boxes.append(_clipped(box, size))
    found = replace(record, boxes=tuple(boxes), size=size, check=(inspection.size, inspection.tail))
    return found, problems


def _fault(box: Box, size: tuple[int, int], classes: Sequence[str] | None) -> str | None:
    """What is wrong with a box, in words that follow the name of its file; None where nothing is."""
    x1, y1, x2, y2 = box.corners
    height, width = size
    shown = f"has a box of {box.label} [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
    if not all(abs(value) < float("inf") for value in box.corners):
        return f"{shown} that is not finite"
    if x2 <= x1 or y2 <= y1:
        return f"{shown} without area"
    outside = min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE
    corners = _clipped(box, size).corners
    if outside or corners[2] <= corners[0] or corners[3] <= corners[1]:
        return f"{shown} that reaches out of its image of {width} x {height} pixels"
    if classes is not None and box.label not in classes:
        return f"{shown}, whose class is not among those asked for. {nearest(box.label, classes)}"
    return None


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = box.corners
    corners = (max(0.0, x1), max(0.0, y1), min(float(size[1]), x2), min(float(size[0]), y2))
    return box if corners == box.corners else replace(box, corners=corners)
