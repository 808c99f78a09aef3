"""Image files to tensors, fast: JPEG through libjpeg-turbo, everything else through Pillow.

A JPEG is stored as blocks of 8 x 8 frequencies, and libjpeg can leave the high ones out and so decode at 1/2, 1/4 or
1/8 of the size for a fraction of the time. Only these powers of two are used: other eighths are slower and distort
small pictures. An antialiased resize always does the last step of shrinking, by MARGIN at least, and knows that the
last row and column of a scaled picture may stand for a part of a pixel only.

Shapes: C channels, H, W pixels of the upright image.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.records import Interpolation

ORIENTATION = 0x0112  # the EXIF tag
# How the stored image becomes upright, by the tag's value: (transpose, then flip rows, then flip columns).
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
# Least that is left to the resize after the decoder's scaling. With it, sharp photographs differ by less than 1.5 of
# 255 grey levels from a full decode at every size; with 1.0 by 3.0, mostly aliasing.
MARGIN = 1.4
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image whose header is read and whose pixels are not yet.

    height, width: of the upright image, pixels.
    orientation:   EXIF's 1 to 8.
    data:          the bytes of the file.
    fast:          whether it is a JPEG that the fast decoder takes.
    """

    path: str
    height: int
    width: int
    orientation: int
    data: bytes
    fast: bool

    def decode(self, *, channels: int, shrink: float = 1.0) -> Tensor:
        """The upright image, uint8 [C, H, W].

        channels: 3 for RGB, 1 for grey.
        shrink:   how many times smaller than the file the result may be; the size is the file's or a half, a
                  quarter or an eighth of it, and leaves MARGIN to a resize.
        Raises:   DataError naming the file if it is truncated or damaged.
        """
        return self._upright(self._decode_as_stored(channels, shrink)[0])

    def resized(self, size: tuple[int, int], *, channels: int, interpolation: Interpolation) -> Tensor:
        """The upright image, uint8 [C, *size], antialiased.

        Raises: DataError naming the file if it is truncated or damaged.
        """
        turned = self.orientation >= 5
        height, width = (self.width, self.height) if turned else (self.height, self.width)
        target = (size[1], size[0]) if turned else size
        shrink = 1.0 if interpolation == "nearest" else min(height / target[0], width / target[1])
        pixels, factor = self._decode_as_stored(channels, shrink)
        extent = (height / factor, width / factor)
        return self._upright(resize(pixels, target, interpolation=interpolation, extent=extent))

    def _decode_as_stored(self, channels: int, shrink: float) -> tuple[Tensor, int]:
        """The image as the file has it, uint8 [C, H, W] with channels last in memory, and how much it was shrunk."""
        factor = next((power for power in (8, 4, 2) if shrink >= power * MARGIN), 1) if self.fast else 1
        pixels = self._decode_jpeg(channels, factor) if self.fast else None
        if pixels is None:
            pixels, factor = _decode_with_pillow(self.path, self.data, channels), 1
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        return image.expand(channels, -1, -1), factor

    def _upright(self, image: Tensor) -> Tensor:
        if self.orientation not in _UPRIGHT:
            return image
        transpose, rows, columns = _UPRIGHT[self.orientation]
        image = image.transpose(1, 2) if transpose else image
        return image.flip([dim for dim, flipped in ((1, rows), (2, columns)) if flipped])

    def _decode_jpeg(self, channels: int, factor: int) -> np.ndarray | None:
        """Pixels [H, W, 1 or 3]; None if the strict decoder finds fault, for Pillow to judge how bad it is."""
        import simplejpeg

        height, width = (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)
        try:
            return simplejpeg.decode_jpeg(
                self.data,
                "GRAY" if channels == 1 else "RGB",
                min_height=-(-height // factor) if factor > 1 else 0,
                min_width=-(-width // factor) if factor > 1 else 0,
            )
        except ValueError:
            return None


def open_image(path: str | PathLike[str]) -> ImageFile:
    """Reads the header of an image file.

    Raises: DataError naming the file if it is missing, empty, unreadable or not an image.
    """
    name = fspath(path)
    data = read_bytes(name)
    if data[:2] == b"\xff\xd8":
        found = _jpeg_header(name, data)
        if found is not None:
            return found
    with _pillow_errors(name):
        image = _pillow_open(data)
        height, width, orientation = image.height, image.width, _orientation(image)
    if orientation >= 5:
        height, width = width, height
    return ImageFile(name, height, width, orientation, data, fast=False)


def read_image(
    path: str | PathLike[str],
    *,
    shorter_side: int | None = None,
    channels: int = 3,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """An image file to an upright uint8 tensor [C, H, W].

    shorter_side: pixels to resize to, antialiased, keeping the aspect; None keeps the size of the file.
    channels:     3 for RGB, 1 for grey. Transparent parts are shown on white.
    Raises:       DataError naming the file if it is missing, empty, truncated or not an image.
    """
    image = open_image(path)
    if shorter_side is None:
        return planes(image.decode(channels=channels))
    scale = shorter_side / min(image.height, image.width)
    size = scaled_size(image.height, image.width, scale)
    return planes(image.resized(size, channels=channels, interpolation=interpolation))


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width times `scale`, rounded down as torchvision does, but at least one pixel."""
    return max(1, int(height * scale + 1e-6)), max(1, int(width * scale + 1e-6))


def read_crop(
    image: ImageFile, box: Box, size: tuple[int, int], *, channels: int, interpolation: Interpolation
) -> Tensor:
    """Part of an image, resized to uint8 [C, *size], decoded no larger than that needs.

    box: top, left, height, width in pixels of the upright image.
    """
    top, left, height, width = box
    pixels = image.decode(channels=channels, shrink=min(height / size[0], width / size[1]))
    rows = _span(top, height, image.height, pixels.shape[1])
    columns = _span(left, width, image.width, pixels.shape[2])
    return resize(pixels[:, rows, columns], size, interpolation=interpolation)


def _span(first: float, length: float, full: int, decoded: int) -> slice:
    """A stretch of an axis of `full` pixels to whole pixels, one at least, of the same axis decoded smaller."""
    start = min(round(first * decoded / full), decoded - 1)
    return slice(start, max(start + 1, round((first + length) * decoded / full)))


def resize(
    images: Tensor, size: tuple[int, int], *, interpolation: Interpolation, extent: tuple[float, float] | None = None
) -> Tensor:
    """Images [C, H, W] or [B, C, H, W] to the height and width `size`, antialiased as Pillow does it; same dtype.

    extent: rows and columns, from the top left, that are to fill `size`, where the last ones count in part only;
            None is all of them.
    """
    if extent is None or tuple(images.shape[-2:]) == extent:
        if tuple(images.shape[-2:]) == tuple(size):
            return images
        target: dict[str, Any] = {"size": size}
    else:
        # A little more than the ratio, lest rounding down lose a row; what is too much is cut off below.
        factors = [(part + 1e-4) / whole for part, whole in zip(size, extent, strict=True)]
        target = {"scale_factor": factors, "recompute_scale_factor": False}
    # The batch dimension goes before the others while channels are last: only so does torch see that layout, for
    # which its resize of 8-bit pixels is fastest.
    batch = images if images.dim() == 4 else images.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    if interpolation == "nearest":
        resized = torch.nn.functional.interpolate(batch, mode="nearest-exact", **target)
    else:
        resized = torch.nn.functional.interpolate(batch, mode=interpolation, antialias=True, **target)
    resized = resized[..., : size[0], : size[1]]
    return resized if images.dim() == 4 else resized[0]


def planes(image: Tensor, *, mirrored: bool = False) -> Tensor:
    """A CPU image [C, H, W] as contiguous planes, left and right changed if `mirrored`; a copy.

    NumPy makes it 2.5 times faster than torch where the channels were last.
    """
    pixels = image.numpy()
    return torch.from_numpy(np.array(pixels[:, :, ::-1] if mirrored else pixels, order="C"))


def read_bytes(path: str) -> bytes:
    """The content of a file; DataError naming it if it is missing, a folder, not permitted or empty."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes).")
    return data


def _jpeg_header(path: str, data: bytes) -> ImageFile | None:
    """The header of a JPEG that the fast decoder takes; None for CMYK, RGB without YCbCr, and damaged headers."""
    import simplejpeg
    from PIL import Image

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    limit = Image.MAX_IMAGE_PIXELS
    if colours not in ("YCbCr", "Gray") or (limit is not None and height * width > 2 * limit):
        return None
    orientation = 1
    if _has_metadata(data):
        with _pillow_errors(path):
            orientation = _orientation(_pillow_open(data))
    if orientation >= 5:
        height, width = width, height
    return ImageFile(path, height, width, orientation, data, fast=True)


def _has_metadata(data: bytes) -> bool:
    """Whether a JPEG holds an APP1 segment (EXIF or XMP) before its pixels, which Pillow is then to read."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:  # DA: start of scan
        if data[position + 1] == 0xE1:
            return True
        padding = data[position + 1] == 0xFF
        position += 1 if padding else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _pillow_open(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data))


def _orientation(image: Any) -> int:
    if image.format == "TIFF":  # Pillow turns these upright itself
        return 1
    if image.format == "PNG" and "exif" not in image.info:  # where Pillow would decode all pixels to look behind them
        return 1
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in _UPRIGHT else 1


@contextmanager
def _pillow_errors(path: str) -> Iterator[None]:
    """Turns what Pillow raises for a bad file into a DataError that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image, or of a format that Pillow does not read.") from error
    # Pillow's plug-ins raise all of these for damaged files: SyntaxError for PNG chunks, IndexError, TypeError and
    # struct.error for short headers.
    except (
        OSError,
        SyntaxError,
        ValueError,
        IndexError,
        TypeError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _decode_with_pillow(path: str, data: bytes, channels: int) -> np.ndarray:
    """Pixels [H, W, C] of any image that Pillow reads, as stored, in 8 bits."""
    with _pillow_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF and the like, while the pixels are whole
        image = _pillow_open(data)
        image.load()
        if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
            image = _eight_bits(image, path)
        elif image.mode == "F":
            raise DataError(f"{path} holds floating point pixels, whose range is not known; save it with 8 or 16 bits.")
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = _on_white(image)
        pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _eight_bits(image: Any, path: str) -> Any:
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path} holds 32-bit pixels, whose range is not known; save it with 8 or 16 bits.")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _on_white(image: Any) -> Any:
    from PIL import Image

    colours = image.convert("RGBA")
    page = Image.new("RGBA", colours.size, (255, 255, 255, 255))
    return Image.alpha_composite(page, colours).convert("RGB")
