"""What a Faster R-CNN of any backbone does, whatever its weights."""

import pytest
import torch

from vision.detection.faster_rcnn import FasterRCNN
from vision.detection.frozen_norm import FrozenBatchNorm
from zoo.errors import UnknownNameError
from zoo.heads import head_paths, parts_above_body


def batch() -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 80, generator=generator), torch.rand(3, 70, 50, generator=generator)]
    boxes = [torch.tensor([[4.0, 6, 30, 40], [40, 10, 70, 50]]), torch.tensor([[5.0, 5, 40, 60]])]
    return images, [
        {"boxes": boxes[0], "labels": torch.tensor([0, 1])},
        {"boxes": boxes[1], "labels": torch.tensor([1])},
    ]


def with_scores(model: FasterRCNN) -> FasterRCNN:
    """The model in evaluation mode, with a class for every proposal."""
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.normal_(std=0.5)
        model.rpn.head.cls_logits.weight.normal_(std=0.5)
    return model.eval()


def test_training_gives_losses_that_reach_every_parameter(detector):
    losses = detector.train()(*batch())
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    sum(losses.values()).backward()
    assert not [name for name, parameter in detector.named_parameters() if parameter.grad is None]


def test_a_few_steps_lower_the_loss(detector):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(detector.parameters(), lr=2e-3)
    history = []
    for _ in range(12):
        loss = sum(detector(*batch()).values())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(float(loss.detach()))
    assert sum(history[-3:]) < 0.7 * sum(history[:3])


@torch.no_grad()
def test_detections_lie_in_their_image_and_do_not_depend_on_the_batch(detector):
    """Fails if boxes are left at the size that the network sees, or another image's proposals reach a result."""
    model, (images, _) = with_scores(detector), batch()
    for image, found in zip(images, model(images), strict=True):
        assert len(found["scores"]) > 5
        assert (found["scores"].diff() <= 0).all()
        assert set(found["labels"].tolist()) <= {0, 1}
        assert found["boxes"].min() >= 0
        assert (found["boxes"].amax(0) <= torch.tensor([image.shape[2], image.shape[1]] * 2) + 1e-3).all()
    others = [images[0], images[0].flip(2), torch.zeros(3, 64, 80)]
    for number, found in enumerate(model(others)):
        alone = model([others[number]])[0]
        torch.testing.assert_close(found["boxes"], alone["boxes"], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(found["scores"], alone["scores"], atol=1e-5, rtol=1e-4)


def test_half_precision(detector):
    """Fails if a part mixes types, or boxes and logits are worked on with the three digits of bfloat16."""
    torch.manual_seed(0)
    whole = detector(*batch())
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        half = detector(*batch())
        found = with_scores(detector)(batch()[0])
    for name, loss in whole.items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], loss, rtol=0.1, atol=0.02)
    assert all(one["boxes"].dtype == one["scores"].dtype == torch.float32 for one in found)


def test_an_image_without_boxes_trains(detector):
    """Fails if the mean over no matched anchors becomes NaN."""
    images, targets = batch()
    targets[1] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    assert all(loss.isfinite() for loss in detector(images, targets).values())
    targets[0] = targets[1]
    losses = detector(images, targets)
    assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0


@pytest.mark.parametrize(
    ("boxes", "words"),
    [([[5.0, 5, 5, 9]], "x1 < x2"), ([[5.0, 9, 8, 9]], "x1 < x2"), ([5.0, 5, 8, 9], r"\[N, 4\]")],
)
def test_boxes_that_cannot_be(detector, boxes, words):
    images, targets = batch()
    targets[0]["boxes"] = torch.tensor(boxes)
    with pytest.raises(ValueError, match=words):
        detector(images, targets)


def test_training_without_targets_says_so(detector):
    with pytest.raises(ValueError, match="needs targets"):
        detector(batch()[0])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"strides": (2, 8), "anchor_sizes": (8, 16, 32)}, ValueError, "double"),
        ({"strides": (2, 4), "anchor_sizes": (8, 16)}, ValueError, "needs 3 sizes"),
        ({"strides": (4, 8), "anchor_sizes": (8, 16, 32)}, ValueError, "no map of stride 8; it has 1, 2, 4"),
        ({"norm": "frosen"}, UnknownNameError, "frozen"),
        ({"backbone": "resnet81"}, UnknownNameError, "resnet18"),
        ({"num_classes": 0}, ValueError, "num_classes is 0"),
        ({"image_mean": (0.5,)}, ValueError, "3 numbers"),
    ],
)
def test_wrong_options_name_what_would_do(tiny, options, error, words):
    with pytest.raises(error, match=words):
        FasterRCNN(**{**tiny, **options})


def test_frozen_norms_have_no_parameters(tiny):
    model = FasterRCNN(**{**tiny, "norm": "frozen"})
    kinds = {type(module) for module in model.backbone.body.modules() if "Norm" in type(module).__name__}
    assert kinds == {FrozenBatchNorm}
    sum(model(*batch()).values()).backward()


def test_a_backbone_of_timms_with_its_own_norms(tiny):
    """Fails if norms that hold their activation lose it, or names of timm's hide the maps."""
    import timm

    name = "timm:efficientnet_lite0"
    options = {**tiny, "backbone": name, "strides": (8, 16), "norm": "frozen"}
    model = FasterRCNN(**options)
    assert not [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    reference = timm.create_model("efficientnet_lite0", features_only=True).eval()
    reference.load_state_dict(
        {key.removeprefix("model."): value for key, value in model.backbone.body.state_dict().items()}, strict=False
    )
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(model.backbone.body.forward_features(x), reference(x), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    sum(model(*batch()).values()).backward()


def test_fine_tuning_knows_its_parts(detector):
    """Fails if the pyramid and the proposals stay frozen with the body, or another head is replaced."""
    assert head_paths(detector)[0] == "roi_heads.box_predictor"
    assert set(parts_above_body(detector)) == {"backbone.fpn", "rpn", "roi_heads"}


def test_statistics_are_those_of_the_backbones_weights():
    """Fails if images for EfficientNet-Lite, which was trained on -1..1, are normalised by ImageNet's mean."""
    from vision.detection.catalog import MODELS

    options = {entry.name: entry.config for entry in MODELS}["faster_rcnn_efficientnet_lite0_fpn"]
    model = FasterRCNN(**options)
    assert model.image_mean.flatten().tolist() == [0.5] * 3
    assert "image_mean" not in model.state_dict()
