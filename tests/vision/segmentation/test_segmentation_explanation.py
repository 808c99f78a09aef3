"""Seg-Grad-CAM: by hand, its region, its class, the borders of a network without padding."""

import pytest
import torch
from torch import nn

from vision.segmentation.explanation import explain_pixels
from vision.segmentation.task import Segmentation
from vision.segmentation.unet import UNet
from zoo.errors import DataError, UnknownNameError

CLASSES = ["back", "left", "right"]


class Linear(nn.Module):
    """A layer of pooled maps [B, 2, H/2, W/2], then logits that are linear in them."""

    explained_layer = "body"

    def __init__(self):
        super().__init__()
        self.body = nn.AvgPool2d(2)
        self.up = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(2, 3, 1, bias=False)
        with torch.no_grad():
            self.head.weight[:, :, 0, 0] = torch.tensor([[0.1, 0.1], [1.0, -0.5], [-0.5, 1.0]])

    def forward(self, x):
        return self.head(self.up(self.body(x)))


def image():
    """Left half bright in channel 0, right half in channel 1."""
    x = torch.zeros(2, 4, 8)
    x[0, :, :4] = 2.0
    x[1, :, 4:] = 3.0
    return x


def test_heat_by_hand():
    """d(sum of logits of a class over the region) / d(maps) is 4 w for each cell of the region, 0 elsewhere.

    A region of two cells among 8: weights w (4 * 2 / 8); the heat is ReLU of them times the maps.
    Fails if the sum becomes a mean, or the region is turned around.
    """
    found = explain_pixels(Linear(), [image()], target="left", options={"region": (0, 2, 4, 4)}, classes=CLASSES)
    weights = torch.tensor([1.0, -0.5]) * 4 * 2 / 8
    maps = nn.functional.avg_pool2d(image()[None], 2)
    expected = torch.einsum("d,bdhw->bhw", weights, maps).relu()
    torch.testing.assert_close(found.raw, expected)
    assert found.heat.shape == (1, 4, 8)
    assert found.layer == "body"
    assert found.title(0) == "left in (0, 2, 4, 4)"


def test_without_a_region_the_pixels_of_the_class_count():
    """32 pixels, half of them "right": twice the heat of a region with a quarter of them."""
    whole = explain_pixels(Linear(), [image()], target="right", classes=CLASSES)
    part = explain_pixels(Linear(), [image()], target="right", options={"region": (4, 0, 8, 2)}, classes=CLASSES)
    torch.testing.assert_close(whole.heat, 2 * part.heat)
    assert whole.heat[..., 4:].min() > 0
    assert whole.heat[..., :2].max() == 0


def test_the_largest_class_but_the_first_is_explained():
    """Three quarters of the first image are "right"."""
    x = image()
    x[0, :, 2:], x[1, :, 2:] = 0.0, 3.0
    found = explain_pixels(Linear(), [x, image() * 0 - 1.0], classes=CLASSES)
    assert found.title(0).startswith("right")
    assert found.title(1).startswith("back")  # which is all there is


@pytest.mark.parametrize("method", ["grad_cam", "saliency"])
def test_a_network_without_padding_gives_heat_over_the_image(method):
    torch.manual_seed(0)
    model = UNet(width=2, depth=3)
    x = torch.randn(1, 37, 45)
    task = Segmentation(classes=["a", "b"])
    found = task.explain(model, x, method=method, target="b", options={"region": "3,4,20,30"})
    assert found.heat.shape == (1, 37, 45)
    assert found.inputs.shape == (1, 1, 37, 45)
    torch.testing.assert_close(found.inputs[0], x)
    assert found.layer == ("down.2" if method == "grad_cam" else None)
    found.figure()


def test_a_gradient_stays_where_the_region_sees():
    """Fails if heat and image are shifted against each other by the margin."""
    torch.manual_seed(0)
    model = UNet(width=2, depth=1)  # a receptive field of 2 pixels
    found = explain_pixels(
        model, [torch.randn(1, 30, 30)], method="saliency", target=1, options={"region": (10, 12, 11, 13)},
        classes=["a", "b"],
    )  # fmt: skip
    rows, columns = found.heat[0].nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (10, 14)
    assert (int(columns.min()), int(columns.max())) == (8, 12)


def test_the_model_is_as_before():
    model = UNet(width=2, depth=2, padding="same", norm="batch").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explain_pixels(model, [torch.randn(1, 8, 8)], target=0, classes=["a", "b"])
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


@pytest.mark.parametrize("region", [(0, 0, 9, 4), (3, 0, 3, 4), (0, 0, 4), (-1, 0, 2, 2)])
def test_a_region_outside_raises(region):
    with pytest.raises(ValueError, match="8 x 4"):
        explain_pixels(Linear(), [image()], options={"region": region}, classes=CLASSES)


def test_an_unknown_class_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="left"):
        explain_pixels(Linear(), [image()], target="lef", classes=CLASSES)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        explain_pixels(Linear(), [image()], target=3, classes=CLASSES)


def test_images_of_several_sizes_raise():
    with pytest.raises(DataError, match="one by one"):
        explain_pixels(Linear(), [image(), image()[:, :2]], classes=CLASSES)
