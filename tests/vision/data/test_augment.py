"""Augmentation by name: the same for files and arrays, exact for any number of workers, ranks and after a resume."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vision.data.augment import chosen_changes
from vision.data.boxes import read_boxes
from vision.data.folder import read_images
from vision.data.masks import read_masks
from vision.data.transforms import AugmentArrays, standard
from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.records import ImagePreprocessing

SMALL = ImagePreprocessing(size=(16, 16), resize=18)
CHOICE = ["light", "rand_augment", "random_erasing"]
OPTIONS = {"rand_augment": {"magnitude": 20}, "random_erasing": {"probability": 0.8}}


def noise(seed, shape=(24, 20, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    for code, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(noise(10 * code + number)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def arrays(tmp_path):
    images = np.stack([noise(number, (16, 16, 3)) for number in range(12)])
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(12) % 2)
    return tmp_path / "images.npz"


def inputs_of(source, **options):
    given = {"batch_size": 4, "shuffle": True, "seed": 3, "epoch": 1, **options}
    return torch.cat([inputs for inputs, _ in source.batches(**given)])


@pytest.mark.parametrize("kind", ["photos", "arrays"])
def test_rows_are_changed_alike_by_workers_on_ranks_and_after_a_resume(kind, request):
    """Fails if a change depends on more than seed, epoch and row, or not on each of them."""
    path = request.getfixturevalue(kind)
    source = read_images(path, preprocessing=SMALL, validation=0.0, augment=CHOICE, augment_options=OPTIONS).train
    whole = inputs_of(source)
    torch.rand(3)  # what others draw must not matter
    before = torch.get_rng_state()
    assert torch.equal(inputs_of(source, num_workers=2), whole)
    assert torch.equal(inputs_of(source, start=1), whole[4:])
    ranks = [inputs_of(source, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    assert torch.equal(torch.stack([part.view(3, 2, 3, 16, 16) for part in ranks], 1).view(whole.shape), whole)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(inputs_of(source, epoch=2, shuffle=False), inputs_of(source, epoch=1, shuffle=False))
    assert not torch.equal(inputs_of(source, seed=4, shuffle=False), inputs_of(source, seed=3, shuffle=False))


@pytest.mark.parametrize("kind", ["photos", "arrays"])
def test_training_alone_is_changed_and_the_origin_says_how(kind, request):
    """Fails if validation rows are changed, or a run could not read its data again as they were."""
    options = {"preprocessing": SMALL, "validation": 0.5, "augment": CHOICE, "augment_options": OPTIONS}
    bundle = read_images(request.getfixturevalue(kind), **options)
    again = read_images(**json.loads(json.dumps(dict(bundle.origin))))
    assert again.origin == bundle.origin
    assert torch.equal(inputs_of(again.train), inputs_of(bundle.train))
    plain = read_images(**{**bundle.origin, "augment": "none", "augment_options": {}})
    assert torch.equal(inputs_of(bundle.validation), inputs_of(plain.validation))
    assert torch.equal(inputs_of(bundle.train.unaugmented()), inputs_of(plain.train))
    assert not torch.equal(inputs_of(bundle.train), inputs_of(plain.train))


@pytest.mark.parametrize("half", [0, 1])
def test_rows_of_one_image_are_changed_each_in_its_own_way(half):
    """Fails if policies draw from a seed that does not depend on the row, or on a part of its draws only."""
    images = torch.from_numpy(noise(0, (3, 16, 16)))[None].expand(12, -1, -1, -1)
    draws = torch.full((12, 10), 0.5)
    draws[:, 8 + half] = torch.rand(12, generator=torch.Generator().manual_seed(0))
    changed = chosen_changes("trivial_augment").of_arrays(SMALL)(images, draws)
    assert len({row.numpy().tobytes() for row in changed}) > 6


def test_a_policy_alone_changes_the_evaluation_crop(photos):
    """Fails if policies without a framing crop at random: with erasing that never comes, nothing may change."""
    options = {"random_erasing": {"probability": 0.0}}
    bundle = read_images(photos, preprocessing=SMALL, augment="random_erasing", augment_options=options)
    assert torch.equal(inputs_of(bundle.train), inputs_of(bundle.train.unaugmented()))


def test_framing_stays_what_it_was_beside_a_policy():
    """Fails if the draws of the framing shift when a policy follows it."""
    images = torch.from_numpy(np.stack([noise(n, (3, 16, 16)) for n in range(4)]))
    changes = chosen_changes(["standard", "random_erasing"], {"random_erasing": {"probability": 0.0}})
    draws = torch.rand(4, 10)
    assert torch.equal(changes.of_arrays(SMALL)(images, draws), AugmentArrays(SMALL, standard())(images, draws[:, :8]))


def test_options_of_the_framing_count():
    """Fails if they are lost: a probability of 1 mirrors every row of a whole image."""
    options = {"light": {"area": [1.0, 1.0], "aspect": 1.0, "flip": 1.0}}
    images = torch.from_numpy(np.stack([noise(n, (3, 16, 16)) for n in range(4)]))
    changed = chosen_changes("light", options).of_arrays(SMALL)(images, torch.rand(4, 8))
    assert torch.equal(changed, images.flip(-1))


def test_policies_act_in_their_order():
    """Fails if the list is sorted, or applied from its end."""
    image = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    first = chosen_changes(["rand_augment", "random_erasing"])
    assert [type(policy).__name__ for policy in first.policies] == ["RandAugment", "RandomErasing"]
    other = chosen_changes(["random_erasing", "rand_augment"])
    assert [type(policy).__name__ for policy in other.policies] == ["RandomErasing", "RandAugment"]
    torch.manual_seed(0)
    found = first.changed(image)
    torch.manual_seed(0)
    assert torch.equal(found, first.policies[1](first.policies[0](image)))


def test_grey_arrays_take_policies(tmp_path):
    np.savez(tmp_path / "grey.npz", images=np.stack([noise(n, (12, 12)) for n in range(8)]), labels=np.arange(8) % 2)
    path = tmp_path / "grey.npz"
    source = read_images(path, input_shape=(1, 12, 12), validation=0.0, augment=["trivial_augment", "augmix"]).train
    assert inputs_of(source).shape == (8, 1, 12, 12)


@pytest.mark.parametrize(
    ("augment", "options", "error", "words"),
    [
        ("rand_agument", None, UnknownNameError, "rand_augment"),
        ([], None, ValueError, "one name or more"),
        (["none", "augmix"], None, ValueError, "one name or more"),
        (["augmix", "augmix"], None, ValueError, "each once"),
        (["augmix", "light"], None, ValueError, "before all else"),
        (["light", "standard"], None, ValueError, "before all else"),
        ("light", {"augmix": {"width": 2}}, ValueError, "not among"),
        ("none", {"none": {}}, ValueError, "not among"),
        ("augmix", {"augmix": {"widht": 2}}, UnknownArgumentError, "width"),
    ],
)
def test_wrong_names_are_refused(augment, options, error, words, photos):
    with pytest.raises(error, match=words):
        read_images(photos, augment=augment, augment_options=options)


@pytest.mark.parametrize("reader", [read_boxes, read_masks])
def test_policies_are_not_offered_where_boxes_and_masks_would_stay_behind(reader, tmp_path):
    """Fails if a reader takes a policy that moves the image alone."""
    with pytest.raises(UnknownNameError, match="rand_augment"):
        reader(tmp_path, augment="rand_augment")
