"""Crops, augmentation and normalisation of images."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from vision.data.jpeg import open_image
from vision.data.transforms import (
    NUM_UNIFORMS,
    STRENGTHS,
    AugmentArrays,
    AugmentStrength,
    FitArrays,
    Normalise,
    crop_boxes,
    evaluation_crop,
    preprocessing_from,
    training_crop,
)
from zoo.errors import DataError, UnknownNameError
from zoo.records import ImagePreprocessing

STANDARD = STRENGTHS["standard"]
PLAIN = AugmentStrength(area=(1.0, 1.0), aspect=1.0, flip=0.0, jitter=0.0)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(load_sample_images().images[0]).save(path, quality=95)
    return open_image(path)


@pytest.mark.parametrize("size", [(64, 64), (96, 48), (48, 96), (300, 300)])
@pytest.mark.parametrize("resize", [32, 72, 256])
def test_evaluation_crops_have_the_size_asked(photo, size, resize):
    """Fails where the resized image is smaller than the crop, which must then be resized to cover it."""
    crop = evaluation_crop(photo, ImagePreprocessing(size=size, resize=resize))
    assert crop.shape == (3, *size)


def test_evaluation_is_torchvisions(photo):
    preprocessing = ImagePreprocessing(size=(96, 80), resize=120, interpolation="bicubic")
    ours = Normalise(preprocessing)(evaluation_crop(photo, preprocessing)[None])[0]
    steps = v2.Compose(
        [
            v2.Resize(120, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop((96, 80)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    theirs = steps(photo.decode(channels=3))
    assert (ours - theirs).abs().mean() < 0.05  # the decoder's half size is used here
    assert torch.allclose(
        Normalise(preprocessing).inverse(ours),
        ours * torch.tensor(preprocessing.std)[:, None, None] + torch.tensor(preprocessing.mean)[:, None, None],
        atol=1e-5,
    )


def test_one_mean_gives_one_channel(photo):
    grey = ImagePreprocessing(size=(32, 32), resize=32, mean=(0.5,), std=(0.25,))
    assert evaluation_crop(photo, grey).shape == (1, 32, 32)
    assert training_crop(photo, grey, STANDARD, torch.rand(NUM_UNIFORMS)).shape == (1, 32, 32)
    assert (
        FitArrays(grey)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).tolist()
        == torch.full((2, 1, 32, 32), -2.0).tolist()
    )


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_boxes_lie_within_the_image_and_have_the_area_and_aspect_drawn(aspect):
    uniforms = torch.rand(2000, NUM_UNIFORMS, generator=torch.Generator().manual_seed(0))
    sides = torch.tensor([[600.0, 600.0 * aspect]])
    top, left, height, width = crop_boxes(uniforms, sides, STANDARD, aspect).unbind(1)
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 600.001
    assert (left + width).max() <= 600.001 * aspect
    area = height * width / sides.prod()
    assert 0.33 < area.min() < 0.37
    assert area.max() <= 1.0001
    assert (width / height).max() <= aspect * 4 / 3 + 1e-3
    assert (width / height).min() >= aspect * 3 / 4 - 1e-3


def test_the_draws_move_the_crop_as_named():
    uniforms = torch.full((1, NUM_UNIFORMS), 0.5)
    uniforms[0, :4] = torch.tensor([0.0, 0.5, 0.0, 1.0])
    strength = AugmentStrength(area=(0.25, 1.0), aspect=2.0, flip=0.0, jitter=0.0)
    assert crop_boxes(uniforms, torch.tensor([[100.0, 100.0]]), strength, 1.0)[0].tolist() == [0, 50, 50, 50]


def test_files_and_arrays_are_augmented_alike(photo):
    """Fails if flip, colours or boxes differ between the two ways; what is left is the way of resampling."""
    preprocessing = ImagePreprocessing(size=(160, 240), resize=160)
    image = photo.decode(channels=3)[:, :426, :639].contiguous()
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        uniforms = torch.rand(NUM_UNIFORMS, generator=generator)
        from_file = training_crop(photo, preprocessing, STANDARD, uniforms)
        from_array = AugmentArrays(preprocessing, STANDARD)(image[None], uniforms[None])[0]
        assert (from_file.float() - from_array.float()).abs().mean() < 12
        mirrored = from_file.flip(-1).float() - from_array.float()
        assert mirrored.abs().mean() > 20


def test_without_strength_arrays_are_only_resized():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 20, 20), dtype=torch.uint8, generator=generator)
    plain = AugmentArrays(ImagePreprocessing(size=(20, 20)), PLAIN)
    assert torch.equal(plain(images, torch.rand(3, NUM_UNIFORMS)), images)


def test_each_row_has_its_own_draws():
    images = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8).expand(5, -1, -1, -1)
    augment = AugmentArrays(ImagePreprocessing(size=(16, 16)), STANDARD)
    uniforms = torch.rand(5, NUM_UNIFORMS)
    together = augment(images, uniforms)
    assert not torch.equal(together[0], together[1])
    for row in range(5):
        assert torch.equal(augment(images[row : row + 1], uniforms[row : row + 1])[0], together[row])


def test_colours_change_as_torchvision_changes_them():
    """Fails if a factor is applied to the wrong property. Values stay clear of 0 and 255, where order matters."""
    image = torch.randint(100, 140, (1, 3, 16, 16), dtype=torch.uint8)
    size = ImagePreprocessing(size=(16, 16))
    for column, adjust in (
        (5, v2.functional.adjust_brightness),
        (6, v2.functional.adjust_contrast),
        (7, v2.functional.adjust_saturation),
    ):
        uniforms = torch.full((1, NUM_UNIFORMS), 0.5)
        uniforms[0, column] = 1.0
        strength = AugmentStrength(area=(1.0, 1.0), aspect=1.0, flip=0.0, jitter=0.5)
        ours = AugmentArrays(size, strength)(image, uniforms)
        assert (ours.int() - adjust(image, 1.5).int()).abs().max() <= 2


def test_arrays_cover_the_size_without_a_margin():
    images = torch.zeros(1, 1, 10, 20, dtype=torch.uint8)
    images[..., 5:15] = 255
    fitted = FitArrays(ImagePreprocessing(size=(40, 40), mean=(0.0,) * 3, std=(1.0,) * 3))(images)
    assert fitted.shape == (1, 3, 40, 40)
    assert (fitted[..., 2:-2] == 1).all()
    assert fitted.min() > 0.5


def test_preprocessing_comes_from_json_too():
    record = ImagePreprocessing(size=(8, 8), mean=(0.5,), std=(0.5,))
    assert preprocessing_from({"size": [8, 8], "mean": [0.5], "std": [0.5]}) == record
    with pytest.raises(UnknownNameError, match="Did you mean 'resize'"):
        preprocessing_from({"resise": 3})
    for wrong in ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, {"mean": (0.5,)}):
        with pytest.raises(DataError, match="1 or 3 numbers"):
            preprocessing_from(wrong)
    with pytest.raises(DataError, match="positive"):
        preprocessing_from({"std": (0.0, 1.0, 1.0)})


@pytest.mark.parametrize("strength", ["light", "standard"])
def test_training_crops_of_a_file_vary_and_keep_type_and_size(photo, strength):
    preprocessing = ImagePreprocessing(size=(32, 40), resize=40)
    crops = [training_crop(photo, preprocessing, STRENGTHS[strength], torch.rand(NUM_UNIFORMS)) for _ in range(4)]
    assert all(crop.shape == (3, 32, 40) and crop.dtype == torch.uint8 and crop.is_contiguous() for crop in crops)
    assert len({crop.numpy().tobytes() for crop in crops}) == 4
    assert np.std([crop.float().mean() for crop in crops]) < 60
