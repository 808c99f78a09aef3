"""The second stage: each proposal's class and exact box, from its part of the feature maps.

Source: Girshick 2015, arXiv:1504.08083, section 2; two hidden layers and the level of each proposal after Lin et al.
    2017, arXiv:1612.03144, section 4.2 and equation 1; RoIAlign after He et al. 2017, arXiv:1703.06870, section 3.
Differs from the paper: as in torchvision, no dropout; 512 sampled proposals of each image, the true boxes among them;
    a smooth L1 that turns at 1 / 9, divided by the number of sampled proposals.
Tensor names are torchvision's.
Shapes: B images, P proposals of an image, R of all images, D channels, C classes, T true boxes.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.detection.box_coding import Weights4, decode_boxes, encode_boxes
from vision.detection.image_batch import ImageBatch, at_least_single
from vision.detection.matching import match_boxes, sample_balanced

OBJECT_OVERLAP = 0.5  # Fast R-CNN, section 2.3
POSITIVE_SHARE = 0.25
OFFSET_WEIGHTS: Weights4 = (10.0, 10.0, 5.0, 5.0)  # brings the targets to unit variance
SMOOTH_L1_BETA = 1 / 9
POOLED_SIZE, SAMPLES_PER_BIN = 7, 2
CANONICAL_SIDE, CANONICAL_STRIDE = 224, 16  # FPN, equation 1: a box of 224 pixels is pooled at stride 2 ** 4
MIN_SIDE = 1e-2  # pixels

Detections = dict[str, Tensor]


class BoxHead(nn.Module):
    """Pooled maps [R, D, 7, 7] to features [R, width]."""

    def __init__(self, *, in_channels: int, width: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels * POOLED_SIZE**2, width)
        self.fc7 = nn.Linear(width, width)

    def forward(self, pooled: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)))))


class BoxPredictor(nn.Module):
    """Features [R, width] to class logits [R, 1 + C], the background first, and offsets [R, 4 (1 + C)]."""

    def __init__(self, *, width: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, 1 + num_classes)
        self.bbox_pred = nn.Linear(width, 4 * (1 + num_classes))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(features), self.bbox_pred(features)


class RoIHeads(nn.Module):
    """Maps and proposals to detections, in pixels of the batch; in training to losses.

    strides:         of the maps, pixels.
    num_samples:     proposals of each image that the losses see.
    score_threshold: probability from which a class of a proposal is a detection.
    nms_overlap:     intersection over union from which the less certain of two boxes of a class is dropped.
    max_detections:  most of an image.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        width: int,
        strides: Sequence[int],
        num_samples: int,
        score_threshold: float,
        nms_overlap: float,
        max_detections: int,
    ) -> None:
        super().__init__()
        self.box_head = BoxHead(in_channels=in_channels, width=width)
        self.box_predictor = BoxPredictor(width=width, num_classes=num_classes)
        self.strides = tuple(strides)
        self.num_samples = num_samples
        self.score_threshold = score_threshold
        self.nms_overlap = nms_overlap
        self.max_detections = max_detections

    def forward(
        self,
        batch: ImageBatch,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[dict[str, Tensor]] | None,
    ) -> tuple[list[Detections], dict[str, Tensor]]:
        """
        maps:    [B, D, h, w] of each of the `strides`.
        targets: of each image in training: "boxes" [T, 4] in pixels of the batch and "labels" [T], counted from 0.
        Returns: "boxes", "labels" and "scores" of each image, best first, and no losses; in training the reverse.
        """
        if targets is not None:
            proposals, labels, wanted = self._sample(proposals, targets)
        pooled = pool_boxes(maps, proposals, self.strides)
        logits, offsets = map(at_least_single, self.box_predictor(self.box_head(pooled)))
        if targets is not None:
            return [], _losses(logits, offsets, torch.cat(labels), torch.cat(wanted))
        sizes = [len(boxes) for boxes in proposals]
        parts = zip(logits.softmax(1).split(sizes), offsets.split(sizes), proposals, batch.sizes, strict=True)
        return [self._detect(*part) for part in parts], {}

    @torch.no_grad()
    def _sample(
        self, proposals: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """A sample of each image's proposals and true boxes, with classes (0 is the background) and offsets."""
        boxes, labels, wanted = [], [], []
        for found, target in zip(proposals, targets, strict=True):
            truths = target["boxes"]
            candidates = torch.cat((found, truths))
            matches = match_boxes(truths, candidates, high=OBJECT_OVERLAP, low=OBJECT_OVERLAP, keep_best=False)
            positive, negative = sample_balanced(matches, count=self.num_samples, positive_share=POSITIVE_SHARE)
            chosen = candidates[torch.cat((positive, negative))]
            nearest = matches[positive]
            boxes.append(chosen)
            labels.append(torch.cat((target["labels"][nearest] + 1, torch.zeros_like(negative))))
            wanted.append(encode_boxes(truths[nearest], chosen[: len(positive)], OFFSET_WEIGHTS))
        return boxes, labels, wanted

    def _detect(self, probs: Tensor, offsets: Tensor, proposals: Tensor, size: tuple[int, int]) -> Detections:
        """The detections of one image. probs: [P, 1 + C], offsets: [P, 4 (1 + C)]."""
        from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

        rows, classes = torch.where(probs[:, 1:] > self.score_threshold)
        classes = classes + 1
        scores = probs[rows, classes]
        moved = offsets.unflatten(1, (-1, 4))[rows, classes]
        boxes = clip_boxes_to_image(decode_boxes(moved, proposals[rows], OFFSET_WEIGHTS), size)
        kept = remove_small_boxes(boxes, MIN_SIDE)
        boxes, scores, labels = boxes[kept], scores[kept], classes[kept] - 1
        best = batched_nms(boxes, scores, labels, self.nms_overlap)[: self.max_detections]
        return {"boxes": boxes[best], "labels": labels[best], "scores": scores[best]}


def _losses(logits: Tensor, offsets: Tensor, labels: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Fast R-CNN's equation 1. labels: [R], 0 is the background; wanted: [positives, 4] in the order of `labels`."""
    positive = torch.where(labels > 0)[0]
    regressed = offsets.unflatten(1, (-1, 4))[positive, labels[positive]]
    distance = F.smooth_l1_loss(regressed, wanted, beta=SMOOTH_L1_BETA, reduction="sum")
    return {"loss_classifier": F.cross_entropy(logits, labels), "loss_box_reg": distance / len(labels)}


def pool_boxes(maps: Sequence[Tensor], boxes: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """RoIAlign of each box from the level that fits its size: [R, D, 7, 7], image by image.

    maps:    [B, D, h, w] of each level, finest first.
    boxes:   [P, 4] of each image, pixels.
    strides: of the levels, pixels.
    """
    from torchvision.ops import roi_align

    regions = torch.cat([F.pad(found, (1, 0), value=image) for image, found in enumerate(boxes)])  # [R, 5]
    levels = box_levels(regions[:, 1:], strides)
    parts, rows = [], []
    for level, (feature, stride) in enumerate(zip(maps, strides, strict=True)):
        rows.append(torch.where(levels == level)[0])
        part = roi_align(
            at_least_single(feature), regions[rows[-1]], output_size=POOLED_SIZE, spatial_scale=1 / stride,
            sampling_ratio=SAMPLES_PER_BIN,
        )  # fmt: skip
        parts.append(part)
    return torch.cat(parts)[torch.cat(rows).argsort()].to(maps[0].dtype)


def box_levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """The number of the level that each box [R, 4] is pooled from, by FPN's equation 1."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    power = torch.log2(area.sqrt() / CANONICAL_SIDE) + (math.log2(CANONICAL_STRIDE) + 1e-6)
    lowest = round(math.log2(strides[0]))
    return (power.floor() - lowest).clamp(0, len(strides) - 1).to(torch.int64)
