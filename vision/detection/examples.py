"""A few of the images that a detector was judged on, kept for a picture.

Shapes: N detections and T true boxes (x1, y1, x2, y2) of an image of h x w pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.metrics import ListMetric


class Example(NamedTuple):
    """An image uint8 [3, h, w] with what was found in it and what there is."""

    image: Tensor
    boxes: Tensor
    labels: Tensor
    scores: Tensor
    truths: Tensor
    true_labels: Tensor


class ExampleImages(ListMetric):
    """Keeps the first `limit` images, no figure: `compute` gives an empty tensor."""

    def __init__(self, limit: int = 4) -> None:
        super().__init__()
        self.limit = limit

    def update(self, outputs: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Any]]) -> None:
        """Keeps images of a batch, whose targets hold them as "image" [3, h, w] on the scale 0..1."""
        for found, truth in zip(outputs, target, strict=True):
            if len(self.items) >= self.limit or "image" not in truth:
                return
            tensors = (
                (truth["image"] * 255).round().to(torch.uint8),
                *(found["boxes"], found["labels"], found["scores"], truth["boxes"], truth["labels"]),
            )
            self.items.append(Example(*(tensor.detach().cpu() for tensor in tensors)))

    def compute(self) -> Tensor:
        return torch.empty(0)
