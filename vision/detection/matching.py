"""Which anchor or proposal learns what: matching with the true boxes, and the balanced sample that the losses see.

Source: Ren et al. 2015, arXiv:1506.01497, sections 3.1.2 and 3.1.3; Girshick 2015, arXiv:1504.08083, section 2.3.
Differs from the paper: nothing known.
Shapes: T true boxes, N candidates.
"""

import torch
from torch import Tensor

BACKGROUND = -1
UNDECIDED = -2


@torch.no_grad()
def match_boxes(truths: Tensor, candidates: Tensor, *, high: float, low: float, keep_best: bool) -> Tensor:
    """For each candidate [N, 4] the number of the true box [T, 4] that it overlaps most.

    high:      intersection over union from which a candidate is the object.
    low:       below which it is BACKGROUND; in between it is UNDECIDED.
    keep_best: the candidates that overlap a true box most are matched however small the overlap.
    Returns:   [N] int64, negative where there is no match.
    """
    if len(truths) == 0 or len(candidates) == 0:
        return torch.full((len(candidates),), BACKGROUND, dtype=torch.int64, device=candidates.device)
    from torchvision.ops import box_iou

    overlap = box_iou(truths, candidates)  # [T, N]
    best, nearest = overlap.max(dim=0)
    matches = torch.where(best >= high, nearest, UNDECIDED)
    matches = torch.where(best < low, BACKGROUND, matches)
    if keep_best:
        chosen = (overlap == overlap.amax(dim=1, keepdim=True)).any(dim=0)
        matches = torch.where(chosen, nearest, matches)
    return matches


@torch.no_grad()
def sample_balanced(matches: Tensor, *, count: int, positive_share: float) -> tuple[Tensor, Tensor]:
    """A random choice of `count` candidates, of which up to `positive_share` are matched: their numbers.

    matches: [N] as `match_boxes` gives them; what is UNDECIDED is never chosen.
    Returns: the matched ones, and those of the background; less than `count` where there are not so many.
    """
    positive = torch.where(matches >= 0)[0]
    negative = torch.where(matches == BACKGROUND)[0]
    num_positive = min(len(positive), int(count * positive_share))
    num_negative = min(len(negative), count - num_positive)
    first = torch.randperm(len(positive), device=matches.device)[:num_positive]
    second = torch.randperm(len(negative), device=matches.device)[:num_negative]
    return positive[first], negative[second]
