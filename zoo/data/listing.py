"""Which labelled files a folder, a table or a pattern names, with the class and the part of each; none is opened here.

What kind of file is looked for, and what it is called in messages, the reader of a domain says by a `FileKind`.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest

# -- What people call the parts of their data, in lower case.
PARTS: Mapping[str, str] = MappingProxyType(
    {
        "train": TRAIN,
        "training": TRAIN,
        "val": VALIDATION,
        "valid": VALIDATION,
        "validation": VALIDATION,
        "dev": VALIDATION,
        "test": TEST,
        "testing": TEST,
    }
)
Entry = os.DirEntry[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """What a reader looks for.

    one, many:  its name in messages, "image" and "images".
    extensions: of its files, in lower case and with the point.
    layout:     a sentence that says what folders and files the reader understands.
    """

    one: str
    many: str
    extensions: frozenset[str]
    layout: str

    def fits(self, name: str) -> bool:
        """Whether a file is of this kind by its name."""
        return os.path.splitext(name)[1].lower() in self.extensions


@dataclass(frozen=True, slots=True)
class Record:
    """One file: its path, the name of its class, and its part; None where the part is still to be drawn.

    fields: what else its name or its line says of it, such as the speaker.
    """

    path: str
    label: str
    part: str | None
    fields: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Listing:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (file, reason).

    fields: names that each record's `fields` has.
    """

    records: list[Record] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    fields: tuple[str, ...] = ()


def list_folder(root: Path, kind: FileKind) -> Listing:
    """The files of a folder with a sub-folder per class, or of its train, validation and test folders.

    Raises: DataError if `root` is not readable, or holds no class folders.
    """
    listing = Listing()
    try:
        folders = _subfolders(root, kind, listing)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}.") from error
    if not folders:
        if listing.problems:
            raise DataError(f"{root} holds {kind.many} directly, such as {listing.problems[0][0]}. {kind.layout}")
        raise DataError(f"{root} holds no folders with {kind.many}. {kind.layout}")
    parts = {folder: PARTS.get(folder.name.lower()) for folder in folders}
    if TRAIN in parts.values() and all(parts.values()):
        for folder, part in parts.items():
            _list_classes(_checked_subfolders(folder, kind, listing), part, kind, listing)
    else:
        _list_classes(folders, None, kind, listing)
    if not listing.records:
        nested = next((f for f in folders if any(os.path.isdir(f / name) for name in _names(f))), None)
        if nested is not None and len(folders) == 1:
            raise DataError(f"{root} holds the single folder {nested.name}; pass {nested} if the classes are in it.")
        reasons = f" ({listing.problems[0][0]} {listing.problems[0][1]})" if listing.problems else ""
        raise DataError(f"{root} holds no {kind.many} in its class folders{reasons}. {kind.layout}")
    return listing


def list_pattern(root: Path, pattern: str, kind: FileKind) -> Listing:
    """The files of one folder whose names say their class.

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
        elif kind.fits(entry.name) and not entry.is_dir():
            listing.problems.append((entry.path, f"does not fit the pattern {pattern!r}"))
        else:
            listing.ignored.append((entry.path, f"is no {kind.one} by its name"))
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
    """The files that a CSV file names, one a line; paths are relative to the table.

    Raises: DataError if the table or a column is missing, or the table holds no lines.
    """
    columns, lines = _read_lines(table, needed=(path_column, label_column))
    listing = Listing(fields=tuple(name for name in columns if name not in (path_column, split_column)))
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


def _read_lines(table: Path, *, needed: tuple[str, ...]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The columns of a CSV file, and its rows by the place of each: "photos.csv, line 17"."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            for column in needed:
                if column not in columns:
                    raise DataError(f"{table} has no column {column!r}. {nearest(column, columns)}")
            lines = {f"{table}, line {reader.line_num}": row for row in reader}
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8: {error}") from error
    if not lines:
        raise DataError(f"{table} holds no lines under its header.")
    return columns, lines


def _subfolders(folder: Path, kind: FileKind, listing: Listing) -> list[Path]:
    """The folders in `folder`; what else lies there is noted in `listing`."""
    found = []
    for entry in _entries(folder):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            listing.ignored.append((entry.path, "is hidden"))
        elif entry.is_dir():
            found.append(folder / entry.name)
        elif kind.fits(entry.name):
            listing.problems.append((entry.path, "lies outside the class folders"))
        else:
            listing.ignored.append((entry.path, f"is no {kind.one} by its name"))
    return found


def _checked_subfolders(folder: Path, kind: FileKind, listing: Listing) -> list[Path]:
    try:
        return _subfolders(folder, kind, listing)
    except OSError as error:
        listing.problems.append((str(folder), f"cannot be read: {error.strerror or error}"))
        return []


def _list_classes(folders: list[Path], part: str | None, kind: FileKind, listing: Listing) -> None:
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
                reason = f"is a folder inside a class folder, whose {kind.many} are not read"
                listing.problems.append((entry.path, reason))
            elif kind.fits(entry.name):
                listing.records.append(Record(entry.path, folder.name, part))
            else:
                listing.ignored.append((entry.path, f"is no {kind.one} by its name"))
        if len(listing.records) == before:
            listing.problems.append((str(folder), f"is a class folder without {kind.many}"))


def _entries(folder: Path) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
