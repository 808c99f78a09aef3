"""What segmentation networks return, by the kind of the output: a tensor, torchvision's mapping, or an object's logits.

Shapes: B images, K classes, H x W pixels of the images, h x w of the output.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def segmentation_logits(output: Any) -> Tensor:
    """The logits [B, K, h, w] in a network's output.

    Raises: TypeError if there are none.
    """
    found = output
    if isinstance(output, Mapping):
        found = output["out"] if "out" in output else output.get("logits")
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", None)
    if not isinstance(found, Tensor) or found.ndim != 4:
        came = list(found.shape) if isinstance(found, Tensor) else type(output).__name__
        raise TypeError(
            "A segmentation network must return logits [B, K, h, w]: as a tensor, as the item 'out' or 'logits' of a "
            f"mapping, or as the attribute `logits`; this one returned {came}."
        )
    return found


def auxiliary_logits(output: Any) -> Tensor | None:
    """The logits [B, K, h, w] of a side head that helps in training, None if there are none."""
    found = output.get("aux") if isinstance(output, Mapping) else getattr(output, "auxiliary_logits", None)
    return found if isinstance(found, Tensor) else None


def margin_of(model: nn.Module) -> int:
    """Pixels that the network's output lacks on each side, because its convolutions are not padded."""
    return int(getattr(model, "margin", 0))


def aligned(logits: Tensor, size: tuple[int, int], *, margin: int) -> Tensor:
    """Logits [B, K, h, w] over images of `size`: coarse ones [B, K, H, W] by bilinear interpolation.

    margin: of the network; above 0 the logits are the middle of the image already, and come back as they are.
    """
    if margin or tuple(logits.shape[-2:]) == size:
        return logits
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)


def middle(target: Tensor, *, margin: int) -> Tensor:
    """Targets [..., H, W] without `margin` pixels on each side."""
    return target[..., margin : target.shape[-2] - margin, margin : target.shape[-1] - margin] if margin else target
