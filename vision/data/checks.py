"""A quick look at every image file before training begins, so that a bad one does not stop it hours later."""

import io
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vision.data.jpeg import open_image
from zoo.errors import DataError

HEAD_BYTES = 64 * 1024  # holds the header of nearly all JPEGs
TAIL_BYTES = 4096
LARGEST_SHRINK = 100.0  # more than the decoder can do: the cheapest way to read all of a file
# What a whole file ends with: JPEG's end of image, PNG's last chunk.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}


@dataclass(frozen=True, slots=True)
class Inspection:
    """size: bytes. tail: checksum of the last 4 KB. fault: what is wrong with the file, or None."""

    size: int
    tail: int
    fault: str | None


def inspect_files(paths: Sequence[str], *, decode: bool) -> list[Inspection]:
    """Looks at image files in parallel: size, header, and whether the end is there.

    decode: reads all pixels of every file, at an eighth of the size; else only of those that look cut off.
    """
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(lambda path: _inspect(path, decode=decode), paths))


def _inspect(path: str, *, decode: bool) -> Inspection:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read()
    except OSError as error:
        return Inspection(0, 0, f"cannot be read: {error.strerror or error}")
    fault = None
    try:
        end = _ENDS.get(head[:2])
        if decode or (end is not None and end not in tail):
            open_image(path).decode(channels=3, shrink=LARGEST_SHRINK)
        elif not _has_jpeg_header(head):
            open_image(path)
    except DataError as error:
        fault = str(error).removeprefix(path).strip()
    return Inspection(size, zlib.crc32(tail), fault)


def _has_jpeg_header(head: bytes) -> bool:
    import simplejpeg

    try:
        simplejpeg.decode_jpeg_header(head)
    except ValueError:
        return False
    return True
