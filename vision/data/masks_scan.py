"""A look at every image and mask before training begins: sizes, values, damage; and what the values stand for.

Shapes: H x W pixels, K classes.
"""

import hashlib
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vision.data.checks import inspect_files
from vision.data.masks_files import MaskCoding, Value, distinct, image_size, num_pages, read_values
from vision.data.masks_listing import Pair, Pairs, natural_order
from zoo.errors import DataError, nearest

BLACK_AND_WHITE = (0, 255)
LOSSY = (".jpg", ".jpeg")
MOST_VALUES = 1024  # distinct values of one mask beyond which it is taken for a photograph


@dataclass(frozen=True, slots=True)
class Scan:
    """What was seen of a pair.

    values:   in its mask; empty if each class has a file of its own.
    checksum: of the mask's pixels, and of the end of the image's file.
    fault:    why it cannot be used, or None.
    """

    pair: Pair
    values: tuple[Value, ...] = ()
    checksum: int = 0
    fault: str | None = None

    def misfit(self, coding: MaskCoding) -> str | None:
        """Why the mask does not fit the classes, or None."""
        if coding.values is None:
            named = {name for name, _ in self.pair.masks}
            strange = sorted(str(name) for name in named if name not in coding.classes)
            if strange:
                return (
                    f"has a mask of {strange[0]!r}, which is none of the classes. {nearest(strange[0], coding.classes)}"
                )
            return None
        known = {*coding.values, coding.ignored}
        unknown = [value for value in self.values if value not in known]
        if unknown:
            listed = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
            return (
                f"has a mask ({self.pair.masks[0][1]}) with the values {listed}, which stand for no class; known are "
                f"{', '.join(map(str, coding.values))} and {coding.ignored} to be ignored. Pass values= or ignored="
            )
        return None


def expand_pages(found: Pairs) -> list[Pair]:
    """The pairs, those of multi-page files one for each page; files with different numbers of pages are a problem."""
    pairs = []
    for pair in found.pairs:
        try:
            pages = [num_pages(path) for path in (pair.image, *(path for _, path in pair.masks))]
        except DataError as error:
            found.problems.append((pair.image, str(error).removeprefix(pair.image).strip()))
            continue
        if len(set(pages)) > 1:
            found.problems.append((pair.image, f"has {pages[0]} pages, and its mask {pages[1]}"))
        elif pages[0] == 1:
            pairs.append(pair)
        else:
            pairs += [replace(pair, page=page) for page in range(pages[0])]
    return pairs


def scan_pairs(pairs: Sequence[Pair]) -> list[Scan]:
    """Reads every mask, and the header and end of every image, in parallel."""
    files = list(dict.fromkeys(pair.image for pair in pairs if pair.page is None))
    inspections = dict(zip(files, inspect_files(files, decode=False), strict=True))

    def scan(pair: Pair) -> Scan:
        seen = inspections.get(pair.image)
        if seen is not None and seen.fault is not None:
            return Scan(pair, fault=seen.fault)
        try:
            found = _scan(pair)
        except DataError as error:
            return Scan(pair, fault=f"cannot be used: {error}")
        return found if seen is None else replace(found, checksum=zlib.crc32(str(seen).encode(), found.checksum))

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(scan, pairs))


def coding_of(
    scans: Sequence[Scan],
    *,
    classes: Sequence[str] | None,
    values: tuple[Value, ...] | None,
    ignored: Value | None,
    root: Path,
) -> MaskCoding:
    """What the pixels stand for: as given, else as found in the masks.

    Raises: DataError if there are fewer than two classes, or colours without `values`.
    """
    by_class = sorted(
        {str(name) for scan in scans for name, _ in scan.pair.masks if name is not None}, key=natural_order
    )
    coded = [scan for scan in scans if scan.pair.masks[0][0] is None]
    if by_class and coded:
        raise DataError(
            f"{root} holds masks of single classes ({', '.join(by_class[:4])}) and masks of all: "
            f"{coded[0].pair.masks[0][1]}. Keep one kind."
        )
    if by_class:
        return MaskCoding(None, tuple(classes) if classes is not None else ("background", *by_class), None)
    found = {value for scan in coded for value in scan.values}
    if values is None:
        blurred = [scan for scan in coded if scan.pair.masks[0][1].lower().endswith(LOSSY)]
        if blurred and not found <= set(BLACK_AND_WHITE):
            raise DataError(
                f"{blurred[0].pair.masks[0][1]} is a JPEG, which stores values inexactly: the masks in {root} hold "
                f"{len(found)} of them, and each would be a class. Save masks as PNG."
            )
        values = _found_values(found, classes, ignored, root)
        if ignored in values:
            ignored = None
    names = tuple(classes) if classes is not None else _names(values)
    if len(names) != len(values) or len(set(names)) != len(names):
        raise DataError(f"{len(values)} values need as many different classes, got {', '.join(names) or 'none'}.")
    if len(values) < 2:
        raise DataError(
            f"The masks in {root} hold {', '.join(map(str, sorted(found, key=str)))} only; two classes are needed."
        )
    return MaskCoding(values, names, ignored)


def fingerprint(root: Path, scans: Sequence[Scan]) -> str:
    """Changes with the names, images and masks."""
    rows = (
        f"{os.path.relpath(scan.pair.image, root)}|{scan.pair.page}|{scan.pair.part}|{scan.checksum}" for scan in scans
    )
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def _found_values(
    found: set[Value], classes: Sequence[str] | None, ignored: Value | None, root: Path
) -> tuple[Value, ...]:
    """The values of the classes where the user does not give them."""
    colours = sorted(value for value in found if isinstance(value, tuple))
    if colours:
        shown = ", ".join(map(str, colours[:8])) + (" ..." if len(colours) > 8 else "")
        raise DataError(
            f"The masks in {root} hold colours: {shown}. Say what they stand for: "
            "values=[[red, green, blue], ...], one for each of classes=[...]."
        )
    numbers = sorted(value for value in found if isinstance(value, int))
    if set(numbers) <= set(BLACK_AND_WHITE) and 255 in numbers and (classes is None or len(classes) == 2):
        return BLACK_AND_WHITE
    if classes is not None:
        return tuple(range(len(classes)))
    return tuple(value for value in numbers if value != ignored)


def _names(values: Sequence[Value]) -> tuple[str, ...]:
    if len(values) == 2 and values[0] == 0:
        return ("background", "foreground")
    return tuple("background" if value == 0 else str(value) for value in values)


def _scan(pair: Pair) -> Scan:
    size = image_size(pair)
    checksum = 0
    values: list[Value] = []
    for name, path in pair.masks:
        mask = read_values(path, page=pair.page)
        if mask.shape[:2] != size:
            raise DataError(
                f"the mask {path} has {mask.shape[0]} x {mask.shape[1]} pixels, the image {size[0]} x {size[1]}"
            )
        checksum = zlib.crc32(np.ascontiguousarray(mask).data, zlib.crc32(str(name).encode(), checksum))
        if name is None:
            values = distinct(mask)
            if len(values) > MOST_VALUES:
                raise DataError(f"the mask {path} holds {len(values):,} values; is it an image?")
    return Scan(pair, tuple(values), checksum)
