"""IDX files, the form of MNIST and its like: arrays of images and of labels, often compressed by gzip.

Source: LeCun's description of the format with the MNIST database, http://yann.lecun.com/exdb/mnist.
Differs from the paper: of the types of numbers only unsigned bytes, which all sets of images use.
Shapes: N images, H, W pixels.
"""

import gzip
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.data.augment import ImageChanges
from vision.data.transforms import FitArrays
from zoo.data import Bundle
from zoo.data.splits import TEST, TRAIN
from zoo.errors import DataError
from zoo.records import ImagePreprocessing

UNSIGNED_BYTE = 0x08
GZIP = b"\x1f\x8b"
PARTS = {"train": TRAIN, "t10k": TEST, "test": TEST}
NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(?:\.gz)?")


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """The files of one part: images, and labels if there are any."""

    images: Path
    labels: Path | None


def read_idx(path: str | Path) -> np.ndarray:
    """The array of bytes in an IDX file, of any number of dimensions; gzip is seen by its first bytes.

    Raises: DataError naming the file if it cannot be read, is no such file, or is cut off.
    """
    try:
        data = Path(path).read_bytes()
        if data.startswith(GZIP):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or not data[3]:
        raise DataError(f"{path} is no IDX file: it begins with {data[:4].hex(' ') or 'nothing'}.")
    if data[2] != UNSIGNED_BYTE:
        raise DataError(f"{path} holds numbers of the type 0x{data[2]:02x}; only unsigned bytes (0x08) are read.")
    start = 4 * (1 + data[3])
    shape = tuple(np.frombuffer(data[4:start], dtype=">u4").tolist()) if len(data) >= start else ()
    size = math.prod(shape)
    if len(shape) != data[3] or len(data) - start != size:
        raise DataError(f"{path} is damaged: {list(shape)} numbers were announced, {len(data) - start} bytes came.")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def find_idx(folder: Path) -> dict[str, IdxFiles]:
    """The IDX files of a folder by part, "train" and "test"; empty if it holds none.

    They are named as MNIST's: train-images-idx3-ubyte, t10k-labels-idx1-ubyte and so on, with or without .gz.
    Raises: DataError if the folder cannot be read, or holds several sets, or none to train on.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.") from error
    found: dict[tuple[str, str], Path] = {}
    sets = set()
    for path in paths:
        match = NAME.fullmatch(path.name)
        if match:
            found.setdefault((PARTS[match["part"]], match["kind"]), path)
            sets.add(match["set"])
    if len(sets) > 1:
        names = ", ".join(sorted(str(name or "without a name") for name in sets))
        raise DataError(f"{folder} holds several sets of IDX files ({names}); give each a folder of its own.")
    parts = {
        part: IdxFiles(found[part, "images"], found.get((part, "labels")))
        for part in dict.fromkeys(PARTS.values())
        if (part, "images") in found
    }
    if found and TRAIN not in parts:
        raise DataError(f"{folder} holds IDX files, but no train-images-idx3-ubyte or train-images-idx3-ubyte.gz.")
    return parts


def read_idx_images(path: Path) -> np.ndarray:
    """The images of an IDX file, uint8 [N, H, W]. Raises DataError if it holds something else."""
    images = read_idx(path)
    if images.ndim != 3 or 0 in images.shape:
        raise DataError(f"{path} must hold images [N, H, W], got {list(images.shape)}.")
    return images


def read_idx_folder(
    folder: Path,
    *,
    preprocessing: ImagePreprocessing,
    origin: Mapping[str, Any],
    classes: Sequence[str] | None,
    validation: float,
    test: float,
    seed: int,
    changes: ImageChanges | None,
) -> Bundle:
    """The bundle of a folder with IDX files; see vision.data.folder.read_images.

    test: share to split off where the folder holds no test part. Classes without names are called by their number.
    """
    parts = {part: _labelled(files) for part, files in find_idx(folder).items()}
    images, labels = parts[TRAIN]
    try:
        bundle = Bundle.from_arrays(
            images,
            labels,
            task="vision/classification",
            classes=classes,
            validation=validation,
            test=parts.get(TEST, test),
            seed=seed,
            transform=FitArrays(preprocessing),
            augment=None if changes is None else changes.of_arrays(preprocessing),
            preprocessing=preprocessing,
        )
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    return replace(bundle, origin=origin)


def _labelled(files: IdxFiles) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 1, H, W] and labels [N] of a part."""
    images = read_idx_images(files.images)
    if files.labels is None:
        raise DataError(f"{files.images} has no labels beside it, which classification needs.")
    labels = read_idx(files.labels)
    if labels.shape != (len(images),):
        raise DataError(f"{files.labels} holds labels {list(labels.shape)} for {len(images)} images.")
    return images[:, None], labels
