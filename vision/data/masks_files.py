"""Mask files to class numbers, and single pages of multi-page images.

Shapes: C channels, H x W pixels, K classes.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision.data.jpeg import open_image, planes
from vision.data.masks_listing import TIFF, Pair
from zoo.errors import DataError

IGNORE = 255
"""The class number of pixels that count nothing."""

Value = int | tuple[int, int, int]
SHOWN = 8  # values that an error lists


@dataclass(frozen=True, slots=True)
class MaskCoding:
    """What the pixels of a mask stand for.

    values:  of the K classes: grey levels or palette indices, or colours; None if each class has a file of its own,
             in which all but 0 belongs to it.
    classes: names of the K classes; the first one is the background where each class has a file of its own.
    ignored: the value of pixels that count nothing.
    """

    values: tuple[Value, ...] | None
    classes: tuple[str, ...]
    ignored: Value | None = IGNORE

    @property
    def in_colour(self) -> bool:
        """Whether the values are colours."""
        return self.values is not None and isinstance(self.values[0], tuple)


def read_mask(pair: Pair, coding: MaskCoding) -> np.ndarray:
    """The class number of each pixel, int64 [H, W]; `IGNORE` where a pixel counts nothing.

    Where each class has a file of its own, the later class in `coding.classes` is on top.
    Raises: DataError naming the file if it cannot be read, its size differs, or it holds an unknown value.
    """
    if coding.values is not None:
        _, path = pair.masks[0]
        return _coded(read_values(path, page=pair.page, in_colour=coding.in_colour), coding, path)
    files = {name: path for name, path in pair.masks if name is not None}
    labels: np.ndarray | None = None
    for number, name in enumerate(coding.classes):
        if name in files:
            values = read_values(files[name], page=pair.page)
            labels = np.zeros(values.shape[:2], dtype=np.int64) if labels is None else labels
            if values.shape[:2] != labels.shape:
                raise DataError(f"{files[name]} differs in size from the other masks of {pair.image}.")
            inside = values.any(axis=2) if values.ndim == 3 else values != 0
            labels[inside] = number
    if labels is None:
        raise DataError(f"{pair.image} has no mask of a class asked for: {', '.join(coding.classes)}.")
    return labels


def read_values(path: str, *, page: int | None = None, in_colour: bool = False) -> np.ndarray:
    """The pixels of a mask file: [H, W] grey levels or palette indices, or [H, W, 3] colours.

    A file of colours that are all grey gives [H, W], unless colours are asked for.
    Raises: DataError naming the file.
    """
    with _opened(path, page) as image:
        if image.mode in ("RGBA", "CMYK", "LAB", "HSV", "YCbCr") or (in_colour and image.mode != "RGB"):
            image = image.convert("RGB")
        elif image.mode == "LA":
            image = image.convert("L")
        elif image.mode == "F":
            raise DataError(f"{path} holds floating point numbers; class numbers must be integers.")
        values = np.asarray(image)
    values = values.astype(np.uint8) if values.dtype == bool else values
    if values.ndim == 3 and not in_colour and (values == values[..., :1]).all():
        return values[..., 0]
    return values


def read_page(path: str, page: int, *, channels: int) -> Tensor:
    """One page of a multi-page image, uint8 [C, H, W]."""
    with _opened(path, page) as image:
        if image.mode.startswith("I"):
            from PIL import Image

            scaled = (np.asarray(image).astype(np.int64) + 128) // 257  # 16 bits to 8
            image = Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
        pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1).contiguous()


def read_pixels(pair: Pair, *, channels: int) -> Tensor:
    """The image of a pair, uint8 [C, H, W]."""
    if pair.page is not None:
        return read_page(pair.image, pair.page, channels=channels)
    return planes(open_image(pair.image).decode(channels=channels))


def image_size(pair: Pair) -> tuple[int, int]:
    """Height and width of the image of a pair, pixels."""
    if pair.page is not None:
        with _opened(pair.image, pair.page) as image:
            return image.height, image.width
    header = open_image(pair.image)
    return header.height, header.width


def num_pages(path: str) -> int:
    """Images in a file; 1 for all but TIFF."""
    if not path.lower().endswith(tuple(TIFF)):
        return 1
    with _opened(path, None) as image:
        return int(getattr(image, "n_frames", 1))


def distinct(values: np.ndarray) -> list[Value]:
    """The values or colours in a mask, sorted."""
    if values.ndim == 3:
        codes = np.unique(_colour_codes(values))
        return [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes]
    if values.dtype == np.uint8:
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256))]
    return [int(value) for value in np.unique(values)]


def _coded(values: np.ndarray, coding: MaskCoding, path: str) -> np.ndarray:
    """Values [H, W] or colours [H, W, 3] to class numbers [H, W]."""
    assert coding.values is not None, "called for coded masks only"
    known = {**({coding.ignored: IGNORE} if coding.ignored is not None else {})}
    known |= {value: number for number, value in enumerate(coding.values)}
    if values.ndim == 3 and not coding.in_colour:
        raise DataError(f"{path} holds colours, and the classes are the numbers {_listed(coding.values)}.")
    found = distinct(values)
    unknown = [value for value in found if value not in known]
    if unknown:
        raise DataError(
            f"{path} holds {_listed(unknown)}, which stand for no class; known are {_listed(coding.values)}"
            f"{f', and {coding.ignored} for what is to be ignored' if coding.ignored is not None else ''}."
        )
    codes = _colour_codes(values) if values.ndim == 3 else values
    labels = np.zeros(codes.shape, dtype=np.int64)
    for value in found:
        if known[value]:
            code = value[0] << 16 | value[1] << 8 | value[2] if isinstance(value, tuple) else value
            labels[codes == code] = known[value]
    return labels


def _colour_codes(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.int64)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _listed(values: Sequence[Value]) -> str:
    shown = ", ".join(map(str, values[:SHOWN]))
    return f"{shown} and {len(values) - SHOWN} more" if len(values) > SHOWN else shown


@contextmanager
def _opened(path: str, page: int | None) -> Iterator[Any]:
    """A file opened by Pillow, at a page; DataError naming it if it is missing or damaged."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, while the pixels are whole
            with Image.open(path) as image:
                if page:
                    image.seek(page)
                yield image
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
