"""The task: losses by hand, judging, prediction, pictures, options."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from vision.data.masks import SegmentationInput
from vision.segmentation.task import Loss, Segmentation
from vision.segmentation.unet import UNet
from zoo.data import Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.losses import cross_entropy, dice_loss, focal, lovasz_softmax, tversky_loss
from zoo.training import evaluate

CLASSES = ["back", "cell", "nucleus"]


class Fixed(nn.Module):
    """Gives the logits that it holds, whatever it sees."""

    def __init__(self, logits, *, margin=0):
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.margin = margin

    def forward(self, images):
        return self.logits[: len(images)]


class PixelColours(nn.Module):
    """Channel k of an image is the logit of class k."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return images * self.scale


def batch(size=(6, 7), *, rows=2, ignored=False):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, 3, *size, generator=generator)
    masks = torch.randint(3, (rows, *size), generator=generator)
    if ignored:
        masks[0, :3] = 255
    return logits, masks


@pytest.mark.parametrize("ignored", [False, True])
def test_losses_are_those_of_the_table(ignored):
    logits, masks = batch(ignored=ignored)
    expected = {
        "cross_entropy": cross_entropy(logits, masks, ignore_index=255),
        "dice": dice_loss(logits, masks),
        "tversky": tversky_loss(logits, masks),
        "focal": focal(logits, masks, ignore_index=255),
        "lovasz": lovasz_softmax(logits, masks),
    }
    parts = {name: [name if name == "cross_entropy" else f"{name}_loss"] for name in expected}
    for other in ("dice", "lovasz"):
        expected[f"cross_entropy_{other}"] = expected["cross_entropy"] + expected[other]
        parts[f"cross_entropy_{other}"] = ["cross_entropy", f"{other}_loss"]
    assert set(expected) == set(get_args(Loss))
    for name, value in expected.items():
        found = Segmentation(classes=CLASSES, loss=name).losses(Fixed(logits), (logits, masks))
        torch.testing.assert_close(found["loss"], value)
        # "dice" is the score in curves and tables, which rises where the loss falls: they must not share a name.
        assert list(found) == ["loss", *parts[name], "pixel_accuracy"]
    counted = masks != 255
    accuracy = (logits.argmax(1) == masks)[counted].float().mean()
    torch.testing.assert_close(found["pixel_accuracy"], accuracy)


@pytest.mark.parametrize(("name", "loss"), [("cross_entropy", cross_entropy), ("focal", focal)])
def test_class_weights_are_a_weighted_mean(name, loss):
    logits, masks = batch(ignored=True)
    weights = [1.0, 3.0, 0.5]
    task = Segmentation(classes=CLASSES, loss=name, class_weights=weights)
    found = task.losses(Fixed(logits), (logits, masks))["loss"]
    torch.testing.assert_close(found, loss(logits, masks, class_weights=weights, ignore_index=255))
    total = sum(weights[label] for label in masks[masks != 255].tolist())
    assert float(task.mean_weight((logits, masks))) == pytest.approx(total)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_batches_of_unequal_counts_add_up(name):
    """The weights of the means make two batches one: fails if rows are counted where pixels should be."""
    logits, masks = batch(rows=3, ignored=True)
    for weights in (None, [1.0, 3.0, 0.5]):
        task = Segmentation(classes=CLASSES, loss=name, class_weights=weights)
        parts = [(logits[:1], masks[:1]), (logits[1:], masks[1:])]
        means = [task.losses(Fixed(part[0]), part)["loss"] for part in parts]
        shares = torch.tensor([float(task.mean_weight(part)) for part in parts])
        whole = task.losses(Fixed(logits), (logits, masks))["loss"]
        torch.testing.assert_close((torch.stack(means) * shares).sum() / shares.sum(), whole)


def test_weights_of_pixels_by_hand():
    """Equation 1, as a mean over two pixels: (2 ln 2 + 5 ln 2) / 2; fails if it is divided by the weights."""
    logits = torch.zeros(1, 2, 1, 2)
    masks, weights = torch.tensor([[[0, 1]]]), torch.tensor([[[2.0, 5.0]]])
    task = Segmentation(classes=["a", "b"], loss="cross_entropy")
    found = task.losses(Fixed(logits), (torch.zeros(1, 1, 1, 2), masks, weights))["loss"]
    assert found.item() == pytest.approx(3.5 * math.log(2))


@pytest.mark.parametrize("name", get_args(Loss))
def test_nothing_to_count_gives_no_nan(name):
    logits, masks = batch()
    model = Fixed(logits)
    loss = Segmentation(classes=CLASSES, loss=name).losses(model, (logits, torch.full_like(masks, 255)))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert not model.logits.grad.any()


def test_side_heads_count_by_their_weight():
    logits, masks = batch()

    class WithSideHead(Fixed):
        def forward(self, images):
            return {"out": self.logits, "aux": 2 * self.logits}

    task = Segmentation(classes=CLASSES, loss="cross_entropy", auxiliary_weight=0.3)
    expected = cross_entropy(logits, masks) + 0.3 * cross_entropy(2 * logits, masks)
    torch.testing.assert_close(task.losses(WithSideHead(logits), (logits, masks))["loss"], expected)


def test_a_network_without_padding_learns_from_the_middle():
    logits, masks = batch(size=(10, 12))
    inner = logits[..., 2:-2, 2:-2]
    task = Segmentation(classes=CLASSES, loss="cross_entropy")
    found = task.losses(Fixed(inner, margin=2), (logits, masks))["loss"]
    torch.testing.assert_close(found, cross_entropy(inner, masks[:, 2:-2, 2:-2]))


def test_judging_adds_up_over_batches_and_ignores_what_is_filled_up():
    """Fails if batches are averaged, or 255 counts."""
    logits, masks = batch(rows=4, ignored=True)
    task = Segmentation(classes=CLASSES)
    batches = [(logits[:1], masks[:1]), (logits[1:], masks[1:])]
    values, metrics = evaluate(PixelColours(), task, batches)
    kept = masks != 255
    labels = logits.argmax(1)
    assert values["pixel_accuracy"] == pytest.approx((labels == masks)[kept].float().mean().item())
    shared = [((labels == k) & (masks == k) & kept).sum() for k in range(3)]
    either = [(((labels == k) | (masks == k)) & kept).sum() for k in range(3)]
    each = [float(inside / total) for inside, total in zip(shared, either, strict=True)]
    assert values["mean_iou"] == pytest.approx(sum(each) / 3)
    assert values["cross_entropy"] == pytest.approx(cross_entropy(logits, masks, ignore_index=255).item(), rel=1e-5)
    assert set(values) == {"mean_iou", "dice", "pixel_accuracy", "cross_entropy"}
    assert task.monitor in values
    assert set(task.figures(metrics)) == {"classes", "overlays"}
    assert len(metrics["overlays"].items) == 4


def test_tiles_are_judged_as_the_whole_image():
    logits, masks = batch(size=(30, 40))
    whole, _ = evaluate(PixelColours(), Segmentation(classes=CLASSES), [(logits, masks)])
    tiled, _ = evaluate(PixelColours(), Segmentation(classes=CLASSES, tile=16, overlap=4), [(logits, masks)])
    assert whole == pytest.approx(tiled, rel=1e-4)


def test_prediction_counts_pixels_and_has_the_size_of_the_file():
    image = torch.full((3, 4, 6), -9.0)
    image[0, :, :3] = 9.0
    image[2, :, 3:] = 9.0
    task = Segmentation(classes=CLASSES)
    (found,) = task.predict(PixelColours(), [SegmentationInput(image, (8, 12))])
    assert found == {"size": [8, 12], "classes": {"back": 0.5, "cell": 0.0, "nucleus": 0.5}}
    (mask,) = task.masks(PixelColours(), [SegmentationInput(image, (8, 12))])
    assert mask.dtype == np.uint8
    assert mask[:, :6].max() == 0
    assert mask[:, 6:].min() == 2
    assert task.describe(found) == "8 x 12 pixels: back 50.0 %  nucleus 50.0 %"
    assert task.picture(PixelColours(), image, [found]) is not None


def test_prediction_gives_back_the_mode_and_takes_arrays():
    model = UNet(width=2, depth=2, padding="same", norm="batch").train()
    model.down[0].eval()
    task = Segmentation(classes=["a", "b"])
    image = torch.randn(1, 5, 7)
    found = task.predict(model, image.numpy())
    assert found == task.predict(model, image[None].double())
    assert model.training
    assert not model.down[0].training
    with pytest.raises(DataError, match="float images"):
        task.predict(model, image.to(torch.uint8))


def test_images_of_several_sizes_are_predicted_together():
    task = Segmentation(classes=CLASSES)
    rows = [SegmentationInput(torch.randn(3, *size), size) for size in ((5, 6), (9, 4))]
    together = task.predict(PixelColours(), rows)
    assert [row["size"] for row in together] == [[5, 6], [9, 4]]
    assert together == [task.predict(PixelColours(), [row])[0] for row in rows]


def test_schema_builds_the_same_task():
    task = Segmentation(
        classes=CLASSES, preprocessing={"size": [64, 64], "shorter_side": 80, "mean": [0.5], "std": [0.5]},
        input_shape=[1, 64, 64], loss="cross_entropy", class_weights=[1, 2, 3], tile=32, overlap=8,
    )  # fmt: skip
    again = Segmentation(**task.schema())
    assert again.schema() == task.schema()
    assert again.preprocessing.shorter_side == 80


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"classes": ["a"]}, DataError),
        ({"loss": "dices"}, UnknownNameError),
        ({"class_weights": [1.0]}, ValueError),
        ({"loss": "dice", "class_weights": [1.0, 1.0, 1.0]}, ValueError),
        ({"tile": 0}, ValueError),
    ],
)
def test_what_cannot_be_raises(options, error):
    with pytest.raises(error):
        Segmentation(**{"classes": CLASSES, **options})


def test_other_rows_raise():
    arrays = Bundle.from_arrays(torch.randn(8, 3, 4, 4), torch.arange(8) % 2, task="vision/segmentation")
    with pytest.raises(DataError, match="mask"):
        Segmentation.from_bundle(arrays)
