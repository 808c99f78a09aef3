"""CSV, TSV and Parquet files to data frames of nullable columns, in which integers with gaps stay integers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
SUFFIXES = frozenset((*TEXT_SUFFIXES, ".parquet", ".brotli", *COMPRESSED))
LAYOUT = (
    "Expected a .csv, .tsv or .parquet file with a row of column names (.csv.gz and the like too), or a folder with "
    "train.csv and, if there are such, validation.csv and test.csv."
)
SPLIT_NAMES = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION,
    "dev": VALIDATION, "test": TEST,
}  # fmt: skip


def read_frame(path: Path, *, missing: Sequence[str] = ("?",)) -> "pd.DataFrame":
    """One file to a frame whose columns are of pandas' nullable types.

    missing: texts that stand for a missing value, beside the empty one and those that pandas knows ("NA", "null", ...).
    Raises:  DataError naming a file that cannot be read, has no rows, or two columns of one name.
    """
    import pandas as pd

    if not path.is_file():
        raise DataError(f"There is no file {path}. {LAYOUT}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if ".parquet" in suffixes:
            frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
        elif any(suffix in TEXT_SUFFIXES for suffix in suffixes):
            frame = pd.read_csv(
                path, sep=_separator(path), na_values=list(missing), skipinitialspace=True, encoding="utf-8-sig",
                dtype_backend="numpy_nullable", low_memory=False,
            )  # fmt: skip
        else:
            raise DataError(f"{path} is no table. {LAYOUT}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {str(error).strip()}") from error
    check_frame(frame, str(path))
    return frame


def read_parts(path: Path, *, missing: Sequence[str]) -> "tuple[pd.DataFrame, list[str] | None]":
    """A file, or a folder of train, validation and test files, to one frame and the part of each row, if known."""
    import pandas as pd

    if not path.is_dir():
        return read_frame(path, missing=missing), None
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        part = SPLIT_NAMES.get(file.name.partition(".")[0].lower())
        if part is None or file.suffix.lower() not in SUFFIXES:
            continue
        if part in found:
            raise DataError(f"{found[part]} and {file} both name the {part} part; keep one of them.")
        found[part] = file
    if TRAIN not in found:
        raise DataError(f"The folder {path} holds no train.csv or train.parquet. {LAYOUT}")
    frames = {part: read_frame(file, missing=missing) for part, file in found.items()}
    for part, frame in frames.items():
        lost = [name for name in frames[TRAIN].columns if name not in frame.columns]
        if lost:
            raise DataError(f"{found[part]} lacks the columns {', '.join(lost)} of {found[TRAIN]}.")
    parts = [part for part, frame in frames.items() for _ in range(len(frame))]
    joined = pd.concat([frame[frames[TRAIN].columns] for frame in frames.values()], ignore_index=True)
    return joined, parts


def check_frame(frame: "pd.DataFrame", name: str) -> None:
    """Raises DataError for a frame without rows, or with two columns of one name."""
    if not len(frame):
        raise DataError(f"{name} holds no rows. {LAYOUT}")
    names = [str(column) for column in frame.columns]
    double = sorted({column for column in names if names.count(column) > 1})
    if double:
        raise DataError(f"{name} has two columns called {double[0]!r}; rename one.")


def first_row(path: Path) -> int:
    """The number of the first row of a file, as an editor shows it: the line after the names, or 1 in Parquet."""
    return 1 if ".parquet" in (suffix.lower() for suffix in path.suffixes) else 2


def typed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A frame from memory with the types of its values where they are kept as objects; floats stay floats."""
    return frame.convert_dtypes(convert_integer=False, convert_floating=False)


def file_digest(path: Path) -> str:
    """SHA-256 over the content of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.name.encode() if path.is_dir() else b"")
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _separator(path: Path) -> str:
    """The separator that the row of names holds most of: comma, semicolon or tab."""
    import pandas as pd

    if ".tsv" in (suffix.lower() for suffix in path.suffixes):
        return "\t"
    with pd.io.common.get_handle(path, "r", encoding="utf-8-sig", compression="infer") as opened:
        header = opened.handle.readline()
    return max(",;\t", key=header.count)
