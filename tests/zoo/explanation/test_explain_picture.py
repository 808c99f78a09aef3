"""The picture: colours, overlay, titles, files."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.explanation import Explanation, explain
from zoo.explanation.pictures.image import colour, overlay, to_images
from zoo.records import ImagePreprocessing


def an_explanation(**changes) -> Explanation:
    """A hot cell at row 1, column 2 of one grey image of 8 x 12 pixels."""
    heat = torch.zeros(1, 8, 12)
    heat[0, 1, 2] = 1.0
    defaults = {"inputs": torch.zeros(1, 1, 8, 12), "heat": heat, "raw": heat, "method": "grad_cam", "signed": False}
    return Explanation(**{**defaults, **changes})


def test_preprocessing_is_undone():
    """Fails for mean and std swapped, or not per channel."""
    pixels = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    preprocessing = ImagePreprocessing()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    images = to_images((pixels - mean) / std, preprocessing)
    np.testing.assert_allclose(images, pixels.permute(0, 2, 3, 1).numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="for 3 channels, the inputs have 1"):
        to_images(pixels[:, :1], preprocessing)


def test_without_preprocessing_each_image_is_stretched():
    """One channel gives grey [B, H, W]; a constant image does not divide by zero."""
    inputs = torch.stack([torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]]), torch.full((1, 2, 2), 7.0)])
    images = to_images(inputs, None)
    np.testing.assert_allclose(images, [[[0.0, 0.5], [0.75, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert to_images(torch.rand(1, 4, 6, 7), None).shape == (1, 6, 7)


def test_colours_rise_in_lightness_and_signs_differ():
    """Fails for a rainbow map, or signed heat that is not centred on zero."""
    luma = np.array([0.299, 0.587, 0.114])
    colours, opacity = colour(np.linspace(0, 5, 50)[None], signed=False, percentile=100)
    assert (np.diff(colours[0] @ luma) > 0).all()
    assert (opacity[0, 0], opacity[0, -1]) == (0, 1)
    colours, opacity = colour(np.array([[-1.0, 0.0, 2.0]]), signed=True, percentile=100)
    blue, white, red = colours[0]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert white.min() > 0.95
    np.testing.assert_allclose(opacity, [[0.5, 0.0, 1.0]])


@pytest.mark.parametrize("signed", [False, True])
def test_heat_that_is_zero_or_has_one_large_pixel(signed):
    """No division by zero; one pixel does not darken the rest."""
    colours, opacity = colour(np.zeros((4, 4)), signed=signed, percentile=99)
    assert np.isfinite(colours).all()
    assert not opacity.any()
    heat = np.linspace(0, 1, 1000).reshape(20, 50)
    heat[0, 0] = 1000.0
    assert np.median(colour(heat, signed=signed, percentile=99)[1]) > 0.4


def test_the_overlay_shows_the_image_where_there_is_no_heat():
    image = np.random.default_rng(0).random((4, 5, 3))
    heat = np.zeros((4, 5))
    heat[1, 2] = 1.0
    colours, opacity = colour(heat, signed=False, percentile=100)
    laid = overlay(image, colours, opacity)
    grey = image @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(laid[0, 0], [grey[0, 0]] * 3)
    assert np.abs(laid[1, 2] - grey[1, 2]).max() > 0.1


def test_titles():
    """Fails if label, probability and row get mixed."""
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, np.log(8.0), 0.0]])
    rows = {"heat": torch.zeros(2, 8, 12), "target": torch.tensor([2, 1]), "logits": logits}
    named = an_explanation(**rows, labels=["cat", "dog", "cow"])
    assert [named.title(row) for row in range(2)] == ["cow, 33.3 %", "dog, 80.0 %"]
    assert an_explanation(**rows).title(1) == "class 1, 80.0 %"
    single = an_explanation(target=torch.tensor([0]), logits=torch.tensor([[0.0]]))
    assert single.title(0) == "class 0, 50.0 %"


@pytest.mark.parametrize(("num_rows", "grid"), [(1, (1, 3)), (4, (4, 3)), (5, (3, 6)), (13, (5, 9))])
def test_the_figure_holds_every_row(num_rows, grid):
    """Three panels each, in reading order; fails if rows are left out."""
    labels = [f"number {i}" for i in range(num_rows)]
    found = an_explanation(
        inputs=torch.rand(num_rows, 3, 8, 12), heat=torch.rand(num_rows, 8, 12), target=torch.arange(num_rows),
        logits=torch.zeros(num_rows, num_rows), labels=labels,
    )  # fmt: skip
    figure = found.figure()
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    drawn = [axis.get_title().split(",")[0] for axis in figure.axes if "number" in axis.get_title()]
    assert drawn == labels
    assert sum(len(axis.images) for axis in figure.axes) == 3 * num_rows


def test_saved_files(gap_cnn, images, tmp_path):
    """Fails if the file is blank or the format is not that of the suffix."""
    found = explain(gap_cnn, images, labels=["a", "b", "c", "d", "e"])
    found.save(tmp_path / "why.png")
    found.save(str(tmp_path / "why.pdf"))
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("RGB")).std() > 20
    assert (tmp_path / "why.pdf").read_bytes().startswith(b"%PDF")


def test_pictures_are_of_images():
    with pytest.raises(ValueError, match=r"Pictures are of images.*\[2, 4\]"):
        an_explanation(inputs=torch.zeros(2, 4), heat=torch.zeros(2, 4)).figure()


def test_no_global_state(tmp_path):
    """Fails if pyplot is imported: it would choose a window system and keep every figure."""
    code = (
        "import sys, torch; from zoo.explanation import Explanation; h = torch.zeros(1, 4, 4); "
        "e = Explanation(inputs=h[None], heat=h, raw=h, method='cam', signed=True); e.save(sys.argv[1]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "why.png")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
