"""Views of images: torchvision's crops, and what each view keeps."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from vision.data.views import crop, five_crop, flip, flips, mask_flip, mask_flips, scales, ten_crop
from vision.parts import VIEWS
from zoo.errors import DataError


def images(height=16, width=24, *, batch=2):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def seen(views, batch):
    return [view.change(batch) for view in views]


def enlarged(batch, size):
    return torch.nn.functional.interpolate(batch, size=size, mode="bilinear", align_corners=False)


def test_crops_are_torchvisions():
    """Fails if a corner is cut twice, or rows and columns are swapped."""
    batch = images()
    expected = [enlarged(part, (16, 24)) for part in F.five_crop(batch, [14, 21])]
    for ours, theirs in zip(seen(five_crop(), batch), expected, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(seen(ten_crop(), batch), [*expected, *(part.flip(-1) for part in expected)], strict=True):
        assert torch.equal(ours, theirs)


def test_scales_enlarge_the_centre():
    batch = images()
    whole, larger, largest = seen(scales(), batch)
    assert torch.equal(whole, batch)
    assert torch.equal(larger, enlarged(F.center_crop(batch, [14, 21]), (16, 24)))
    assert torch.equal(largest, enlarged(F.center_crop(batch, [12, 18]), (16, 24)))


@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_the_size_and_see_the_image_itself_where_they_say_so(name):
    for batch in (images(), images(1, 1), images(2, 3), images(batch=0)):
        views = VIEWS.make(name)
        assert {view.shape for view in seen(views, batch)} == {batch.shape}
        constant = torch.full_like(batch, 1e3)
        for view in seen(views, constant):
            torch.testing.assert_close(view, constant)


def test_mirrored_outputs_are_mirrored_back():
    """Fails if `restore` is not the inverse of `change`."""
    batch = images()
    assert torch.equal(seen(flip(), batch)[1], batch.flip(-1))
    assert len({tuple(view.change(batch)[0, 0, 0].tolist()) for view in flips()}) == 4
    for plain, of_masks in ((flip(), mask_flip()), (flips(), mask_flips())):
        assert all(torch.equal(*pair) for pair in zip(seen(plain, batch), seen(of_masks, batch), strict=True))
        assert all(torch.equal(view.restore(view.change(batch)), batch) for view in of_masks)
        assert all(torch.equal(view.restore(batch), batch) for view in plain)


def test_other_inputs_are_refused():
    for wrong in (torch.zeros(2, 6), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        for view in (*ten_crop(), *flips(), *scales()):
            with pytest.raises(DataError, match=r"float images \[B, C, H, W\]"):
                view.change(wrong)
    assert crop(images(), place=(0.0, 0.0), share=1.0).shape == (2, 3, 16, 24)
