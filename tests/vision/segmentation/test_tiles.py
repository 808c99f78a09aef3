"""Prediction in tiles: equal to the whole image, borders, coverage."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from vision.segmentation.tiles import fade, mirrored, predict_probs, reflected, spans
from vision.segmentation.unet import UNet


class Local(nn.Module):
    """Two 3 x 3 convolutions: each output pixel sees 2 pixels around it."""

    def __init__(self, *, margin=0):
        super().__init__()
        torch.manual_seed(0)
        padding = 0 if margin else 1
        self.margin = margin
        self.layers = nn.Sequential(nn.Conv2d(2, 6, 3, padding=padding), nn.Tanh(), nn.Conv2d(6, 3, 3, padding=padding))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("size", [(50, 61), (33, 32), (32, 100)])
@pytest.mark.parametrize("overlap", [8, 9, 20])
def test_tiles_give_what_the_whole_image_gives(size, overlap):
    """The receptive field of 2 pixels lies in the outer quarter of the overlap, which is left to the neighbour.

    Fails if tiles are laid or blended off by a pixel, or the spoilt border counts.
    """
    model = Local()
    x = torch.randn(2, 2, *size)
    whole = predict_probs(model, x)
    torch.testing.assert_close(predict_probs(model, x, tile=32, overlap=overlap), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole, model(x).softmax(1))


def test_a_border_that_counts_would_be_seen():
    """Without overlap padding shows, so that the test above can fail."""
    model = Local()
    x = torch.randn(1, 2, 50, 61)
    whole, tiled = predict_probs(model, x), predict_probs(model, x, tile=32, overlap=0)
    assert (whole - tiled).abs().max() > 1e-3


@pytest.mark.parametrize("tile", [None, 24, 36])
@pytest.mark.parametrize("overlap", [0, 5])
def test_without_padding_any_tile_gives_the_mirrored_image(tile, overlap):
    """What a network without padding sees outside of the image is its mirror image, as NumPy makes it."""
    model = Local(margin=2)
    x = torch.randn(2, 2, 41, 30)
    padded = torch.from_numpy(np.pad(x.numpy(), [(0, 0), (0, 0), (2, 2), (2, 2)], mode="reflect"))
    with torch.no_grad():
        expected = model(padded).softmax(1)
    torch.testing.assert_close(predict_probs(model, x, tile=tile, overlap=overlap), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tile", [None, 44])
def test_the_unet_of_2015_takes_any_size(tile):
    """Its tiles are spaced by the stride or not: pooling makes outputs differ then, but never the shape or the sum."""
    torch.manual_seed(0)
    model = UNet(width=2, depth=3).eval()
    found = predict_probs(model, torch.randn(1, 1, 29, 53), tile=tile and model.admissible(tile))
    assert found.shape == (1, 2, 29, 53)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 29, 53))


def test_an_image_smaller_than_the_tile_is_mirrored():
    model = Local()
    x = torch.randn(1, 2, 7, 5)
    padded = torch.from_numpy(np.pad(x.numpy(), [(0, 0), (0, 0), (0, 9), (0, 11)], mode="reflect"))
    with torch.no_grad():
        expected = model(padded).softmax(1)[..., :7, :5]
    torch.testing.assert_close(predict_probs(model, x, tile=16), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_reflection_is_numpys(size):
    row = np.arange(size)
    expected = np.pad(row, (9, 12), mode="reflect") if size > 1 else np.zeros(22, dtype=int)
    assert reflected(size, start=-9, length=size + 21).tolist() == expected.tolist()


def test_mirrored_takes_its_part():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (2, 1), (1, 2)], mode="reflect")
    torch.testing.assert_close(mirrored(x, top=2, left=1, height=6, width=7), torch.from_numpy(expected))


@pytest.mark.parametrize("overlap", [0, 1, 4, 11])
def test_spans_cover_and_weights_never_vanish(overlap):
    """Fails if an axis is not covered, neighbours share too little, or a pixel has no weight at all."""
    for size in range(1, 90):
        found = spans(size, length=16, overlap=overlap)
        total = torch.zeros(max(size, 16))
        for span in found:
            total[span.start : span.start + 16] += fade(span, overlap=overlap)
        assert (total[:size] > 0.4).all()
        assert all(after.start <= before.start + 16 - overlap for before, after in itertools.pairwise(found))
        if size >= 16:
            assert found[-1].start + 16 == size


def test_blending_is_linear_and_sums_to_one():
    first, second = spans(28, length=16, overlap=4)
    total = torch.zeros(28)
    total[first.start : first.start + 16] += fade(first, overlap=4)
    total[second.start : second.start + 16] += fade(second, overlap=4)
    torch.testing.assert_close(total, torch.ones(28))
    assert fade(first, overlap=4)[-4:].tolist() == [1.0, 0.75, 0.25, 0.0]


def test_unsuitable_tiles_raise():
    with pytest.raises(ValueError, match="take 588"):
        predict_probs(UNet(width=1), torch.zeros(1, 1, 40, 40), tile=580)
    with pytest.raises(ValueError, match="overlap=12"):
        predict_probs(Local(margin=2), torch.zeros(1, 2, 40, 40), tile=16, overlap=12)
