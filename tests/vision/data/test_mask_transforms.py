"""Joint transforms: image and mask change alike, against torchvision, and chance from torch alone."""

import pytest
import torch

from vision.data.mask_transforms import (
    MASK_STRENGTHS,
    MaskStrength,
    elastic_displacement,
    mask_preprocessing_from,
    training_view,
)
from zoo.errors import DataError, UnknownNameError
from zoo.records import ImagePreprocessing


def pair(size=(40, 56)):
    """An image whose grey level is 60 times the class, in smooth blobs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 5, 6, generator=generator)
    field = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[0, 0]
    mask = (field * 4).clamp(0, 3).long()
    return (60 * mask)[None].to(torch.uint8), mask


@pytest.mark.parametrize("name", MASK_STRENGTHS)
@pytest.mark.parametrize("size", [(24, 32), (64, 64)])
def test_image_and_mask_stay_together(name, size):
    """Fails if one is flipped, turned or shifted without the other: grey levels would no longer tell the class."""
    image, mask = pair()
    strength = MaskStrength(**{**{key: getattr(MASK_STRENGTHS[name], key)
                                  for key in ("flips", "quarter", "rotation", "scale", "elastic")}})  # fmt: skip
    torch.manual_seed(1)
    for _ in range(8):
        view, labels, weights = training_view(image, mask, size, strength, mask.float() * 2)
        assert view.shape == (1, *size)
        assert view.dtype == torch.uint8
        assert labels.shape == size
        assert set(labels.unique().tolist()) <= set(mask.unique().tolist())
        assert torch.equal(weights, labels.float() * 2)
        agree = ((view[0].float() / 60).round() == labels).float().mean()
        assert agree == 1 if not strength.bends else agree > 0.9  # borders are interpolated in the image only


def test_a_crop_is_a_part_of_the_image():
    image, mask = pair()
    torch.manual_seed(0)
    corners = set()
    for _ in range(80):
        view, labels = training_view(image, mask, (38, 52), MASK_STRENGTHS["none"])
        where = [
            (top, left) for top in range(3) for left in range(5)
            if torch.equal(image[:, top : top + 38, left : left + 52], view)
            and torch.equal(mask[top : top + 38, left : left + 52], labels)
        ]  # fmt: skip
        assert len(where) == 1
        corners.add(where[0])
    assert len(corners) == 15


def test_flips_are_torchs():
    image, mask = pair((20, 20))
    torch.manual_seed(0)
    always = training_view(image, mask, (20, 20), MaskStrength(flips=(1.0, 0.0)))
    assert torch.equal(always[0], image.flip(2))
    assert torch.equal(always[1], mask.flip(1))
    both = training_view(image, mask, (20, 20), MaskStrength(flips=(1.0, 1.0)))
    assert torch.equal(both[1], mask.flip(0, 1))


def test_quarter_turns_are_torchs():
    image, mask = pair((20, 20))
    torch.manual_seed(0)
    turned = [training_view(image, mask, (20, 20), MaskStrength(quarter=True)) for _ in range(30)]
    wanted = [torch.rot90(mask, turns) for turns in range(4)]
    seen = {next(turns for turns, other in enumerate(wanted) if torch.equal(labels, other)) for _, labels in turned}
    assert seen == {0, 1, 2, 3}
    assert all(any(torch.equal(view, torch.rot90(image, turns, (1, 2))) for turns in range(4)) for view, _ in turned)


@pytest.mark.parametrize(("side", "zoom", "part"), [(41, 1.0, slice(0, 41)), (80, 0.5, slice(20, 60))])
@pytest.mark.parametrize("seed", [0, 1])
def test_rotation_and_scale_are_torchvisions(side, zoom, part, seed):
    """About the middle, where the view has no room to move. Fails if radians and degrees, or zoom and 1 / zoom, differ.

    Near the border the two fill up differently, so that the comparison stays within.
    """
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    coarse = 255 * torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(3))
    image = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")[0].to(torch.uint8)
    torch.manual_seed(seed)
    size = part.stop - part.start
    view, _ = training_view(image, image[0].long(), (size, size), MaskStrength(rotation=30.0, scale=(zoom, zoom)))
    torch.manual_seed(seed)
    torch.rand(2)  # the flips
    angle = 30.0 * (2 * float(torch.rand(())) - 1)
    bilinear = functional.InterpolationMode.BILINEAR
    other = functional.affine(
        image, angle=-angle, translate=[0, 0], scale=zoom, shear=[0, 0], interpolation=bilinear
    )  # fmt: skip
    inner = slice(10, -10)
    difference = (other[:, part, part].int() - view.int()).abs()[:, inner, inner]
    assert difference.max() <= 1
    assert abs(angle) > 4


def test_elastic_fields_are_smooth_and_as_large_as_asked():
    """Deviation 10 pixels on a coarse grid of 3 x 3: fails if it is in halves of the image, or per pixel."""
    torch.manual_seed(0)
    fields = torch.stack([elastic_displacement((33, 65), deviation=10.0) for _ in range(300)])
    assert fields.shape == (300, 33, 65, 2)
    corners = fields[:, ::16, ::32]
    assert corners.std().item() == pytest.approx(10.0, rel=0.05)
    assert corners.mean().abs() < 0.6
    step = (fields[:, 1:] - fields[:, :-1]).abs().max()
    assert step < 6  # pixels from one row to the next


def test_chance_comes_from_torch_alone():
    image, mask = pair()
    views = []
    for _ in range(2):
        torch.manual_seed(5)
        views.append(training_view(image, mask, (32, 32), MASK_STRENGTHS["heavy"]))
    assert all(torch.equal(*both) for both in zip(*views, strict=True))
    other = training_view(image, mask, (32, 32), MASK_STRENGTHS["heavy"])
    assert not torch.equal(other[1], views[0][1])


def test_brightness_changes_the_image_only():
    image, mask = pair()
    torch.manual_seed(0)
    view, labels = training_view(image, mask, (40, 56), MaskStrength(jitter=0.5))
    assert torch.equal(labels, mask)
    assert not torch.equal(view, image)


def test_records_are_checked():
    found = mask_preprocessing_from(ImagePreprocessing(size=(64, 64)))
    assert found.shorter_side is None
    assert found.size == (64, 64)
    assert mask_preprocessing_from({"shorter_side": 32, "mean": [0.5], "std": [0.5]}).shorter_side == 32
    with pytest.raises(UnknownNameError, match="shorter_side"):
        mask_preprocessing_from({"shorter_sid": 32})
    with pytest.raises(DataError, match="positive"):
        mask_preprocessing_from({"std": [0.0, 1.0, 1.0]})
