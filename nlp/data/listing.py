"""The texts that a table or a folder holds, with the class and the part of each."""

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.data.listing import PARTS
from zoo.data.splits import TRAIN
from zoo.errors import DataError, nearest

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TABLES = (*SEPARATORS, ".parquet", ".parquet.brotli", ".parquet.gzip")
# -- Column names that say what they hold, without spaces and underscores.
TEXT_NAMES = ("text", "review", "reviewtext", "sentence", "content", "comment", "document", "body", "message", "tweet")
LABEL_NAMES = ("label", "class", "category", "target", "sentiment", "rating", "stars")
UNLABELLED = "unsup"  # IMDb's folder of reviews without a class
LAYOUT = "Expected a .csv, .tsv or .parquet file with a text and a label column, or a folder of class folders of .txt."


@dataclass(frozen=True, slots=True)
class Record:
    """One text: where it stands, its class, and its part; None where the part is still to be drawn.

    group: which texts belong together, such as their author; None where nothing says so.
    """

    place: str
    text: str
    label: str
    part: str | None
    group: str | None = None


@dataclass(slots=True)
class Listing:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (place, reason)."""

    records: list[Record] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    text_column: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a file, and its rows with the place of each, such as "reviews.csv, line 17"."""

    path: Path
    columns: list[str]
    rows: Sequence[tuple[str, Mapping[str, Any]]]


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return path.name.lower().endswith(TABLES)


def read_table(path: Path) -> Table:
    """A table from disk; cells that are empty or missing are None.

    Raises: DataError if it cannot be read, or has no rows.
    """
    suffix = path.suffix.lower()
    table = _read_separated(path, SEPARATORS[suffix]) if suffix in SEPARATORS else _read_parquet(path)
    if not table.rows:
        raise DataError(f"{path} holds no rows under its header.")
    return table


def list_table(
    path: Path,
    *,
    text_column: str | None,
    label_column: str | None,
    split_column: str | None,
    group_column: str | None = None,
) -> Listing:
    """The texts and labels of a table; columns that are None are found by their names, if that is plain.

    Raises: DataError naming the file, and a column that is missing or cannot be told.
    """
    table = read_table(path)
    texts = find_column(table, text_column, TEXT_NAMES, option="text_column")
    labels = find_column(table, label_column, LABEL_NAMES, option="label_column")
    if split_column is not None:
        find_column(table, split_column, (), option="split_column")
    if group_column is not None:
        find_column(table, group_column, (), option="group_column")
    split = split_column or ("split" if "split" in table.columns else None)
    _check_labels(table, labels)
    listing = Listing(text_column=texts)
    for place, row in table.rows:
        text, label = row[texts], row[labels]
        part = str(row[split] or "").strip().lower() if split else ""
        group = None if group_column is None or row[group_column] is None else str(row[group_column]).strip()
        if text is None or not str(text).strip():
            listing.problems.append((place, f"has no text in {texts!r}"))
        elif label is None or not str(label).strip():
            listing.problems.append((place, f"has no label in {labels!r}"))
        elif group_column is not None and not group:
            listing.problems.append((place, f"has no group in {group_column!r}"))
        elif split and part not in PARTS:
            listing.problems.append((place, f"has the {split} {part!r}; known: train, validation, test"))
        else:
            listing.records.append(Record(place, str(text), str(label).strip(), PARTS[part] if split else None, group))
    return listing


def find_column(table: Table, given: str | None, usual: Sequence[str], *, option: str) -> str:
    """The column called `given`, or if None the only one whose name is usual for what it holds.

    Raises: DataError naming the columns there are.
    """
    if given is not None:
        if given not in table.columns:
            raise DataError(f"{table.path} has no column {given!r}. {nearest(given, table.columns)}")
        return given
    found = [name for name in table.columns if name.lower().replace(" ", "").replace("_", "") in usual]
    if len(found) == 1:
        return found[0]
    several = f"any of {', '.join(map(repr, found))} might be it" if found else "none is named as is usual for it"
    raise DataError(
        f"{table.path}: say which column is the {option}, as {several}. Its columns: "
        f"{', '.join(map(repr, table.columns))}."
    )


def list_folder(root: Path) -> Listing:
    """The .txt files of a folder with a sub-folder per class, or of its train, validation and test folders.

    Raises: DataError if there are no class folders, or no texts in them.
    """
    listing = Listing()
    folders = _subfolders(root)
    parts = {folder: PARTS.get(folder.name.lower()) for folder in folders}
    if TRAIN in parts.values() and all(parts.values()):
        for folder, part in parts.items():
            _list_classes(_subfolders(folder), part, listing)
    else:
        _list_classes(folders, None, listing)
    if not listing.records and not listing.problems:
        raise DataError(f"{root} holds no .txt files in class folders. {LAYOUT}")
    return listing


def _subfolders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return [path for path in entries if path.is_dir() and not path.name.startswith((".", "__"))]


def _list_classes(folders: Iterable[Path], part: str | None, listing: Listing) -> None:
    for folder in folders:
        if folder.name == UNLABELLED:
            listing.ignored.append((str(folder), "holds texts without a class, by its name"))
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() != ".txt":
                listing.ignored.append((str(path), "is no .txt file"))
                continue
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                listing.problems.append((str(path), f"is not a text in UTF-8: {error}"))
                continue
            if text.strip():
                listing.records.append(Record(str(path), text, folder.name, part))
            else:
                listing.problems.append((str(path), "has no text"))


def _read_separated(path: Path, separator: str) -> Table:
    rows, line = [], 1
    try:
        with open(path, newline="", encoding="utf-8-sig") as file, _long_cells():
            reader = csv.reader(file, delimiter=separator, strict=True)
            columns = next(reader, [])
            line = reader.line_num + 1
            for cells in reader:
                if len(cells) > len(columns):
                    raise DataError(
                        f"{path}, line {line} has {len(cells)} cells for {len(columns)} columns: put a text that "
                        f"holds {separator!r} in double quotes."
                    )
                if cells:
                    padded = [cell if cell.strip() else None for cell in cells] + [None] * len(columns)
                    rows.append((f"{path}, line {line}", dict(zip(columns, padded, strict=False))))
                line = reader.line_num + 1
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not a table in UTF-8 separated by {separator!r}; from line {line} on: {error}"
        ) from error
    _check_columns(path, columns)
    return Table(path, columns, rows)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Inside, the csv module reads cells of any length; its own limit is 131,072 characters."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(path: Path) -> Table:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a Parquet file: {error}") from error
    columns = [str(name) for name in frame.columns]
    _check_columns(path, columns)
    values = {name: _cells(frame[name]) for name in frame.columns}
    rows = [
        (f"{path}, row {number}", dict(zip(columns, cells, strict=True)))
        for number, cells in enumerate(zip(*values.values(), strict=True), 1)
    ]
    return Table(path, columns, rows)


def _cells(column: Any) -> list[Any]:
    """The values of a pandas column; whole numbers that became floats through gaps are whole again."""
    missing = column.isna()
    if column.dtype.kind == "f" and (column[~missing] % 1 == 0).all() and missing.any():
        column = column.astype("Int64")
    return [None if gap else value for value, gap in zip(column.tolist(), missing.tolist(), strict=True)]


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}. Rename one.")


def _check_labels(table: Table, column: str) -> None:
    """Raises DataError for labels that are numbers with a fraction: they are values, not classes."""
    labels = [str(row[column]).strip() for _, row in table.rows if row[column] is not None]
    if labels and all(_is_number(label) for label in labels):
        odd = next((label for label in labels if not _is_whole(label)), None)
        if odd is not None:
            raise DataError(
                f"{table.path}: the labels in {column!r} are numbers with a point, such as {odd}, and each class "
                "needs a whole number or a name. Make classes of them (low, high), or name another label_column."
            )


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _is_whole(label: str) -> bool:
    return label.lstrip("+-").isdecimal()


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The different labels: whole numbers by value, names in alphabetical order."""
    names = sorted(set(labels))
    return tuple(sorted(names, key=int)) if all(_is_whole(name) for name in names) else tuple(names)


def display(place: str) -> str:
    """ "folder/reviews.csv, line 17" as "reviews.csv:17"."""
    path, _, number = place.rpartition(", ")
    return f"{os.path.basename(path)}:{number.split()[-1]}" if path else os.path.basename(place)
