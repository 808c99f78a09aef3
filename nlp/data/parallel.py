"""Files of sentence pairs: two files line by line, a folder of such files by part, or a table with two columns."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest

OnError = Literal["raise", "skip"]
Column = str | int

LAYOUT = (
    "Expected a folder with train.SOURCE and train.TARGET (and val.*, test.*), such as train.de and train.en; or a "
    "file with target_path=, its lines in the other language; or a .tsv or .csv table with a column for each side."
)
TABLES = {".tsv": "\t", ".csv": ","}
STEMS = {TRAIN: ("train",), VALIDATION: ("val", "valid", "validation", "dev"), TEST: ("test",)}
SHOWN = 5  # faults that an error lists


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs in the order of their file, each with the number of its line, from 1."""

    file: Path
    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sources)

    def add(self, source: str, target: str, line: int) -> None:
        """One more pair."""
        self.sources.append(source)
        self.targets.append(target)
        self.lines.append(line)


@dataclass
class Faults:
    """What cannot be used of the files read, as (file:line, reason)."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, file: Path, line: int, reason: str) -> None:
        """One more."""
        self.found.append((f"{file}:{line}", reason))

    def check(self, on_error: OnError) -> tuple[tuple[str, str], ...]:
        """All of them, if they are to be skipped.

        Raises: DataError that lists the first ones, if they are not.
        """
        if self.found and on_error == "raise":
            listed = "\n".join(f"  {place}: {reason}" for place, reason in self.found[:SHOWN])
            more = f"\n  and {len(self.found) - SHOWN} more" if len(self.found) > SHOWN else ""
            raise DataError(
                f"{len(self.found)} pairs cannot be used:\n{listed}{more}\nMend them, or leave them out by "
                "on_error='skip'."
            )
        return tuple(self.found)


def list_pairs(
    path: Path, *, target_path: Path | None, source: Column | None, target: Column | None, faults: Faults
) -> dict[str, Pairs]:
    """The pairs of a folder by part, or those of files or a table as "train".

    source, target: endings of the files in a folder, or names or numbers (from 0) of the columns in a table.
    Raises: DataError for a layout that is none of these, files of unequal length, and text that is not UTF-8.
    """
    if target_path is not None:
        if path.is_dir() or source is not None or target is not None:
            raise DataError("target_path goes with a file of source lines, without source= and target=.")
        return {TRAIN: read_two_files(path, target_path, faults)}
    if path.is_dir():
        return _read_folder(path, source, target, faults)
    if is_table(path):
        return {TRAIN: read_table(path, source, target, faults)}
    raise DataError(f"{path} is one file that is no table. {LAYOUT}")


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return _suffix(path) in TABLES


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, which may be .gz, without their ends.

    Raises: DataError that names the file, and the line that is not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. {LAYOUT}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line} is not UTF-8: {error.reason}. Save the file in UTF-8.") from error
    lines = text.split("\n")  # splitlines would also split at characters that stand inside of sentences
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_two_files(source: Path, target: Path, faults: Faults) -> Pairs:
    """Line by line the pairs of two files; lines that are empty on one side only, or on both, are faults.

    Raises: DataError for unequal numbers of lines: no one can tell which one is missing.
    """
    left, right = read_lines(source), read_lines(target)
    if len(left) != len(right):
        raise DataError(
            f"{source} has {len(left)} lines and {target} has {len(right)}: from line {min(len(left), len(right)) + 1} "
            "on there is no pair, and the ones before may be shifted. Make the files line up."
        )
    pairs = Pairs(source)
    for line, texts in enumerate(zip(left, right, strict=True), 1):
        one, other = (text.strip() for text in texts)
        if one and other:
            pairs.add(one, other, line)
        else:
            empty = source if not one else target
            faults.add(empty, line, "the line is empty")
    return pairs


def read_table(path: Path, source: Column | None, target: Column | None, faults: Faults) -> Pairs:
    """The pairs of a .csv or .tsv table; one whose columns are named has a first line with the names.

    Raises: DataError for a column that is not there.
    """
    rows = _table_rows(path)
    columns: list[int] = []
    if isinstance(source, str) or isinstance(target, str):
        _, header = next(rows, (0, []))
        for column in (source, target):
            if not isinstance(column, str) or column not in header:
                hint = nearest(str(column), header)
                raise DataError(
                    f"{path} has no column {column!r}; give source= and target= by name, or both by number. {hint}"
                )
            columns.append(header.index(column))
    else:
        columns = [0 if source is None else source, 1 if target is None else target]
    pairs = Pairs(path)
    for line, row in rows:
        if len(row) <= max(columns):
            faults.add(path, line, f"{len(row)} columns, where {max(columns) + 1} are needed")
            continue
        one, other = (row[column].strip() for column in columns)
        if one and other:
            pairs.add(one, other, line)
        else:
            faults.add(path, line, f"the column of the {'target' if one else 'source'} is empty")
    return pairs


def _table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table with the numbers of their lines; quotes mean nothing in .tsv."""
    delimiter = TABLES[_suffix(path)]
    lines = read_lines(path)
    if delimiter == "\t":
        yield from ((number, line.split("\t")) for number, line in enumerate(lines, 1))
        return
    reader = csv.reader(f"{line}\n" for line in lines)
    for row in reader:
        yield reader.line_num, row


def _read_folder(folder: Path, source: Column | None, target: Column | None, faults: Faults) -> dict[str, Pairs]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    endings = sorted({_suffix(path)[1:] for path in files if _part(path) == TRAIN and _suffix(path)})
    if len(endings) == 2:
        rest = [ending for ending in endings if ending not in (source, target)]
        source = rest.pop(0) if source is None and rest else source
        target = rest.pop(0) if target is None and rest else target
    for name, ending in (("source", source), ("target", target)):
        if ending not in endings:
            found = ", ".join(f"train.{known}" for known in endings) or "none"
            wish = f"needs {name}=" if ending is None else f"has no train.{ending} for {name}={ending!r}"
            raise DataError(f"{folder} {wish}; files of the training part: {found}. {LAYOUT}")
    parts: dict[str, Pairs] = {}
    for name in (TRAIN, VALIDATION, TEST):
        sides = [
            [path for path in files if _part(path) == name and _suffix(path) == f".{side}"] for side in (source, target)
        ]
        if not any(sides):
            continue
        if any(len(side) != 1 for side in sides) or _stem(sides[0][0]) != _stem(sides[1][0]):
            found = ", ".join(path.name for side in sides for path in side)
            raise DataError(f"{folder} must have one file of each language for {name}; it has {found}.")
        parts[name] = read_two_files(sides[0][0], sides[1][0], faults)
    return parts


def _suffix(path: Path) -> str:
    """The ending before .gz: ".de" of "train.de.gz"."""
    return Path(path.name.removesuffix(".gz")).suffix


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _part(path: Path) -> str | None:
    """The part that a file's name begins with: "test_2016_flickr.de" is of the test part."""
    word = _stem(path).lower().replace("-", "_").replace(".", "_").split("_")[0]
    return next((name for name, stems in STEMS.items() if word in stems), None)
