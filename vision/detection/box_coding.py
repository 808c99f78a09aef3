"""Boxes as offsets from other boxes: what detectors regress.

Source: Girshick et al. 2014, arXiv:1311.2524, appendix C; the weights after Girshick 2015, arXiv:1504.08083, section
    2.3 (targets of unit variance).
Differs from the paper: widths and heights grow by a factor of 62.5 at most, so that the exponential cannot overflow.
Shapes: N boxes (x1, y1, x2, y2), K boxes predicted for each.
"""

import math

import torch
from torch import Tensor

Weights4 = tuple[float, float, float, float]
PLAIN: Weights4 = (1.0, 1.0, 1.0, 1.0)
MAX_LOG_SCALE = math.log(1000.0 / 16)  # Detectron's: an anchor of 16 pixels grows to 1000 at most


def encode_boxes(boxes: Tensor, references: Tensor, weights: Weights4 = PLAIN) -> Tensor:
    """Boxes [N, 4] as offsets [N, 4] from `references` [N, 4]: centre in sizes of the reference, log of the size."""
    width, height, x, y = _centres(references)
    box_width, box_height, box_x, box_y = _centres(boxes)
    return torch.stack(
        (
            weights[0] * (box_x - x) / width,
            weights[1] * (box_y - y) / height,
            weights[2] * torch.log(box_width / width),
            weights[3] * torch.log(box_height / height),
        ),
        dim=1,
    )


def decode_boxes(offsets: Tensor, references: Tensor, weights: Weights4 = PLAIN) -> Tensor:
    """The boxes [N, 4] that lie at `offsets` [N, 4] from `references` [N, 4]."""
    width, height, x, y = _centres(references.to(offsets.dtype))
    dx, dy, dw, dh = (offsets / offsets.new_tensor(weights)).unbind(1)
    centre_x, centre_y = dx * width + x, dy * height + y
    half_width = 0.5 * torch.exp(dw.clamp(max=MAX_LOG_SCALE)) * width
    half_height = 0.5 * torch.exp(dh.clamp(max=MAX_LOG_SCALE)) * height
    return torch.stack(
        (centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height), dim=1
    )


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Width, height, and the centre's x and y, each [N]."""
    x1, y1, x2, y2 = boxes.unbind(1)
    width, height = x2 - x1, y2 - y1
    return width, height, x1 + 0.5 * width, y1 + 0.5 * height
