"""Predictions for images of any size, tile by tile, with mirrored borders.

Source: the overlap-tile strategy, Ronneberger et al. 2015, arXiv:1505.04597, section 2 and figure 2.
Differs from the paper: the outputs of neighbouring tiles may overlap too, and are blended linearly.
Shapes: B images, C channels, H x W pixels, K classes, h x w of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vision.segmentation.outputs import aligned, margin_of, segmentation_logits

TILES_AT_ONCE = 4
CONTEXT_SHARE = 4  # a quarter of the overlap, at the border of each tile, is not used: it is what padding spoils


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tile's output lies on one axis, pixels: from `start`, `length` of them.

    first, last: whether the axis begins or ends with it, so that it is not faded out there.
    """

    start: int
    length: int
    first: bool
    last: bool


@torch.no_grad()
def predict_probs(model: nn.Module, images: Tensor, *, tile: int | None = None, overlap: int | None = None) -> Tensor:
    """Images [B, C, H, W] of any size to the probabilities of the classes [B, K, H, W], float32.

    tile:    side of the square, pixels, that the network sees at a time; None is the whole image. What a tile lacks
             at the border of the image is mirrored.
    overlap: pixels that the outputs of neighbouring tiles share; None is a quarter of one. The outer quarter of it
             is left to the neighbour, between the rest both are blended.
    Raises:  ValueError if the tile is too small for the network or the overlap.
    """
    margin = margin_of(model)
    height, width = images.shape[-2:]
    if tile is None:
        sides = tuple(_admissible(model, side + 2 * margin) for side in (height, width))
        if not margin and sides == (height, width):
            return _probs(model, images)
        images = mirrored(images, top=margin, left=margin, height=sides[0], width=sides[1])
        found = _probs(model, images)
        return found[..., :height, :width]
    inner = tile - 2 * margin
    shared = inner // 4 if overlap is None else overlap
    if _admissible(model, tile) != tile:
        raise ValueError(f"tile={tile} does not suit the network: take {_admissible(model, tile)}.")
    if not 0 <= shared < inner:
        raise ValueError(
            f"overlap={shared} must be from 0 to less than the {inner} pixels that a tile of {tile} gives."
        )
    return _tiled(model, images, inner=inner, margin=margin, overlap=shared)


def mirrored(images: Tensor, *, top: int, left: int, height: int, width: int) -> Tensor:
    """The part [..., height, width] of images [..., H, W] that begins `top` and `left` pixels before their corner.

    What lies outside is mirrored at the border pixels, again and again if need be.
    """
    rows = reflected(images.shape[-2], start=-top, length=height, device=images.device)
    columns = reflected(images.shape[-1], start=-left, length=width, device=images.device)
    return images.index_select(-2, rows).index_select(-1, columns)


def reflected(size: int, *, start: int, length: int, device: torch.device | None = None) -> Tensor:
    """Positions start, start + 1, ... [length] on an axis of `size` pixels, folded back into it at its ends."""
    positions = torch.arange(start, start + length, device=device)
    if size == 1:
        return torch.zeros_like(positions)
    period = 2 * (size - 1)
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded)


def spans(size: int, *, length: int, overlap: int) -> list[Span]:
    """Outputs of `length` pixels that cover an axis of `size`, neighbours sharing `overlap` at least; evenly laid."""
    if size <= length:
        return [Span(0, length, first=True, last=True)]
    count = -(-(size - overlap) // (length - overlap))
    starts = [index * (size - length) // (count - 1) for index in range(count)]
    return [Span(start, length, first=index == 0, last=index == count - 1) for index, start in enumerate(starts)]


def fade(span: Span, *, overlap: int, device: torch.device | None = None) -> Tensor:
    """Weights [length] in 0..1 of a tile's pixels on one axis: 0 at its end, rising through the overlap, then 1."""
    dead = overlap // CONTEXT_SHARE
    slope = max(1, overlap - 2 * dead)
    steps = torch.arange(span.length, dtype=torch.float32, device=device)
    rise = ((steps - dead + 0.5) / slope).clamp(0, 1)
    weights = torch.ones_like(steps)
    if not span.first:
        weights = weights * rise
    if not span.last:
        weights = weights * rise.flip(0)
    return weights


def _tiled(model: nn.Module, images: Tensor, *, inner: int, margin: int, overlap: int) -> Tensor:
    """As `predict_probs`, in tiles whose outputs are `inner` pixels wide."""
    height, width = images.shape[-2:]
    side = inner + 2 * margin
    total: Tensor | None = None
    weights = images.new_zeros(1, height, width, dtype=torch.float32)
    places = [
        (row, rows, column)
        for rows in spans(height, length=inner, overlap=overlap)
        for row in range(len(images))
        for column in spans(width, length=inner, overlap=overlap)
    ]
    for group in _groups(places, TILES_AT_ONCE):
        tiles = torch.cat(
            [
                mirrored(
                    images[row : row + 1], top=margin - rows.start, left=margin - columns.start, height=side, width=side
                )
                for row, rows, columns in group
            ]
        )
        for (row, rows, columns), found in zip(group, _probs(model, tiles), strict=True):
            if total is None:
                total = images.new_zeros(len(images), found.shape[0], height, width, dtype=torch.float32)
            window = fade(rows, overlap=overlap, device=images.device)[:, None] * fade(
                columns, overlap=overlap, device=images.device
            )
            bottom, right = min(rows.start + inner, height), min(columns.start + inner, width)
            part = (slice(rows.start, bottom), slice(columns.start, right))
            window = window[: bottom - rows.start, : right - columns.start]
            total[row, :, *part] += found[:, : bottom - rows.start, : right - columns.start] * window
            if row == 0:
                weights[0, *part] += window
    assert total is not None, "there is a tile at least"
    return total / weights


def _groups(places: list[tuple[int, Span, Span]], size: int) -> Iterator[list[tuple[int, Span, Span]]]:
    for first in range(0, len(places), size):
        yield places[first : first + size]


def _probs(model: nn.Module, images: Tensor) -> Tensor:
    """Probabilities float32 [B, K, H, W], less the network's margin, of images it can take."""
    logits = segmentation_logits(model(images))
    return aligned(logits, (images.shape[-2], images.shape[-1]), margin=margin_of(model)).float().softmax(1)


def _admissible(model: nn.Module, size: int) -> int:
    """The smallest side, pixels, from `size` up that the network takes."""
    choose = getattr(model, "admissible", None)
    return int(choose(size)) if callable(choose) else size
