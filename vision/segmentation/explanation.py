"""Why the pixels of a region get a class: Grad-CAM of the sum of their logits.

Source: Seg-Grad-CAM, Vinogradova, Dibrov and Myers 2020, arXiv:2002.11434, equation 1 and section 2.
Differs from the paper: without a region the pixels are those predicted as the class, all together.
Shapes: B images, C channels, H x W pixels, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vision.segmentation.outputs import aligned, margin_of, segmentation_logits
from vision.segmentation.tiles import mirrored
from zoo.errors import DataError, check_name
from zoo.records import ImagePreprocessing
from zoo.training import evaluation_mode

if TYPE_CHECKING:
    from zoo.explanation import Explanation


def explain_pixels(
    model: nn.Module,
    images: Sequence[Tensor],
    *,
    method: str = "grad_cam",
    target: str | int | None = None,
    layer: str | nn.Module | None = None,
    options: Mapping[str, Any] | None = None,
    classes: Sequence[str],
    preprocessing: ImagePreprocessing | None = None,
) -> "Explanation":
    """Heat over each image for the sum of a class's logits over pixels, [B, H, W].

    images:  [C, H, W] each, of one size.
    target:  name or number of the class; None is, of each image, the largest predicted one but the first.
    layer:   the module that a CAM looks at; None is the bottom of the network where it names that
             (`explained_layer`), as in the paper.
    options: of the method, and "region": (left, top, right, bottom) in pixels, the last two outside.
    Raises:  DataError for images of several sizes, ValueError for a region outside of the image.
    """
    from zoo.explanation import ImageView, explain

    given = dict(options or {})
    region = given.pop("region", None)
    if len({tuple(image.shape) for image in images}) > 1:
        raise DataError("These images differ in size: explain them one by one.")
    batch = torch.stack([image.float() for image in images]).to(next(model.parameters()).device)
    height, width = batch.shape[-2:]
    box = None if region is None else _checked_region(region, height, width)
    margin = margin_of(model)
    sides = tuple(_admissible(model, side + 2 * margin) for side in (height, width))
    seen = batch
    if margin or sides != (height, width):
        seen = mirrored(batch, top=margin, left=margin, height=sides[0], width=sides[1])
    with torch.no_grad(), evaluation_mode(model):
        predicted = _logits(model(seen), seen, margin)[..., :height, :width].argmax(1)  # [B, H, W]
    chosen = _classes(target, predicted, classes)
    pixels = _pixels(box, predicted, chosen)

    def score(output: Any) -> Tensor:
        logits = _logits(output, seen, margin)[..., :height, :width]
        of_class = logits.gather(1, chosen[:, None, None, None].expand(-1, 1, height, width))[:, 0]
        return (of_class * pixels).sum((1, 2))

    where = "the image" if box is None else f"({', '.join(map(str, box))})"
    found = explain(
        model, seen, method=method, target_function=score, options=given,
        layer=layer if layer is not None or not _has_layer(method) else getattr(model, "explained_layer", None),
        view=ImageView(preprocessing=preprocessing, boxes=[[box]] * len(batch) if box else ()),
        labels=[f"{classes[int(label)]} in {where}" for label in chosen],
    )  # fmt: skip
    if seen is batch:
        return found
    inside = (..., slice(margin, margin + height), slice(margin, margin + width))
    return replace(found, inputs=batch, heat=found.heat[inside])


def _logits(output: Any, images: Tensor, margin: int) -> Tensor:
    """The logits over the images, less the margin."""
    return aligned(segmentation_logits(output), (images.shape[-2], images.shape[-1]), margin=margin)


def _classes(target: str | int | None, predicted: Tensor, classes: Sequence[str]) -> Tensor:
    """The number of the class to explain of each image, int64 [B]."""
    if isinstance(target, str):
        check_name("class", target, classes)
        target = list(classes).index(target)
    if target is not None:
        if not 0 <= int(target) < len(classes):
            raise ValueError(
                f"There is no class {target}; the classes are 0..{len(classes) - 1}: {', '.join(classes)}."
            )
        return torch.full((len(predicted),), int(target), device=predicted.device)
    counts = torch.stack([row.flatten().bincount(minlength=len(classes)) for row in predicted])
    counts[:, 0] = -1
    largest = counts.argmax(1)
    return torch.where(counts.amax(1) > 0, largest, 0)


def _pixels(box: tuple[int, int, int, int] | None, predicted: Tensor, chosen: Tensor) -> Tensor:
    """Which pixels are summed over, float32 [B, H, W]."""
    if box is not None:
        inside = torch.zeros_like(predicted, dtype=torch.float32)
        left, top, right, bottom = box
        inside[:, top:bottom, left:right] = 1
        return inside
    own = (predicted == chosen[:, None, None]).float()
    empty = own.sum((1, 2), keepdim=True) == 0  # the class is predicted nowhere: why not anywhere?
    return torch.where(empty, 1.0, own)


def _checked_region(region: Any, height: int, width: int) -> tuple[int, int, int, int]:
    numbers = [int(part) for part in (region.split(",") if isinstance(region, str) else region)]
    if len(numbers) == 4:
        left, top, right, bottom = numbers
        if 0 <= left < right <= width and 0 <= top < bottom <= height:
            return left, top, right, bottom
    raise ValueError(
        f"region must be left, top, right, bottom in pixels inside of the image of {width} x {height}, got {region}."
    )


def _has_layer(method: Any) -> bool:
    """Whether the method looks at a layer."""
    from zoo.explanation import METHODS, LayerMethod

    kind = METHODS.get(method) if isinstance(method, str) else type(method)
    return kind is not None and issubclass(kind, LayerMethod)


def _admissible(model: nn.Module, size: int) -> int:
    choose = getattr(model, "admissible", None)
    return int(choose(size)) if callable(choose) else size
