"""Losses of embeddings: like things near each other, unlike ones far apart.

Source: "contrastive", Hadsell et al. 2006, doi:10.1109/CVPR.2006.100, equation 4; "triplet", Schroff et al. 2015,
arXiv:1503.03832, section 3.1; "info_nce", van den Oord et al. 2018, arXiv:1807.03748, equation 4, with cosines for
scores; "nt_xent", Chen et al. 2020, arXiv:2002.05709, equation 1, for groups of any size as Khosla et al. 2020,
arXiv:2004.11362, equation 2.
Differs from the paper: means where sums are minimised; Hadsell's label is 0 for like pairs, here it is 1; `triplet`
does not put embeddings on the unit sphere: normalise them for that.
Shapes: B pairs, triplets or rows, D embedding.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.common import Reduction, check_floating, precise, reduced, shape_of, yes_or_no

Distance = Literal["squared", "euclidean"]
SMALLEST_NORM = 1e-6  # an embedding of zeros has no direction: its gradient stays finite in float32


def contrastive(
    first: Tensor, second: Tensor, target: Tensor, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Half the squared distance of like pairs, half the square of what unlike ones lack of `margin`.

    first, second: [B, D]
    target:        [B] bool, or integers: 1 for a like pair, 0 for an unlike one.
    margin:        above 0, a Euclidean distance.
    Returns:       [], or [B] for "none", in float32 at least. The mean over no pair at all is NaN.
    Raises:        ValueError or TypeError if shapes, dtypes or ranges do not fit.
    """
    _check_above_0("margin", margin)
    first, second = _rows(first, second)
    alike = yes_or_no(target, first.shape[:1])
    # The norm's gradient at 0 is 0, where a bare root has an infinite one: two unlike points that coincide stay.
    distance = torch.linalg.vector_norm(first - second, dim=1)  # [B]
    return reduced(torch.where(alike, distance, F.relu(margin - distance)).square() / 2, reduction)


def triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    distance: Distance = "squared",
    reduction: Reduction = "mean",
) -> Tensor:
    """How far the negative falls short of being `margin` further from the anchor than the positive.

    anchor, positive, negative: [B, D]
    margin:                     above 0, in the unit of `distance`.
    distance:                   "squared" is the squared Euclidean one, "euclidean" its root.
    Returns: [], or [B] for "none", in float32 at least. The mean over no triplet at all is NaN.
    Raises:  ValueError or TypeError if shapes, dtypes or ranges do not fit.
    """
    _check_above_0("margin", margin)
    if distance not in ("squared", "euclidean"):
        raise ValueError(f'distance must be "squared" or "euclidean"; got {distance!r}.')
    anchor, positive, negative = _rows(anchor, positive, negative)
    near, far = anchor - positive, anchor - negative
    if distance == "squared":
        gap = near.square().sum(1) - far.square().sum(1)
    else:
        gap = torch.linalg.vector_norm(near, dim=1) - torch.linalg.vector_norm(far, dim=1)
    return reduced(F.relu(gap + margin), reduction)


def info_nce(queries: Tensor, keys: Tensor, *, temperature: float = 0.07, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy in nats of finding each query's own key among all keys, by cosines over `temperature`.

    queries, keys: [B, D]; key i belongs to query i, the others are its negatives. For both directions, as CLIP has it,
                   take the mean of this and of the loss with queries and keys exchanged.
    temperature:   above 0.
    Returns:       [], or [B] for "none", in float32 at least. The mean over no query at all is NaN.
    Raises:        ValueError or TypeError if shapes, dtypes or ranges do not fit.
    """
    _check_above_0("temperature", temperature)
    queries, keys = _rows(queries, keys)
    cosines = _unit(queries) @ _unit(keys).T  # [B, B]
    return reduced(torch.diagonal(-F.log_softmax(cosines / temperature, dim=1)), reduction)


def nt_xent(embeddings: Tensor, target: Tensor, *, temperature: float = 0.5, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy in nats of finding a row's fellows among all other rows, by cosines over `temperature`.

    embeddings:  [B, D], such as two views of each of B / 2 images.
    target:      [B] integers: rows of one number belong together. A row with several fellows has the mean of theirs.
    temperature: above 0.
    Returns:     [], or [B] for "none", in float32 at least. A row without a fellow counts nothing; the mean over none
                 is NaN.
    Raises:      ValueError or TypeError if shapes, dtypes or ranges do not fit.
    """
    _check_above_0("temperature", temperature)
    (embeddings,) = _rows(embeddings)
    if target.is_floating_point() or target.shape != embeddings.shape[:1]:
        raise ValueError(
            f"{len(embeddings)} embeddings need as many integers that say which belong together; got {target.dtype} "
            f"{shape_of(target)}."
        )
    rows = _unit(embeddings)
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    cosines = (rows @ rows.T / temperature).masked_fill(itself, torch.finfo(rows.dtype).min)  # [B, B]
    fellows = (target[:, None] == target) & ~itself
    nats = torch.where(fellows, -F.log_softmax(cosines, dim=1), 0.0).sum(1)  # [B]
    count = fellows.sum(1)
    losses = nats / count.clamp_min(1)
    return losses.sum() / (count > 0).sum() if reduction == "mean" else reduced(losses, reduction)


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=1, eps=SMALLEST_NORM)


def _rows(*embeddings: Tensor) -> tuple[Tensor, ...]:
    """All in float32 at least. Raises: TypeError or ValueError unless they are floating point of one shape [B, D]."""
    for rows in embeddings:
        check_floating("Embeddings", rows)
    shapes = {tuple(rows.shape) for rows in embeddings}
    if len(shapes) > 1 or embeddings[0].ndim != 2:
        came = ", ".join(shape_of(rows) for rows in embeddings)
        raise ValueError(f"Embeddings must be [B, D], all of one shape; got {came}. Flatten them: rows.flatten(1).")
    return tuple(rows.to(precise(rows)) for rows in embeddings)


def _check_above_0(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value}; it must be above 0.")
