"""The weight map of the U-Net paper, by hand and by a plain reference."""

import math

import numpy as np
import pytest

from vision.data.masks_weights import border_weights


def test_the_gap_between_two_objects_by_hand():
    """A row of nine pixels, objects at 0..2 and 6..8, three of background: each class weighs 9 / (2 count).

    At pixel 3 the objects are 1 and 3 pixels away, at 4 both 2: the sum is 4 everywhere in the gap.
    """
    mask = np.array([[1, 1, 1, 0, 0, 0, 1, 1, 1]])
    found = border_weights(mask, border_weight=10.0, sigma=5.0)
    gap = 9 / (2 * 3) + 10 * math.exp(-(4**2) / (2 * 25))
    cell = 9 / (2 * 6)
    np.testing.assert_allclose(found, [[cell] * 3 + [gap] * 3 + [cell] * 3], rtol=1e-6)


def test_one_object_alone_has_no_gap():
    mask = np.zeros((9, 9), dtype=np.int64)
    mask[3:6, 3:6] = 1
    found = border_weights(mask)
    assert set(np.unique(found).round(5)) == {round(81 / (2 * 72), 5), 4.5}
    assert found.mean() == pytest.approx(1.0)


def test_touching_objects_of_one_class_are_one():
    """Diagonal neighbours are two objects: what the paper's background between cells is for."""
    mask = np.eye(2, dtype=np.int64)
    assert border_weights(mask)[0, 1] > 10 * math.exp(-(2**2) / 50) > border_weights(np.ones((2, 2), np.int64)).max()


@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_far_and_near_objects_are_those_of_a_plain_reference(sigma):
    """Every pair of distances, without the shortcut for what is out of reach."""
    from scipy import ndimage

    generator = np.random.default_rng(0)
    mask = (ndimage.gaussian_filter(generator.normal(size=(70, 90)), 3) > 0.03).astype(np.int64)
    mask[10:14, 20:30] = 2
    mask[60:, 80:] = 255
    found = border_weights(mask, border_weight=7.0, sigma=sigma)
    distances = []
    for label in (1, 2):
        objects, count = ndimage.label(mask == label)
        for number in range(1, count + 1):
            rows = np.argwhere(objects == number)
            grid = np.stack(np.mgrid[:70, :90], axis=-1)[:, :, None]
            distances.append(np.sqrt(((grid - rows) ** 2).sum(-1)).min(2))
    nearest = np.sort(np.stack(distances), axis=0)[:2].sum(0)
    counted = mask != 255
    expected = np.zeros(mask.shape)
    for label in (0, 1, 2):
        expected[mask == label] = counted.sum() / (3 * (mask == label).sum())
    ground = mask == 0
    expected[ground] += 7.0 * np.exp(-(nearest[ground] ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_objects_and_nothing_to_count():
    assert (border_weights(np.zeros((3, 4), dtype=np.int64)) == 1).all()
    assert (border_weights(np.full((3, 4), 255)) == 0).all()
