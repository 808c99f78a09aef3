"""Rows that are in two parts of the data: the same file, the same text, the same numbers.

A model is judged too well by rows that it was trained on. Only exact copies are found: a file is compared byte by byte
by its hash, an array by the numbers of its inputs. Files whose size no file of another part has are not opened.
Shapes: N rows.
"""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from zoo.data.bundle import Bundle
from zoo.errors import DataError, check_name

logger = logging.getLogger(__name__)

Leaks = Literal["warn", "error", "ignore"]
LEAKS = ("warn", "error", "ignore")
SHOWN = 3  # copies that a message names
WHOLE_BYTES = 64 << 20  # files up to this size are hashed whole
ENDS_BYTES = 1 << 20  # and of larger ones this much from the start and the end
CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Leak:
    """One content that several parts hold: (part, row, name) of each copy, a name being a file or "train row 5"."""

    copies: tuple[tuple[str, int, str], ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that hold it."""
        return tuple(dict.fromkeys(part for part, _, _ in self.copies))

    def __str__(self) -> str:
        return " = ".join(name for _, _, name in self.copies[:SHOWN]) + (" = ..." if len(self.copies) > SHOWN else "")


def find_leaks(bundle: Bundle) -> list[Leak]:
    """What more than one part of a bundle holds, in the order of the first copies' rows.

    Datasets of your own are compared if they have `paths`, the file of each row, or `identities()`, a number of each
    that is equal for equal rows; a part of which nothing can be told is left out.
    """
    files: dict[str, list[tuple[str, int]]] = {}
    numbers: dict[str, np.ndarray[Any, Any]] = {}
    for part, source in bundle.parts.items():
        paths = paths_of(getattr(source, "source", source))
        if paths is not None:
            files[part] = [(path, row) for row, path in enumerate(paths)]
            continue
        found = _identities(getattr(source, "source", source))
        if found is not None:
            numbers[part] = found
    leaks = [*_same_files(files), *_same_numbers(numbers)]
    order = {part: place for place, part in enumerate(bundle.parts)}
    return sorted(leaks, key=lambda leak: (order[leak.copies[0][0]], leak.copies[0][1]))


def check_leaks(bundle: Bundle, leaks: Leaks = "warn") -> Bundle:
    """The bundle itself, after rows that are in two of its parts were told.

    leaks:  "warn" logs a warning, "error" raises, "ignore" does not look.
    Raises: DataError that names the first copies, if asked for.
    """
    check_name("way to treat leaks", leaks, LEAKS)
    if leaks == "ignore" or len(bundle.parts) < 2:
        return bundle
    found = find_leaks(bundle)
    if not found:
        return bundle
    counts: dict[str, int] = defaultdict(int)
    for leak in found:
        counts[" and ".join(leak.parts)] += 1
    told = ", ".join(f"{count} in both {parts}" for parts, count in counts.items())
    examples = "; ".join(str(leak) for leak in found[:SHOWN])
    rows = "1 row is" if len(found) == 1 else f"{len(found)} rows are"
    message = f"{rows} in more than one part of the data ({told}), such as {examples}"
    if leaks == "error":
        raise DataError(f'{message}. Remove the copies, split by group, or allow them: leaks="warn".')
    logger.warning("%s: what is judged on them looks better than it is", message)
    return bundle


def paths_of(source: Any) -> list[str] | None:
    """The file of each row of a source; None where rows are not files."""
    dataset: Any = getattr(source, "dataset", None)
    rows: Sequence[int] | None = None
    while isinstance(dataset, Subset):
        rows = dataset.indices if rows is None else [dataset.indices[row] for row in rows]
        dataset = dataset.dataset
    paths = getattr(dataset, "paths", None)
    if paths is None or len(paths) != len(dataset):
        return None
    return [str(path) for path in (paths if rows is None else (paths[row] for row in rows))]


def row_hashes(arrays: Iterable[Tensor | np.ndarray]) -> np.ndarray[Any, Any]:
    """Arrays [N, ...] to one number for each row, uint64 [N], by all bytes of the row.

    Two rows that differ get the same number once in 2^64; SplitMix64's finaliser mixes each word with its place.
    """
    total: np.ndarray[Any, Any] | None = None
    for place, array in enumerate(arrays):
        rows = array.detach().cpu().contiguous().numpy() if isinstance(array, Tensor) else np.ascontiguousarray(array)
        found = _hashed(rows.reshape(len(rows), -1), place)
        total = found if total is None else total + found
    assert total is not None, "there is an array"
    return total


def text_hashes(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Texts to one number for each, uint64 [N]."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype=np.uint64)


def _identities(source: Any) -> np.ndarray[Any, Any] | None:
    own = getattr(source, "identities", None)
    if own is not None:
        found: np.ndarray[Any, Any] = own()
        return found
    dataset: Any = getattr(source, "dataset", None)
    rows: np.ndarray[Any, Any] | None = None
    while isinstance(dataset, Subset):
        rows = np.asarray(dataset.indices) if rows is None else np.asarray(dataset.indices)[rows]
        dataset = dataset.dataset
    if isinstance(dataset, TensorDataset):
        found = row_hashes(dataset.tensors[:-1] or dataset.tensors)
    elif hasattr(dataset, "identities"):
        found = dataset.identities()
    else:
        return None
    return found if rows is None else found[rows]


def _same_files(files: dict[str, list[tuple[str, int]]]) -> list[Leak]:
    by_size: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    for part, found in files.items():
        for path, row in found:
            by_size[os.path.getsize(path)].append((part, path, row))
    leaks = []
    for size, alike in by_size.items():
        if len({part for part, _, _ in alike}) < 2:
            continue
        by_content: dict[bytes, list[tuple[str, int, str]]] = defaultdict(list)
        for part, path, row in alike:
            by_content[_file_hash(path, size)].append((part, row, path))
        leaks += [Leak(tuple(same)) for same in by_content.values() if len({part for part, _, _ in same}) > 1]
    return leaks


def _file_hash(path: str, size: int) -> bytes:
    with open(path, "rb") as file:
        if size <= WHOLE_BYTES:
            return hashlib.blake2b(file.read(), digest_size=16).digest()
        digest = hashlib.blake2b(file.read(ENDS_BYTES), digest_size=16)
        file.seek(-ENDS_BYTES, os.SEEK_END)
        digest.update(file.read())
        return digest.digest()


def _same_numbers(numbers: dict[str, np.ndarray[Any, Any]]) -> list[Leak]:
    """Rows with the same number in more than one part; most have one in none, and are left out at once."""
    if len(numbers) < 2:
        return []
    everything = np.concatenate([np.unique(found) for found in numbers.values()])
    values, counts = np.unique(everything, return_counts=True)
    shared = values[counts > 1]
    copies: dict[int, list[tuple[str, int, str]]] = defaultdict(list)
    for part, found in numbers.items():
        for row in np.flatnonzero(np.isin(found, shared)).tolist() if len(shared) else ():
            copies[int(found[row])].append((part, row, f"{part} row {row}"))
    return [Leak(tuple(same)) for same in copies.values()]


def _hashed(rows: np.ndarray[Any, Any], place: int) -> np.ndarray[Any, Any]:
    """Rows [N, D] of one kind of number to uint64 [N]."""
    width = rows.shape[1] * rows.itemsize
    words = -(-width // 8)
    keys = np.random.default_rng((place, 1)).integers(1, 1 << 63, size=words, dtype=np.uint64) * np.uint64(2) + 1
    found = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), CHUNK_ROWS):
        part = rows[start : start + CHUNK_ROWS]
        padded = np.zeros((len(part), words * 8), dtype=np.uint8)
        padded[:, :width] = part.view(np.uint8).reshape(len(part), width)
        with np.errstate(over="ignore"):
            mixed = (padded.view(np.uint64) ^ keys) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * keys
            found[start : start + CHUNK_ROWS] = (mixed ^ (mixed >> np.uint64(31))).sum(1, dtype=np.uint64)
    return found
