"""Region proposal network: which of the anchors hold an object, and where exactly.

Source: Ren et al. 2015, arXiv:1506.01497, section 3.1; on a pyramid after Lin et al. 2017, arXiv:1612.03144,
    section 4.1.
Differs from the paper: as in torchvision, one logit for "object" in place of two; the regression loss is divided by the
    number of sampled anchors (lambda / N_reg of the paper's equation 1 is then 1 / N_cls), with a smooth L1 that turns
    at 1 / 9; proposals are suppressed level by level.
Tensor names are torchvision's.
Shapes: B images, L levels, D channels, A anchors of a cell, N anchors of an image on all levels, P proposals.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.detection.anchors import Anchors
from vision.detection.box_coding import decode_boxes, encode_boxes
from vision.detection.image_batch import ImageBatch, at_least_single
from vision.detection.matching import match_boxes, sample_balanced

OBJECT_OVERLAP, BACKGROUND_OVERLAP = 0.7, 0.3  # section 3.1.2
POSITIVE_SHARE = 0.5  # section 3.1.3
NMS_OVERLAP = 0.7  # section 3.3
MIN_SIDE = 1e-3  # pixels: what is thinner after clipping is no proposal
SMOOTH_L1_BETA = 1 / 9


class RPNHead(nn.Module):
    """Maps [B, D, h, w] of every level to object logits [B, A, h, w] and offsets [B, 4 A, h, w]."""

    def __init__(self, *, in_channels: int, num_anchors: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1)
        self.conv = nn.Sequential(nn.Sequential(convolution, nn.ReLU(inplace=True)))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, kernel_size=1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, kernel_size=1)
        for layer in (convolution, self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)  # section 3.1.3
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, offsets = [], []
        for feature in maps:
            hidden = self.conv(feature)
            logits.append(self.cls_logits(hidden))
            offsets.append(self.bbox_pred(hidden))
        return logits, offsets


class RegionProposalNetwork(nn.Module):
    """A batch and its maps to proposals [P, 4] of each image, in pixels of the batch, best first; in training also
    to losses.

    num_proposals: in training and in evaluation: most of each level before non-maximum suppression, and of each image
                   after it.
    num_samples:   anchors of each image that the losses see.
    """

    def __init__(self, *, in_channels: int, anchors: Anchors, num_proposals: tuple[int, int], num_samples: int) -> None:
        super().__init__()
        self.head = RPNHead(in_channels=in_channels, num_anchors=anchors.num_per_cell)
        self.anchors = anchors
        self.num_proposals = num_proposals
        self.num_samples = num_samples

    def forward(
        self, batch: ImageBatch, maps: Sequence[Tensor], boxes: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """
        boxes:   the true boxes [T, 4] of each image in pixels of the batch; needed in training.
        Returns: the proposals, and the losses "loss_objectness" and "loss_rpn_box_reg", none in evaluation.
        """
        logits, offsets = self.head(maps)
        anchors = self.anchors(maps, (batch.pixels.shape[-2], batch.pixels.shape[-1]))
        flat_logits = [at_least_single(_flattened(level, 1)[..., 0]) for level in logits]  # L x [B, h * w * A]
        flat_offsets = [at_least_single(_flattened(level, 4)) for level in offsets]  # L x [B, h * w * A, 4]
        proposals = self.propose(flat_logits, flat_offsets, anchors, batch.sizes)
        if boxes is None:
            return proposals, {}
        return proposals, self._losses(torch.cat(flat_logits, 1), torch.cat(flat_offsets, 1), torch.cat(anchors), boxes)

    @torch.no_grad()
    def propose(
        self,
        logits: Sequence[Tensor],
        offsets: Sequence[Tensor],
        anchors: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Tensor]:
        """The best anchors of each image, moved by their offsets, without those that overlap a better one."""
        from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

        most = self.num_proposals[0 if self.training else 1]
        found: list[list[tuple[Tensor, Tensor, int]]] = [[] for _ in sizes]
        for level, (level_logits, level_offsets, boxes) in enumerate(zip(logits, offsets, anchors, strict=True)):
            best, order = level_logits.topk(min(most, level_logits.shape[1]), dim=1)  # [B, K]
            for image, rows in enumerate(order):
                moved = decode_boxes(level_offsets[image, rows], boxes[rows])
                found[image].append((moved, best[image], level))
        proposals = []
        for parts, size in zip(found, sizes, strict=True):
            boxes = clip_boxes_to_image(torch.cat([part[0] for part in parts]), size)
            scores = torch.cat([part[1] for part in parts]).sigmoid()
            levels = torch.cat([torch.full_like(part[1], part[2], dtype=torch.int64) for part in parts])
            kept = remove_small_boxes(boxes, MIN_SIDE)
            boxes, scores, levels = boxes[kept], scores[kept], levels[kept]
            proposals.append(boxes[batched_nms(boxes, scores, levels, NMS_OVERLAP)[:most]])
        return proposals

    def _losses(self, logits: Tensor, offsets: Tensor, anchors: Tensor, boxes: Sequence[Tensor]) -> dict[str, Tensor]:
        """The paper's equation 1 on a sample of each image's anchors. logits: [B, N], offsets: [B, N, 4]."""
        chosen_logits, labels, chosen_offsets, wanted = [], [], [], []
        for image, truths in enumerate(boxes):
            matches = match_boxes(truths, anchors, high=OBJECT_OVERLAP, low=BACKGROUND_OVERLAP, keep_best=True)
            positive, negative = sample_balanced(matches, count=self.num_samples, positive_share=POSITIVE_SHARE)
            chosen_logits.append(logits[image, torch.cat((positive, negative))])
            labels.append(torch.cat((torch.ones_like(positive), torch.zeros_like(negative))))
            chosen_offsets.append(offsets[image, positive])
            wanted.append(encode_boxes(truths[matches[positive]], anchors[positive]))
        sampled = torch.cat(chosen_logits)
        distance = F.smooth_l1_loss(torch.cat(chosen_offsets), torch.cat(wanted), beta=SMOOTH_L1_BETA, reduction="sum")
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(sampled, torch.cat(labels).to(sampled.dtype)),
            "loss_rpn_box_reg": distance / len(sampled),
        }


def _flattened(level: Tensor, size: int) -> Tensor:
    """[B, A * size, h, w] to [B, h * w * A, size], the order of the anchors."""
    return level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, size)
