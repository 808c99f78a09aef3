"""Images without labels to a bundle in memory, scaled to -1..1, from a folder, IDX files or an .npz file.

Shapes: N images, C channels, S pixels a side.
"""

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vision.data.idx import find_idx, read_idx_images
from vision.data.jpeg import open_image
from vision.data.listing import EXTENSIONS
from vision.data.transforms import Normalise, cover, evaluation_crop, preprocessing_from
from vision.generation.dcgan import pyramid
from zoo.data import ArraySource, Bundle, random_split, split_fractions
from zoo.data.bundle import fingerprint_of
from zoo.data.listing import PARTS
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, check_name, nearest
from zoo.records import ImagePreprocessing

logger = logging.getLogger(__name__)

TASK = "vision/generation"
OnError = Literal["raise", "skip"]
DEFAULT_SHAPE = (3, 64, 64)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: what JPEG and Pillow call grey
CHUNK = 1024  # images that are resized at a time
SHOWN = 5  # files that an error lists
LAYOUT = (
    "Expected a folder of images, sub-folders or not, or with train/ and test/ in it; or a folder with "
    "train-images-idx3-ubyte.gz; or an .npz file with `images`."
)


class Mirror:
    """Swaps left and right of a random half of the images [B, C, H, W]."""

    num_uniforms = 1

    def __call__(self, inputs: Tensor, uniforms: Tensor) -> Tensor:
        """Images and draws from [0, 1), [B, 1], to images."""
        return torch.where(uniforms[:, :1, None, None] < 0.5, inputs.flip(3), inputs)


def read_images(
    path: str | PathLike[str],
    *,
    preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    size: int | None = None,
    channels: int | None = None,
    validation: float = 0.1,
    test: float = 0.0,
    seed: int = 0,
    mirror: bool = False,
    on_error: OnError = "raise",
) -> Bundle:
    """Images to a bundle whose rows are (image,). `path` is one of

    - a folder of image files, in sub-folders or not: classes make no difference;
    - a folder with train/, val/ (or validation/) and test/, each with such files;
    - a folder with the IDX files of MNIST or its like;
    - an .npz file with `images` [N, H, W] or [N, H, W, C], and `split` [N] if wanted.

    All images are read at once and kept as bytes: 200,000 of 64 x 64 pixels take 2.5 GB.

    preprocessing: of trained weights, whose size is then taken.
    input_shape:   [C, S, S] of a model, for image files where `size` and `channels` do not say otherwise.
    size:          pixels a side; the middle square of larger images is scaled to it. None: that of arrays themselves
                   where a generator can have it, else the model's.
    channels:      1 or 3; None: those of arrays themselves, else the model's.
    validation:    share of images to split off where the data name no such part; `test` likewise.
    mirror:        swap left and right of training images at random.
    on_error:      "skip" leaves files out that cannot be read, and reports them in `Bundle.skipped`.
    Raises:        DataError naming the file or folder at fault.
    """
    check_name("way to treat errors", on_error, ("raise", "skip"))
    split_fractions(validation=validation, test=test)  # for its checks
    shape = tuple(input_shape or DEFAULT_SHAPE)
    if preprocessing is not None:
        shape = _shape_of(preprocessing_from(preprocessing))
    root = Path(os.path.abspath(path))
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {LAYOUT}")
    arrays = _read_arrays(root)
    if arrays is not None:
        own = next(iter(arrays.values())).shape  # [N, C, H, W]
        size = size or (own[2] if own[2] == own[3] and _can_be_drawn(own[2]) else shape[1])
        record = scaling(size, channels or own[1])
        images = {part: _fitted(found, record) for part, found in arrays.items()}
        skipped: list[tuple[str, str]] = []
    else:
        record = scaling(size or shape[1], channels or shape[0])
        images, skipped = _read_files(root, record, on_error)
    origin = {
        "path": str(root), "size": record.size[0], "channels": len(record.mean), "validation": validation, "test": test,
        "seed": seed, "mirror": mirror, "on_error": on_error,
    }  # fmt: skip
    return _bundle(_parts(images, validation=validation, test=test, seed=seed), record, skipped, origin)


def _bundle(
    parts: Mapping[str, Tensor],
    record: ImagePreprocessing,
    skipped: Sequence[tuple[str, str]],
    origin: Mapping[str, Any],
) -> Bundle:
    sources = {
        part: ArraySource(
            images, transform=Normalise(record), augment=Mirror() if origin["mirror"] and part == TRAIN else None
        )
        for part, images in parts.items()
    }
    logger.info("%d images of %d x %d pixels", sum(map(len, parts.values())), *record.size)
    return Bundle(
        train=sources[TRAIN], validation=sources.get(VALIDATION), test=sources.get(TEST), task=TASK, kind=None,
        input_shape=(len(record.mean), *record.size), preprocessing=record, skipped=tuple(skipped), origin=origin,
        fingerprint=fingerprint_of(*(parts[part] for part in sorted(parts))),
    )  # fmt: skip


def scaling(size: int, channels: int) -> ImagePreprocessing:
    """How image files become inputs of `channels` x `size` x `size` in -1..1, without a margin that is cut off."""
    return preprocessing_from(
        ImagePreprocessing(size=(size, size), resize=size, mean=(0.5,) * channels, std=(0.5,) * channels)
    )


def _shape_of(record: ImagePreprocessing) -> tuple[int, ...]:
    if set(record.mean) != {0.5} or set(record.std) != {0.5} or record.size[0] != record.size[1]:
        raise DataError(f"Generators draw squares in -1..1, which needs a mean and std of 0.5; got {record}.")
    return (len(record.mean), *record.size)


def _can_be_drawn(size: int) -> bool:
    try:
        pyramid(size)
    except ValueError:
        return False
    return True


def _read_arrays(root: Path) -> dict[str | None, Tensor] | None:
    """Images uint8 [N, C, H, W] by part, None where there are no parts; None if `root` holds no arrays."""
    if root.suffix.lower() == ".npz":
        return _read_npz(root)
    files = find_idx(root) if root.is_dir() else {}
    if not files:
        return None
    return {part: torch.tensor(read_idx_images(found.images))[:, None] for part, found in files.items()}


def _read_npz(path: Path) -> dict[str | None, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("images", "split")}
            known = file.files
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}") from error
    if "images" not in arrays:
        raise DataError(f"{path} holds no array 'images'. {nearest('images', known)}")
    images = arrays["images"][..., None] if arrays["images"].ndim == 3 else arrays["images"]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or not images.size:
        came = f"{arrays['images'].dtype} {list(arrays['images'].shape)}"
        raise DataError(f"The images in {path} must be uint8 [N, H, W] or [N, H, W, 1 or 3], got {came}.")
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if "split" not in arrays:
        return {None: tensor}
    names = [str(name).lower() for name in arrays["split"].tolist()]
    strange = next((name for name in names if name not in PARTS), None)
    if strange is not None or len(names) != len(tensor):
        why = f"{strange!r}. {nearest(strange, PARTS)}" if strange is not None else f"{len(names)} names."
        raise DataError(f"`split` in {path}, which has {len(tensor)} images, holds {why}")
    rows = np.array([PARTS[name] for name in names])
    return {str(part): tensor[torch.from_numpy(rows == part)] for part in np.unique(rows)}


def _fitted(images: Tensor, record: ImagePreprocessing) -> Tensor:
    """Arrays uint8 [N, C, H, W] at the record's size and number of channels."""
    channels = len(record.mean)
    fitted = []
    for chunk in images.split(CHUNK):
        pixels = cover(chunk, record)
        if pixels.shape[1] > channels:
            pixels = (pixels * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True).round_().to(torch.uint8)
        fitted.append(pixels.expand(-1, channels, -1, -1))
    return torch.cat(fitted)


def _read_files(
    root: Path, record: ImagePreprocessing, on_error: OnError
) -> tuple[dict[str | None, Tensor], list[tuple[str, str]]]:
    """Image files as uint8 [N, C, S, S] by part, and (file, reason) of what was left out."""
    listed = {part: paths for part, paths in _list_files(root).items() if paths}
    if not listed:
        raise DataError(f"There are no images in {root}. {LAYOUT}")
    faults: list[tuple[str, str]] = []
    images: dict[str | None, Tensor] = {}

    def read(path: Path) -> Tensor | tuple[str, str]:
        try:
            return evaluation_crop(open_image(path), record)
        except DataError as error:
            return str(path), str(error).removeprefix(str(path)).strip()

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for part, paths in listed.items():
            found = list(pool.map(read, paths))
            faults += [item for item in found if isinstance(item, tuple)]
            crops = [item for item in found if isinstance(item, Tensor)]
            if crops:
                images[part] = torch.stack(crops)
    if faults and (on_error == "raise" or not images):
        lines = [f"{file} {reason}" for file, reason in faults[:SHOWN]]
        more = [f"... and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise DataError('Unusable images; on_error="skip" leaves them out:\n  ' + "\n  ".join(lines + more))
    for file, reason in faults:
        logger.warning("skipped: %s %s", file, reason)
    return images, faults


def _list_files(root: Path) -> dict[str | None, list[Path]]:
    """The image files of a folder by part; by None where its folders name no parts."""
    if not root.is_dir():
        raise DataError(f"{root} is neither a folder nor an .npz file. {LAYOUT}")
    parts = {folder: PARTS.get(folder.name.lower()) for folder in sorted(root.iterdir()) if folder.is_dir()}
    if TRAIN not in parts.values():
        return {None: _images_in(root)}
    found: dict[str | None, list[Path]] = {}
    for folder, part in parts.items():
        if part is not None:
            found.setdefault(part, []).extend(_images_in(folder))
    return found


def _images_in(folder: Path) -> list[Path]:
    """The image files of a folder and of those in it, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
        and not any(step.startswith(".") or step == "__MACOSX" for step in path.relative_to(folder).parts)
    )


def _parts(images: Mapping[str | None, Tensor], *, validation: float, test: float, seed: int) -> dict[str, Tensor]:
    """The parts that the data name, and those drawn from what is to be trained on or named nothing."""
    rest = images.get(TRAIN, images.get(None))
    if rest is None:
        raise DataError(f"There are no images to train on, only those for {', '.join(str(part) for part in images)}.")
    named = {str(part): found for part, found in images.items() if part in (VALIDATION, TEST)}
    fractions = split_fractions(
        validation=0.0 if VALIDATION in named else validation, test=0.0 if TEST in named else test
    )
    drawn = {TRAIN: rest}
    if len(fractions) > 1:
        drawn = {part: rest[rows] for part, rows in random_split(len(rest), fractions=fractions, seed=seed).items()}
    return {**drawn, **named}
