"""Which image files a folder or a table names, with the class and the part of each; no image is opened here."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
PARTS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
LAYOUT = "Expected one sub-folder per class, or train/ and val/ with class folders in them, or a .csv or .npz file."


@dataclass(frozen=True, slots=True)
class Record:
    """One image: its file, the name of its class, and its part; None where the part is still to be drawn."""

    path: str
    label: str
    part: str | None


@dataclass(slots=True)
class Listing:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (file, reason)."""

    records: list[Record] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)


def list_folder(root: Path) -> Listing:
    """The images of a folder with a sub-folder per class, or of its train, validation and test folders.

    Raises: DataError if `root` is not readable, or holds no class folders.
    """
    listing = Listing()
    try:
        folders = _subfolders(root, listing)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}.") from error
    if not folders:
        if listing.problems:
            raise DataError(f"{root} holds images directly, such as {listing.problems[0][0]}. {LAYOUT}")
        raise DataError(f"{root} holds no folders with images. {LAYOUT}")
    parts = {folder: PARTS.get(folder.name.lower()) for folder in folders}
    if TRAIN in parts.values() and all(parts.values()):
        for folder, part in parts.items():
            _list_classes(_checked_subfolders(folder, listing), part, listing)
    else:
        _list_classes(folders, None, listing)
    if not listing.records:
        nested = next((f for f in folders if any(os.path.isdir(f / name) for name in _names(f))), None)
        if nested is not None and len(folders) == 1:
            raise DataError(f"{root} holds the single folder {nested.name}; pass {nested} if the classes are in it.")
        reasons = f" ({listing.problems[0][0]} {listing.problems[0][1]})" if listing.problems else ""
        raise DataError(f"{root} holds no images in its class folders{reasons}. {LAYOUT}")
    return listing


def list_table(table: Path, *, path_column: str, label_column: str, split_column: str) -> Listing:
    """The images that a CSV file names, one a line; paths are relative to the file.

    Raises: DataError if the file or a column is missing, or the file holds no lines.
    """
    listing = Listing()
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            for column in (path_column, label_column):
                if column not in columns:
                    raise DataError(f"{table} has no column {column!r}. {nearest(column, columns)}")
            lines = {f"{table}, line {reader.line_num}": row for row in reader}
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8: {error}") from error
    if not lines:
        raise DataError(f"{table} holds no lines under its header.")
    first_line: dict[str, str] = {}
    for line, row in lines.items():
        name, label = (row[path_column] or "").strip(), (row[label_column] or "").strip()
        split = (row.get(split_column) or "").strip().lower()
        path = os.path.normpath(table.parent / name)
        if not name or not label:
            listing.problems.append((line, f"has no {path_column if not name else label_column}"))
        elif split and split not in PARTS:
            listing.problems.append((line, f"has the {split_column} {split!r}; known: train, validation, test"))
        elif path in first_line:
            listing.problems.append((path, f"is named twice, by {first_line[path]} and {line}"))
        else:
            first_line[path] = line
            listing.records.append(Record(path, label, PARTS[split] if split else None))
    if any(record.part for record in listing.records) and not all(record.part for record in listing.records):
        raise DataError(f"{table}: the column {split_column!r} is filled in some lines and empty in others.")
    return listing


def _subfolders(folder: Path, listing: Listing) -> list[Path]:
    """The folders in `folder`; what else lies there is noted in `listing`."""
    found = []
    for entry in _entries(folder):
        if entry.is_dir():
            found.append(folder / entry.name)
        elif entry.name.startswith("."):
            listing.ignored.append((entry.path, "is hidden"))
        elif _is_image(entry.name):
            listing.problems.append((entry.path, "lies outside the class folders"))
        else:
            listing.ignored.append((entry.path, "is no image by its name"))
    hidden = [path for path in found if path.name.startswith(".") or path.name == "__MACOSX"]
    listing.ignored.extend((str(path), "is hidden") for path in hidden)
    return [path for path in found if path not in hidden]


def _checked_subfolders(folder: Path, listing: Listing) -> list[Path]:
    try:
        return _subfolders(folder, listing)
    except OSError as error:
        listing.problems.append((str(folder), f"cannot be read: {error.strerror or error}"))
        return []


def _list_classes(folders: list[Path], part: str | None, listing: Listing) -> None:
    for folder in folders:
        before = len(listing.records)
        try:
            entries = list(_entries(folder))
        except OSError as error:
            listing.problems.append((str(folder), f"cannot be read: {error.strerror or error}"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                listing.ignored.append((entry.path, "is hidden"))
            elif entry.is_dir():
                listing.problems.append((entry.path, "is a folder inside a class folder, whose images are not read"))
            elif _is_image(entry.name):
                listing.records.append(Record(entry.path, folder.name, part))
            else:
                listing.ignored.append((entry.path, "is no image by its name"))
        if len(listing.records) == before:
            listing.problems.append((str(folder), "is a class folder without images"))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS
