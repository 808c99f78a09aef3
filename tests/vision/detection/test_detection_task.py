"""The task on any detector: native ones and torchvision's, predictions, pictures, explanations."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torchvision.models import get_model

from vision.detection.explaining import OneImage, _aligned, _seen_by_backbone
from vision.detection.task import Detection
from zoo.data import Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.registry import model_info
from zoo.training import evaluate

CLASSES = ("disc", "square")


class Oracle(nn.Module):
    """Finds the same boxes in every image, in one backbone convolution's shade; counts classes from `first`."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Identity())
        self.first = first
        self.seen: list[torch.Tensor] = []

    def forward(self, images, targets=None):
        if self.training:
            self.seen += [target["labels"] for target in targets]
            self.boxes = [target["boxes"] for target in targets]
            return {"loss_a": self.backbone[0].weight.sum(), "loss_b": torch.tensor(2.0)}
        boxes = torch.tensor([[4.0, 4, 20, 20], [30, 10, 50, 40], [1, 1, 9, 9]])
        results = []
        for image in images:
            shade = self.backbone(image[None])[0, :, 10:40, 30:50].mean().add(1).sigmoid()
            scores = torch.stack((0.5 + shade / 2, shade, shade * 0.2))
            results.append({"boxes": boxes, "labels": torch.tensor([1, 0, 1]) + self.first, "scores": scores})
        return results


@pytest.fixture
def images() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.rand(3, 48, 64), torch.rand(3, 60, 56)]


def targets(**flags: list[bool]) -> list[dict[str, torch.Tensor]]:
    target = {"boxes": torch.tensor([[4.0, 4, 20, 20], [30, 10, 50, 40]]), "labels": torch.tensor([1, 0])}
    return [target | {name: torch.tensor(value) for name, value in flags.items()}] * 2


@pytest.fixture
def task() -> Detection:
    return Detection(classes=CLASSES)


@pytest.mark.parametrize(("stated", "first"), [(None, 1), (0, 0), (1, 1)])
def test_labels_are_counted_as_the_model_counts_them(images, stated, first):
    """Fails if the background's number is given to a class, in training or in what is found."""
    task, model = Detection(classes=CLASSES, first_label=stated), Oracle(first)
    losses = task.losses(model, (images, targets()))
    assert [labels.tolist() for labels in model.seen] == [[1 + first, 0 + first]] * 2
    assert set(losses) == {"loss", "loss_a", "loss_b"}
    torch.testing.assert_close(losses["loss"], losses["loss_a"] + losses["loss_b"])
    assert [box["label"] for box in task.predict(model, images)[0]["boxes"]][:1] == ["square"]


def test_a_model_says_itself_how_it_counts(detector, task, images):
    assert task._first_label(detector) == 0
    assert task.model_arguments(model_info("torchvision:ssdlite320_mobilenet_v3_large")) == {"num_classes": 2}
    options = model_info("torchvision:ssdlite320_mobilenet_v3_large").task_options
    assert Detection(classes=CLASSES, **options).model_arguments(model_info("resnet18")) == {"num_classes": 3}


def test_crowds_are_not_trained_on(images, task):
    model = Oracle(1)
    task.losses(model, (images, targets(iscrowd=[True, False])))
    assert [len(boxes) for boxes in model.boxes] == [1, 1]


def test_predictions_are_json_and_described(images, task):
    prediction = task.predict(Oracle(1), images)[1]["boxes"]
    assert [box["label"] for box in prediction] == ["square", "disc"]
    assert prediction[0]["box"] == [4.0, 4.0, 20.0, 20.0]
    assert prediction[0]["score"] > prediction[1]["score"] >= 0.5
    words = task.describe({"boxes": prediction})
    assert words.startswith("1 square, 1 disc; most certain square 0.8")
    assert words.endswith("at [4, 4, 20, 20]")
    strict = Detection(classes=CLASSES, score_threshold=1.0)
    assert strict.predict(Oracle(1), images)[0] == {"boxes": []}
    assert "nothing" in strict.describe({"boxes": []})


def test_one_image_a_batch_or_a_list(images, task):
    assert len(task.predict(Oracle(1), images[0])) == 1
    assert len(task.predict(Oracle(1), torch.stack([images[0]] * 3))) == 3
    for wrong in (torch.zeros(3, 8, 8, dtype=torch.uint8), [torch.zeros(8)], "cat", None):
        with pytest.raises(DataError, match=r"\[3, h, w\]"):
            task.predict(Oracle(1), wrong)


def test_evaluation_judges_and_draws(images, task):
    """Fails if the label's offset is lost on the way to the metrics, or pictures need more than the metrics hold."""
    values, metrics = evaluate(Oracle(1), task, [(images, targets(difficult=[False, False], iscrowd=[False, False]))])
    assert set(values) == {"map", "map50", "map75", "voc_ap50", "ap50_disc", "ap50_square"}
    assert values["map50"] == pytest.approx(1.0)
    figures = task.figures(metrics)
    assert set(figures) == {"precision_recall", "examples"}
    assert all(isinstance(figure, Figure) for figure in figures.values())
    shown = [text.get_text() for axis in figures["examples"].axes for text in axis.texts]
    assert {"disc", "square"} < set(shown)
    assert any(text.startswith("square 0.") for text in shown)


def test_picture_shows_the_boxes(images, task):
    model = Oracle(1)
    figure = task.picture(model, images, task.predict(model, images))
    assert [len(axis.patches) for axis in figure.axes] == [2, 2]
    assert figure.axes[0].patches[1].get_bbox().bounds == (4.0, 4.0, 16.0, 16.0)


def test_schema_rebuilds_the_task():
    task = Detection(classes=CLASSES, score_threshold=0.3, first_label=1)
    assert Detection(**task.schema()).schema() == task.schema()
    with pytest.raises(ValueError, match="score_threshold"):
        Detection(classes=CLASSES, score_threshold=3)
    with pytest.raises(DataError, match="one class"):
        Detection(classes=())


def test_data_without_boxes_are_refused():
    bundle = Bundle.from_arrays(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), validation=0.0)
    with pytest.raises(DataError, match="dict with"):
        Detection.from_bundle(bundle)


@pytest.mark.parametrize(
    ("target", "title"), [(None, "square"), ("disc", "disc"), (1, "disc"), ([0, "disc"], "square")]
)
def test_explains_the_box_that_was_asked_for(images, task, target, title):
    found = task.explain(Oracle(1), images, target=target)
    assert found.heat.shape == (2, 60, 64)
    assert not found.heat[0, 48:].any()
    assert found.labels[0].startswith(title)
    assert isinstance(found.figure(), Figure)


@pytest.mark.parametrize("method", ["saliency", "grad_cam"])
def test_heat_lies_on_what_the_score_depends_on(images, task, method):
    """The oracle looks at rows 10..40 and columns 30..50 only; fails if heat is not where the score comes from."""
    torch.manual_seed(1)
    heat = task.explain(Oracle(1), images[0], target="disc", method=method).heat[0]
    assert heat.any()
    heat[9:41, 29:51] = 0  # a pixel more on each side, for the convolution
    assert not heat.any()
    with pytest.raises(UnknownNameError, match="'disc'"):
        task.explain(Oracle(1), images[0], target="disk")
    with pytest.raises(DataError, match="no box number 7; 3 were found"):
        task.explain(Oracle(1), images[0], target=7)


def test_explains_a_detector_by_its_pyramid_and_leaves_it_alone(detector, task, images):
    """Fails if a layer is chosen that the heads do not see, or the model comes back changed."""
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.weight.normal_(std=0.5)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    found = [task.explain(detector.train(), images[0], target=number) for number in range(8)]
    assert detector.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())
    assert all(one.layer.startswith("backbone.fpn.layer_blocks.") for one in found)
    assert all(one.heat.shape == (1, 48, 64) for one in found)
    assert any(one.heat.any() for one in found)
    named = task.explain(detector, images[0], layer="backbone.body.layer3")
    assert named.layer == "backbone.body.layer3"


def test_heat_leaves_the_networks_padding_out(detector, task, images):
    """48 x 64 pixels are seen as 64 x 85 of 64 x 96; fails if the heat of the padding is squeezed into the image."""
    seen = _seen_by_backbone(OneImage(detector, task), images[0][None])
    assert seen == ((64, 85), (64, 96))
    raw = torch.zeros(1, 16, 24)
    raw[:, :, 22:] = 1.0
    assert not _aligned(raw, seen, (48, 64))[..., :60].any()
    raw[:, :, 10] = 1.0  # columns 40 to 44 of 96: 30 to 33 of the image
    assert _aligned(raw, seen, (48, 64))[0, 20].argmax() in (30, 31, 32)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large"])
def test_torchvisions_detectors_are_trained_judged_and_explained(name, images, task):
    """Fails if the task knows only the zoo's own."""
    torch.manual_seed(0)
    model = get_model(name, weights=None, weights_backbone=None, num_classes=3)
    batch = (images, targets(difficult=[False, False], iscrowd=[False, False]))
    losses = task.losses(model.train(), batch)
    assert losses["loss"].requires_grad
    assert losses["loss"].isfinite()
    outputs, _ = task.evaluate(model.eval(), batch)
    assert set(torch.cat([found["labels"] for found in outputs]).tolist()) <= {0, 1}
    assert task.explain(model, images[0]).heat.shape == (1, 48, 64)
