"""Texts to predict for: as they are, or from files."""

from collections.abc import Sequence
from pathlib import Path

from nlp.data.listing import TABLES, TEXT_NAMES, display, find_column, is_table, read_table
from zoo.errors import DataError

SUFFIXES = frozenset((".txt", *TABLES))
SHOWN = 40  # characters of a text that stand for it


def read_input_texts(items: Sequence[str | Path], *, text_column: str | None = None) -> tuple[list[str], list[str]]:
    """Texts, and a name for each.

    items:       a text itself; a .txt file with a text a line; or a table with a column of texts.
    text_column: looked for first in tables.
    Raises:      DataError for a file that is missing or holds no text, naming the line.
    """
    texts: list[str] = []
    names: list[str] = []
    for item in items:
        path = _path_of(item)
        if path is None:
            found = [(short(str(item)), str(item))]
        elif is_table(path):
            found = _from_table(path, text_column)
        else:
            found = _from_lines(path)
        for name, text in found:
            if not text.strip():
                raise DataError(f"{name or 'The text given'} is empty: there is nothing to predict for.")
            names.append(name)
            texts.append(text)
    if not texts:
        raise DataError("There are no texts to predict for.")
    return texts, names


def short(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


def _path_of(item: str | Path) -> Path | None:
    """The file that `item` means, or None if it is a text."""
    name = str(item)
    is_file_name = name.lower().endswith(tuple(SUFFIXES)) and (isinstance(item, Path) or " " not in name)
    try:
        there = Path(name).is_file()
    except (OSError, ValueError):  # a text that no file can be called
        there = False
    if there and name.lower().endswith(tuple(SUFFIXES)):
        return Path(name)
    if isinstance(item, Path) or is_file_name:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"There is no file {name} of texts. Give a text, or a file that ends in {kinds}.")
    return None


def _from_lines(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a text in UTF-8: {error}") from error
    return [(f"{path.name}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def _from_table(path: Path, text_column: str | None) -> list[tuple[str, str]]:
    table = read_table(path)
    known = text_column if text_column in table.columns else None
    column = find_column(table, known, TEXT_NAMES, option="text_column")
    return [(display(place), str(row[column] or "")) for place, row in table.rows]
