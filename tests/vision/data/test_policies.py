"""Published policies of augmentation: torchvision's own draws, and rectangles erased by hand."""

import pickle

import pytest
import torch
from torchvision.transforms import v2

from vision.data.policies import random_erasing
from vision.parts import AUGMENTATIONS
from zoo.errors import UnknownArgumentError, UnknownNameError

POLICIES = ("auto_augment", "augmix", "rand_augment", "random_erasing", "trivial_augment")
REFERENCES = {
    "rand_augment": ({"num_ops": 3, "magnitude": 14}, v2.RandAugment(num_ops=3, magnitude=14)),
    "auto_augment": ({"policy": "cifar10"}, v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    "trivial_augment": ({"num_magnitude_bins": 11}, v2.TrivialAugmentWide(num_magnitude_bins=11)),
    "augmix": ({"severity": 5, "width": 2, "depth": 2, "alpha": 0.5, "all_ops": True},
               v2.AugMix(severity=5, mixture_width=2, chain_depth=2, alpha=0.5)),
    "random_erasing": ({"fill": 7, "probability": 1.0, "area": [0.1, 0.2], "aspect": [0.5, 2.0]},
                       v2.RandomErasing(p=1.0, scale=(0.1, 0.2), ratio=(0.5, 2.0), value=7)),
}  # fmt: skip


def image(channels=3, *, seed=0):
    return torch.randint(256, (channels, 24, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("name", REFERENCES)
def test_policy_is_torchvisions_with_the_same_draws(name):
    """Fails if an option does not reach torchvision, or means another one."""
    options, reference = REFERENCES[name]
    policy = AUGMENTATIONS.make(name, **options)
    for seed in range(20):
        torch.manual_seed(seed)
        ours = policy(image())
        torch.manual_seed(seed)
        assert torch.equal(ours, reference(image()))


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "svhn"])
def test_auto_augment_holds_the_policy_of_each_data_set(name):
    torch.manual_seed(5)
    ours = [AUGMENTATIONS.make("auto_augment", policy=name)(image()) for _ in range(6)]
    torch.manual_seed(5)
    theirs = [v2.AutoAugment(v2.AutoAugmentPolicy(name))(image()) for _ in range(6)]
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_policy_keeps_shape_and_type_and_leaves_the_image_alone(name, channels):
    """Fails if a policy cannot take grey images, writes into its input, never does anything, or fits no worker."""
    policy = pickle.loads(pickle.dumps(AUGMENTATIONS.make(name)))
    given = image(channels)
    torch.manual_seed(0)
    changed = [policy(given) for _ in range(30)]
    assert torch.equal(given, image(channels))
    assert {(part.shape, part.dtype) for part in changed} == {(given.shape, torch.uint8)}
    assert len({part.numpy().tobytes() for part in changed}) > 5


@pytest.mark.parametrize("name", POLICIES)
def test_policy_takes_an_image_of_one_pixel(name):
    policy = AUGMENTATIONS.make(name)
    for seed in range(10):
        torch.manual_seed(seed)
        assert policy(torch.full((3, 1, 1), 200, dtype=torch.uint8)).shape == (3, 1, 1)


def test_erased_is_one_rectangle_of_the_shares_asked_for():
    """Fails if area and aspect are swapped, or pixels outside of the rectangle change."""
    erase = random_erasing(probability=1.0, area=(0.1, 0.3), aspect=(0.5, 2.0), fill=0)
    for seed in range(30):
        torch.manual_seed(seed)
        gone = erase(torch.full((3, 40, 50), 9, dtype=torch.uint8)) == 0
        assert torch.equal(gone[0], gone[1])
        rows, columns = gone[0].any(1).nonzero()[:, 0], gone[0].any(0).nonzero()[:, 0]
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert height * width == int(gone[0].sum())
        assert 0.08 < height * width / 2000 < 0.33  # sides are whole pixels
        assert 0.4 < height / width < 2.4


def test_noise_is_of_all_grey_values():
    """Fails if noise is that of torchvision, which stands for normalised images: 0 and 255 alone in 8 bits."""
    torch.manual_seed(0)
    erased = random_erasing(probability=1.0, area=(0.9, 0.95))(torch.full((3, 60, 60), 9, dtype=torch.uint8))
    noise = erased[erased != 9].double()
    assert abs(float(noise.mean()) - 127.5) < 3
    assert abs(float(noise.std()) - 73.9) < 3  # 256 / sqrt(12)


def test_erasing_happens_as_often_as_asked_for():
    torch.manual_seed(0)
    erase = random_erasing(probability=0.3, fill=0)
    share = sum(bool((erase(torch.full((1, 16, 16), 9, dtype=torch.uint8)) == 0).any()) for _ in range(1000)) / 1000
    assert abs(share - 0.3) < 0.05


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("rand_augment", {"magnitude": 31}, ValueError, "0 to num_magnitude_bins - 1"),
        ("rand_augment", {"num_ops": 0}, ValueError, "at least 1"),
        ("rand_augment", {"magnitde": 1}, UnknownArgumentError, "magnitude"),
        ("auto_augment", {"policy": "cifar"}, UnknownNameError, "cifar10"),
        ("trivial_augment", {"num_magnitude_bins": 1}, ValueError, "at least 2"),
        ("augmix", {"severity": 11}, ValueError, r"1\.\.10"),
        ("random_erasing", {"probability": 1.5}, ValueError, r"0\.\.1"),
        ("random_erasing", {"area": (0.4, 0.1)}, ValueError, "least and a most"),
        ("random_erasing", {"fill": 256}, ValueError, r"0\.\.255"),
        ("light", {"flip": 2.0}, ValueError, r"0\.\.1"),
        ("standard", {"area": (0.0, 1.0)}, ValueError, "least and a most"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, error, words):
    with pytest.raises(error, match=words):
        AUGMENTATIONS.make(name, **options)
