"""Faster R-CNN against torchvision's: with the same weights the same boxes, scores and losses."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn
from torchvision.models.detection._utils import overwrite_eps
from torchvision.ops import FrozenBatchNorm2d

from vision.detection.faster_rcnn import FasterRCNN, from_torchvision

SIZES = {"min_size": 96, "max_size": 160}
FEW = {
    "rpn_pre_nms_top_n_train": 300, "rpn_post_nms_top_n_train": 300,
    "rpn_pre_nms_top_n_test": 200, "rpn_post_nms_top_n_test": 200,
}  # fmt: skip


@torch.no_grad()
def give_opinions(model: nn.Module) -> None:
    """Random weights, but such that signals keep their size and scores spread over the classes."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or ("body" in name and name.endswith("bias")):
            tensor.normal_(std=0.1)
        elif "body" in name and tensor.ndim == 1 and tensor.is_floating_point():
            tensor.uniform_(0.4, 0.6)
    heads = {"cls_logits": 0.3, "rpn.head.bbox_pred": 0.02, "cls_score": 2.0, "box_predictor.bbox_pred": 0.05}
    for name, parameter in model.named_parameters():
        for part, std in heads.items():
            if part in name and name.endswith("weight"):
                parameter.normal_(std=std)


def reference(*, frozen: bool, num_classes: int = 91) -> nn.Module:
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=num_classes, box_score_thresh=0.05, **SIZES, **FEW
    )
    give_opinions(model)
    if frozen:
        freeze(model.backbone)
    return model


def freeze(module: nn.Module) -> None:
    """The norms as torchvision builds them with trained weights."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = FrozenBatchNorm2d(child.num_features)
            state = {key: value for key, value in child.state_dict().items() if key != "num_batches_tracked"}
            norm.load_state_dict(state)
            setattr(module, name, norm)
        else:
            freeze(child)


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, 90, 120, generator=generator), torch.rand(3, 130, 70, generator=generator)]


def targets() -> list[dict[str, torch.Tensor]]:
    return [
        {"boxes": torch.tensor([[5.0, 8, 60, 70], [40, 20, 110, 85]]), "labels": torch.tensor([3, 17])},
        {"boxes": torch.tensor([[10.0, 30, 50, 120]]), "labels": torch.tensor([89])},
    ]


def native(state: dict[str, torch.Tensor], *, norm: str) -> FasterRCNN:
    model = FasterRCNN(norm=norm, num_proposals=(300, 200), **SIZES)
    model.load_state_dict(state)
    return model


@pytest.fixture(params=["batch", "frozen"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, FasterRCNN]:
    theirs = reference(frozen=request.param == "frozen")
    return theirs, native(theirs.state_dict(), norm=request.param)


def test_detections_are_torchvisions(pair):
    """Fails if resizing, anchors, pooling levels, thresholds, clipping or the scaling back to the image differ."""
    theirs, ours = pair
    with torch.no_grad():
        wanted, found = theirs.eval()(images()), ours.eval()(images())
    for one, other in zip(found, wanted, strict=True):
        assert len(other["scores"]) > 20, "there must be something to compare"
        assert len(other["labels"].unique()) > 2
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-4, rtol=0)
        # Two scores that are equal but for rounding may come in either order: each row needs its like on either side.
        apart = torch.cdist(rows_of(one, first_label=0), rows_of(other, first_label=1), p=float("inf"))
        assert apart.amin(0).max() < 1e-4
        assert apart.amin(1).max() < 1e-4


def rows_of(found: dict[str, torch.Tensor], *, first_label: int) -> torch.Tensor:
    """Class, score and corners of each detection, [N, 6]."""
    labels = found["labels"] - first_label
    return torch.cat((labels[:, None], found["scores"][:, None], found["boxes"]), dim=1)


def test_losses_and_gradients_are_torchvisions(pair, monkeypatch):
    """Fails if matching, sampling, the encoding of boxes, or the division of a loss differs.

    In double precision, as a unit whose input is 0 but for rounding is on in one network and off in the other.
    """
    theirs, ours = (model.double().train() for model in pair)
    ours.image_mean, ours.image_std = (
        torch.tensor(part, dtype=torch.float64).view(3, 1, 1)
        for part in (theirs.transform.image_mean, theirs.transform.image_std)
    )
    inputs = [image.double() for image in images()]
    monkeypatch.setattr(torch, "randperm", lambda n, **options: torch.arange(n - 1, -1, -1))
    background_first = [{**target, "labels": target["labels"] + 1} for target in targets()]
    wanted, found = theirs(inputs, background_first), ours(inputs, targets())
    assert set(found) == set(wanted)
    for name, loss in wanted.items():
        assert loss > 1e-3, f"{name} must have something to compare"
        torch.testing.assert_close(found[name], loss, atol=1e-6, rtol=1e-6, check_dtype=False)
    sum(wanted.values()).backward()
    sum(found.values()).backward()
    gradients = dict(ours.named_parameters())
    for name in ("backbone.body.conv1.weight", "backbone.fpn.inner_blocks.0.0.weight", "rpn.head.conv.0.0.weight"):
        grad = theirs.get_parameter(name).grad
        torch.testing.assert_close(gradients[name].grad, grad, atol=1e-5 * float(grad.abs().max()), rtol=1e-5)


def test_published_weights_keep_their_norms_of_eps_zero():
    """Fails without the conversion: the file's norms have eps 0, and small variances show it."""
    theirs = reference(frozen=True)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if "layer1" in name and name.endswith("running_var"):
                tensor.mul_(1e-4)
            if "layer1" in name and name.endswith(("bn1.weight", "bn2.weight", "bn3.weight", "downsample.1.weight")):
                tensor.mul_(1e-2)
    state = theirs.state_dict()
    overwrite_eps(theirs, 0.0)
    with torch.no_grad():
        wanted = theirs.eval()(images())
        found = native(from_torchvision(state), norm="frozen").eval()(images())
        unconverted = native(state, norm="frozen").eval()(images())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one["scores"], other["scores"], atol=2e-4, rtol=0)
        assert torch.equal(one["labels"] + 1, other["labels"])
    assert any(
        one["scores"].shape != other["scores"].shape or not torch.allclose(one["scores"], other["scores"], atol=1e-3)
        for one, other in zip(unconverted, wanted, strict=True)
    )


def test_default_has_the_published_number_of_parameters():
    assert (
        sum(parameter.numel() for parameter in FasterRCNN().parameters())
        == (FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["num_params"])
    )
