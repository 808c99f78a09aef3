"""The rows that a generator's task takes: seeds of images to draw, and images.

Shapes: B images, C channels, H, W pixels.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DataError

Rows = Sequence[int | Tensor | np.ndarray] | Tensor | np.ndarray
IMAGE_DIMS = 3  # C, H, W
LARGEST_SEED = 2**63 - 1


def rows_of(inputs: Rows) -> list[int | Tensor]:
    """Seeds and images [C, H, W] one by one, from a list of both, a batch of images [B, C, H, W], or seeds [B].

    Raises: DataError for anything else, and for nothing.
    """
    if isinstance(inputs, Tensor | np.ndarray):
        batch = torch.as_tensor(inputs)
        if batch.ndim in (IMAGE_DIMS, IMAGE_DIMS + 1) and batch.is_floating_point():
            inputs = list(batch[None] if batch.ndim == IMAGE_DIMS else batch)
        elif batch.ndim == 1 and batch.dtype in (torch.int32, torch.int64):
            inputs = batch.tolist()
        else:
            inputs = [batch]  # to be refused below
    elif not isinstance(inputs, Sequence) or isinstance(inputs, str):
        inputs = [inputs]
    rows = [_row(item) for item in inputs]
    if not rows:
        raise DataError("There is nothing to draw or to score: the list of inputs is empty.")
    return rows


def _row(item: object) -> int | Tensor:
    row = torch.as_tensor(item) if isinstance(item, np.ndarray) else item
    if isinstance(row, Tensor) and row.is_floating_point() and row.ndim == IMAGE_DIMS:
        return row
    if isinstance(row, int) and not isinstance(row, bool) and 0 <= row <= LARGEST_SEED:
        return row
    came = f"{row.dtype} {list(row.shape)}" if isinstance(row, Tensor) else repr(row)
    raise DataError(f"Expected seeds from 0 up, or float images [C, H, W] in -1..1, got {came}.")


def hashes_of(images: Tensor) -> Tensor:
    """A number for each image [B, C, H, W] that depends on its own pixels alone, whatever batch or process it is in."""
    rows = images.detach().float().cpu().contiguous().numpy()
    return torch.tensor([zlib.crc32(row.tobytes()) for row in rows])
