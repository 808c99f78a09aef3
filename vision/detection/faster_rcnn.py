"""Faster R-CNN with a feature pyramid on any backbone.

Source: Ren et al. 2015, arXiv:1506.01497; Lin et al. 2017, arXiv:1612.03144, section 4.
Differs from the paper: both stages train together, as in torchvision ("approximate joint training" in section 3.2);
    each part's file says what differs in it.
Tensor names are those of torchvision's fasterrcnn_resnet50_fpn where the backbone is "resnet50".
Shapes: B images, N boxes (x1, y1, x2, y2) of an image, h x w pixels of an image.
"""

import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from vision.detection.anchors import Anchors
from vision.detection.fpn import PyramidBackbone
from vision.detection.frozen_norm import freeze_norms
from vision.detection.image_batch import make_batch, scale_boxes
from vision.detection.roi_heads import Detections, RoIHeads
from vision.detection.rpn import RegionProposalNetwork
from vision.encoders import build_encoder
from zoo.errors import check_name
from zoo.records import ImagePreprocessing
from zoo.registry import model_info

Norm = Literal["frozen", "batch"]
Target = Mapping[str, Tensor]


class FasterRCNN(nn.Module):
    """Images to boxes with classes. In training `model(images, targets)` gives losses by name, each a mean over images;
    in evaluation `model(images)` gives for each image "boxes" [N, 4] in its own pixels, "labels" [N] and "scores" [N],
    the probability of the class, best first.

    images:            B tensors [C, h, w] on the scale 0..1, of any sizes.
    targets:           of each image "boxes" [N, 4] in its pixels and "labels" [N], the classes counted from 0; all else
                       is left alone. An image may have no boxes.
    backbone:          name of an encoder, such as "resnet50" or "timm:convnext_tiny" (vision.encoders).
    backbone_weights:  tag or file of the backbone's trained weights; None initialises at random.
    strides:           of the backbone's maps that the pyramid is built on, each twice the one before.
    norm:              "frozen" keeps the backbone's batch norms as they are; "batch" trains them, which needs large
                       batches, and is what training from scratch needs.
    min_size:          of an image's shorter side as the network sees it, pixels; max_size goes before it.
    image_mean, image_std: by channel on the scale 0..1; None takes those that the backbone's own weights state.
    anchor_sizes:      of each level of the pyramid, the pooled one last: roots of the areas, pixels of the batch.
    num_proposals:     that the first stage hands on, in training and in evaluation.
    rpn_samples, box_samples: of each image, that the losses of the two stages see.
    score_threshold:   probability from which a class is detected; nms_overlap: see `RoIHeads`.
    Raises:            ValueError for a number out of range or a stride that the backbone does not have.
    """

    classifier: ClassVar[str] = "roi_heads.box_predictor"
    body: ClassVar[str] = "backbone.body"
    first_label: ClassVar[int] = 0  # of the classes in targets and detections; the background has no number

    def __init__(
        self,
        *,
        num_classes: int = 90,
        in_channels: int = 3,
        backbone: str = "resnet50",
        backbone_weights: str | PathLike[str] | bool | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        norm: Norm = "frozen",
        pyramid_channels: int = 256,
        box_width: int = 1024,
        min_size: int = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        num_proposals: tuple[int, int] = (2000, 1000),
        rpn_samples: int = 256,
        box_samples: int = 512,
        score_threshold: float = 0.05,
        nms_overlap: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        _check_counts(
            num_classes=num_classes, in_channels=in_channels, pyramid_channels=pyramid_channels, box_width=box_width,
            min_size=min_size, max_size=max_size, rpn_samples=rpn_samples, box_samples=box_samples,
            max_detections=max_detections, num_proposals=min(num_proposals),
        )  # fmt: skip
        _check_levels(strides, anchor_sizes)
        check_name("norm", norm, get_args(Norm))
        encoder = build_encoder(backbone, weights=backbone_weights, in_channels=in_channels)
        body = freeze_norms(encoder) if norm == "frozen" else encoder
        self.backbone = PyramidBackbone(body, strides=strides, out_channels=pyramid_channels)
        self.rpn = RegionProposalNetwork(
            in_channels=pyramid_channels,
            anchors=Anchors(sizes=[(size,) for size in anchor_sizes], aspect_ratios=aspect_ratios),
            num_proposals=(num_proposals[0], num_proposals[1]),
            num_samples=rpn_samples,
        )
        self.roi_heads = RoIHeads(
            in_channels=pyramid_channels, num_classes=num_classes, width=box_width, strides=strides,
            num_samples=box_samples, score_threshold=score_threshold, nms_overlap=nms_overlap,
            max_detections=max_detections,
        )  # fmt: skip
        self.min_size, self.max_size = min_size, max_size
        mean, std = _statistics(backbone, in_channels)
        mean, std = image_mean if image_mean is not None else mean, image_std if image_std is not None else std
        self.image_mean: Tensor
        self.image_std: Tensor
        self.register_buffer("image_mean", _by_channel(mean, in_channels), persistent=False)
        self.register_buffer("image_std", _by_channel(std, in_channels), persistent=False)

    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Detections]:
        if self.training and targets is None:
            raise ValueError("In training a detector needs targets; call model.eval() for detections.")
        batch = make_batch(
            list(images), mean=self.image_mean, std=self.image_std, min_size=self.min_size, max_size=self.max_size
        )
        truths = None
        if self.training and targets is not None:
            truths = [
                {"boxes": scale_boxes(_checked_boxes(target), original, size), "labels": target["labels"]}
                for target, original, size in zip(targets, batch.originals, batch.sizes, strict=True)
            ]
        maps = self.backbone(batch.pixels)
        boxes = None if truths is None else [truth["boxes"] for truth in truths]
        proposals, losses = self.rpn(batch, maps, boxes)
        detections, box_losses = self.roi_heads(batch, maps[:-1], proposals, truths)
        if truths is not None:
            return {**box_losses, **losses}
        for found, size, original in zip(detections, batch.sizes, batch.originals, strict=True):
            found["boxes"] = scale_boxes(found["boxes"], size, original)
        return detections


def from_torchvision(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of torchvision's fasterrcnn_resnet50_fpn_coco-258fb6c6.pth as `FasterRCNN()` takes them.

    The names agree. That model was trained with norms whose eps is 0, for which torchvision sets theirs to 0 when it
    loads the file; here the variances are lowered by the norm's eps instead, which comes to the same.
    """
    eps = nn.BatchNorm2d(1).eps
    return {
        name: tensor - eps if name.startswith("backbone.body.") and name.endswith("running_var") else tensor
        for name, tensor in state_dict.items()
    }


def _statistics(backbone: str, in_channels: int) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation that the backbone's weights were trained with, else ImageNet's; halves for other channels."""
    entry = model_info(backbone)
    stated = [record.preprocessing for record in entry.weights[:1]] or [entry.preprocessing]
    found = stated[0] if isinstance(stated[0], ImagePreprocessing) else ImagePreprocessing()
    if len(found.mean) == in_channels:
        return found.mean, found.std
    return (0.5,) * in_channels, (0.5,) * in_channels


def _by_channel(values: Sequence[float], in_channels: int) -> Tensor:
    if len(values) != in_channels:
        raise ValueError(f"image_mean and image_std need {in_channels} numbers each, got {list(values)}.")
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)


def _checked_boxes(target: Target) -> Tensor:
    """The boxes of a target as floats; a box without area would make the loss infinite."""
    boxes = target["boxes"]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"Boxes must be [N, 4] (x1, y1, x2, y2), got {list(boxes.shape)}.")
    if len(boxes) and not bool((boxes[:, 2:] > boxes[:, :2]).all()):
        bad = boxes[(boxes[:, 2:] <= boxes[:, :2]).any(1)][0].tolist()
        raise ValueError(f"Boxes must have x1 < x2 and y1 < y2; one is {bad}.")
    return boxes.float()


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; at least 1 is needed.")


def _check_levels(strides: Sequence[int], anchor_sizes: Sequence[Any]) -> None:
    if not strides or any(2 * first != second for first, second in itertools.pairwise(strides)):
        raise ValueError(f"strides must double from one level to the next, (8, 16, 32) for instance; got {strides}.")
    if len(anchor_sizes) != len(strides) + 1:
        raise ValueError(
            f"anchor_sizes needs {len(strides) + 1} sizes, one for each of the {len(strides)} strides and one for the "
            f"pooled level; got {list(anchor_sizes)}."
        )
