"""Which sound files a folder, a table or a pattern names, with the class, the part and the group of each."""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest

EXTENSIONS = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"))
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
LAYOUT = (
    "Expected one sub-folder per class, or train/ and val/ with class folders in them, or a .csv file, or files whose "
    'names say their class and pattern="{label}_{speaker}_{index}.wav".'
)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One sound file: its path, the name of its class, its part (None where that is still to be drawn).

    fields: what else its name or its line says of it, such as the speaker.
    """

    path: str
    label: str
    part: str | None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (file, reason).

    fields: names that each record's `fields` has.
    """

    records: list[Record] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    fields: tuple[str, ...] = ()


def list_folder(root: Path) -> Listing:
    """The sound files of a folder with a sub-folder per class, or of its train, validation and test folders.

    Raises: DataError if `root` is not readable, or holds no class folders.
    """
    listing = Listing()
    try:
        folders = _subfolders(root, listing)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}.") from error
    if not folders:
        what = f"sound files directly, such as {listing.problems[0][0]}" if listing.problems else "no folders of sounds"
        raise DataError(f"{root} holds {what}. {LAYOUT}")
    parts = {folder: PARTS.get(folder.name.lower()) for folder in folders}
    if TRAIN in parts.values() and all(parts.values()):
        for folder, part in parts.items():
            _list_classes(_readable_subfolders(folder, listing), part, listing)
    else:
        _list_classes(folders, None, listing)
    if not listing.records:
        reasons = f" ({listing.problems[0][0]} {listing.problems[0][1]})" if listing.problems else ""
        raise DataError(f"{root} holds no sound files in its class folders{reasons}. {LAYOUT}")
    return listing


def list_pattern(root: Path, pattern: str) -> Listing:
    """The sound files of one folder whose names say their class.

    pattern: a file name with fields in braces, "{label}_{speaker}_{index}.wav"; "{label}" must be one of them.
    Raises:  DataError for a pattern without a label, an unreadable folder, or one in which nothing fits.
    """
    expression, names = _expression(pattern)
    listing = Listing(fields=names)
    try:
        entries = list(_entries(root))
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}.") from error
    for entry in entries:
        found = expression.fullmatch(entry.name)
        if found and not entry.is_dir():
            listing.records.append(Record(entry.path, found["label"], None, found.groupdict()))
        elif _is_sound(entry.name) and not entry.is_dir():
            listing.problems.append((entry.path, f"does not fit the pattern {pattern!r}"))
        else:
            listing.ignored.append((entry.path, "is no sound file by its name"))
    if not listing.records:
        example = f", but {listing.problems[0][0]}" if listing.problems else ""
        raise DataError(f"{root} holds no file that fits {pattern!r}{example}.")
    return listing


def _expression(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A pattern with fields in braces as a regular expression, and the names of its fields."""
    pieces = re.split(r"\{(\w+)\}", pattern)
    names = tuple(pieces[1::2])
    if "label" not in names or len(set(names)) != len(names):
        raise DataError(
            f'The pattern {pattern!r} must have each field once and "{{label}}" among them, as '
            '"{label}_{speaker}_{index}.wav".'
        )
    parts = [re.escape(piece) if index % 2 == 0 else f"(?P<{piece}>.+?)" for index, piece in enumerate(pieces)]
    return re.compile("".join(parts)), names


def list_table(table: Path, *, path_column: str, label_column: str, split_column: str) -> Listing:
    """The sound files that a CSV file names, one a line; paths are relative to the file.

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
    listing.fields = tuple(column for column in columns if column not in (path_column, split_column))
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
            values = {column: (row[column] or "").strip() for column in listing.fields}
            listing.records.append(Record(path, label, PARTS[split] if split else None, values))
    if any(record.part for record in listing.records) and not all(record.part for record in listing.records):
        raise DataError(f"{table}: the column {split_column!r} is filled in some lines and empty in others.")
    return listing


def _subfolders(folder: Path, listing: Listing) -> list[Path]:
    """The folders in `folder`; what else lies there is noted in `listing`."""
    found = []
    for entry in _entries(folder):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            listing.ignored.append((entry.path, "is hidden"))
        elif entry.is_dir():
            found.append(folder / entry.name)
        elif _is_sound(entry.name):
            listing.problems.append((entry.path, "lies outside the class folders"))
        else:
            listing.ignored.append((entry.path, "is no sound file by its name"))
    return found


def _readable_subfolders(folder: Path, listing: Listing) -> list[Path]:
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
                listing.problems.append((entry.path, "is a folder inside a class folder, whose sounds are not read"))
            elif _is_sound(entry.name):
                listing.records.append(Record(entry.path, folder.name, part))
            else:
                listing.ignored.append((entry.path, "is no sound file by its name"))
        if len(listing.records) == before:
            listing.problems.append((str(folder), "is a class folder without sound files"))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _is_sound(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS
