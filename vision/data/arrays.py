"""Labelled images in one .npz file to a bundle in memory.

Shapes: N images, H, W pixels, C channels.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.data.augment import ImageChanges
from vision.data.transforms import FitArrays
from zoo.data import Bundle
from zoo.data.listing import PARTS
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, nearest
from zoo.records import ImagePreprocessing


def read_npz(
    path: Path,
    *,
    preprocessing: ImagePreprocessing,
    origin: Mapping[str, Any],
    classes: Sequence[str] | None,
    validation: float,
    test: float,
    seed: int,
    changes: ImageChanges | None,
) -> Bundle:
    """The bundle of an .npz file; see vision.data.folder.read_images.

    Raises: DataError naming the file if it is damaged, lacks an array, or holds other than 8-bit images.
    """
    arrays = _load(path)
    images, labels = _images(path, arrays), arrays["labels"]
    if labels.shape != (len(images),):
        raise DataError(f"{path} holds {len(images)} images but labels of the shape {list(labels.shape)}.")
    if labels.dtype.kind not in "biuUS":
        raise DataError(f"The labels in {path} must be integers or strings, got {labels.dtype}.")
    own = [str(name) for name in arrays["classes"].tolist()] if "classes" in arrays else None
    if own is not None and labels.dtype.kind in "biu":
        labels = _named(path, labels, own)
    rows = _rows(path, arrays.get("split"), len(images))
    try:
        bundle = Bundle.from_arrays(
            images[rows[TRAIN]],
            labels[rows[TRAIN]],
            task="vision/classification",
            classes=classes if classes is not None else own,
            validation=(images[rows[VALIDATION]], labels[rows[VALIDATION]]) if VALIDATION in rows else validation,
            test=(images[rows[TEST]], labels[rows[TEST]]) if TEST in rows else test,
            seed=seed,
            transform=FitArrays(preprocessing),
            augment=None if changes is None else changes.of_arrays(preprocessing),
            preprocessing=preprocessing,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return replace(bundle, origin=origin)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}") from error
    for name in ("images", "labels"):
        if name not in arrays:
            raise DataError(f"{path} holds no array {name!r}. {nearest(name, arrays)}")
    return arrays


def _images(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The images as [N, C, H, W]."""
    images = arrays["images"]
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise DataError(
            f"The images in {path} must be uint8 [N, H, W] or [N, H, W, 1 or 3], "
            f"got {images.dtype} {list(arrays['images'].shape)}."
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _named(path: Path, codes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(names):
        raise DataError(f"The labels in {path} run to {codes.max()}, but it names {len(names)} classes.")
    return np.array(names)[codes.astype(np.int64)]


def _rows(path: Path, split: np.ndarray | None, num_images: int) -> dict[str, Any]:
    """Rows of each part that the file names; all of train where it names none."""
    if split is None:
        return {TRAIN: slice(None)}
    if split.shape != (num_images,) or split.dtype.kind not in "US":
        raise DataError(f"`split` in {path} must be one string an image, got {split.dtype} {list(split.shape)}.")
    parts = np.array([PARTS.get(str(name).lower(), "") for name in split.astype(str)])
    if (parts == "").any():
        strange = split[parts == ""][0]
        raise DataError(f"`split` in {path} holds {str(strange)!r}. {nearest(str(strange), PARTS)}")
    if TRAIN not in parts:
        raise DataError(f"`split` in {path} leaves no images to train on.")
    return {part: np.flatnonzero(parts == part) for part in np.unique(parts).tolist()}
