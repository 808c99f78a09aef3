"""Folders of images and masks: every layout, what the values stand for, splits, and faults by file."""

import numpy as np
import pytest
import torch
from PIL import Image

from vision.data.masks import SegmentationInput, collate, read_inputs, read_masks
from vision.data.masks_listing import list_pairs, natural_order
from zoo.errors import DataError, UnknownNameError

SIZE = (12, 10)


def picture(number=0, size=SIZE):
    return np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)


def mask(number=0, *, high=3, size=SIZE):
    values = np.random.default_rng(100 + number).integers(0, high, size, dtype=np.uint8)
    values[0, :high] = range(high)
    return values


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array, **options).save(path)


def folder(root, *, count=6, names=("images", "masks"), change=lambda values: values, high=3):
    for number in range(count):
        save(picture(number), root / names[0] / f"{number}.png")
        save(change(mask(number, high=high)), root / names[1] / f"{number}.png")
    return root


def rows(source):
    return [source.dataset[index] for index in range(len(source))]


def everything(root, **options):
    """All rows of a folder, unsplit and unchanged."""
    bundle = read_masks(root, validation=0.0, crop=SIZE, **options)
    return bundle, rows(bundle.train.unaugmented())


# -- What the values stand for


def test_grey_levels_are_class_numbers(tmp_path):
    bundle, found = everything(folder(tmp_path))
    assert bundle.classes == ("background", "1", "2")
    assert bundle.input_shape == (3, *SIZE)
    for number, (image, labels) in enumerate(found):
        assert torch.equal(image, torch.from_numpy(picture(number)).permute(2, 0, 1))
        assert torch.equal(labels, torch.from_numpy(mask(number)).long())


def test_a_palette_gives_its_indices(tmp_path):
    """Pascal VOC's form: fails if the palette's colours are read, or 255 becomes a class."""

    def coloured(values):
        values = values.copy()
        values[-1] = 255
        image = Image.fromarray(values, mode="P")
        image.putpalette([(7 * index) % 256 for index in range(768)])
        return np.asarray(image)

    for number in range(4):
        save(picture(number), tmp_path / "JPEGImages" / f"{number}.jpg")
        image = Image.fromarray(coloured(mask(number)), mode="P")
        image.putpalette([(7 * index) % 256 for index in range(768)])
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        image.save(tmp_path / "SegmentationClass" / f"{number}.png")
    bundle, found = everything(tmp_path, classes=["a", "b", "c"])
    assert bundle.classes == ("a", "b", "c")
    labels = found[1][1]
    assert (labels[-1] == 255).all()
    assert torch.equal(labels[:-1], torch.from_numpy(mask(1)).long()[:-1])


@pytest.mark.parametrize("form", ["grey", "one bit", "colours"])
def test_black_and_white_is_two_classes(tmp_path, form):
    """Fails if 255 is ignored."""
    for number in range(4):
        values = mask(number, high=2) * 255
        image = Image.fromarray(values)
        image = {"grey": image, "one bit": image.convert("1"), "colours": image.convert("RGB")}[form]
        save(picture(number), tmp_path / "images" / f"{number}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        image.save(tmp_path / "masks" / f"{number}.png")
    bundle, found = everything(tmp_path)
    assert bundle.classes == ("background", "foreground")
    assert torch.equal(found[2][1], torch.from_numpy(mask(2, high=2)).long())


def test_masks_saved_with_loss_are_refused(tmp_path):
    """Fails if every value that JPEG's rounding leaves becomes a class of its own."""
    for number in range(4):
        save(picture(number), tmp_path / "images" / f"{number}.png")
        save(80 * mask(number), tmp_path / "masks" / f"{number}.jpg")
    with pytest.raises(DataError, match=r"is a JPEG, which stores values inexactly.*Save masks as PNG"):
        read_masks(tmp_path)


def test_colours_by_the_map_given(tmp_path):
    colours = np.array([[0, 0, 0], [200, 0, 10], [0, 100, 255], [255, 255, 255]], dtype=np.uint8)
    folder(tmp_path, change=lambda values: colours[values], high=4)
    bundle, found = everything(
        tmp_path, classes=["a", "b", "c"], values=colours[[0, 2, 1]].tolist(), ignored=[255, 255, 255]
    )
    order = torch.tensor([0, 2, 1, 255])
    assert torch.equal(found[3][1], order[torch.from_numpy(mask(3, high=4)).long()])
    again = read_masks(**bundle.origin)
    assert again.fingerprint == bundle.fingerprint
    with pytest.raises(DataError, match=r"(?s)\(0, 100, 255\).*values="):
        read_masks(tmp_path)


@pytest.mark.parametrize("layout", ["folders", "names"])
def test_a_mask_of_each_class(tmp_path, layout):
    """The later class is on top; a class may lack a file."""
    for number in range(4):
        save(picture(number), tmp_path / "images" / f"scan_{number}.png")
        for name, wanted in (("cell", 1), ("nucleus", 2)):
            if (number, name) == (3, "nucleus"):
                continue
            values = (mask(number) >= wanted).astype(np.uint8) * 255  # nuclei lie in cells
            file = f"{name}/scan_{number}.png" if layout == "folders" else f"scan_{number}_{name}.png"
            save(values, tmp_path / "masks" / file)
    bundle, found = everything(tmp_path)
    assert bundle.classes == ("background", "cell", "nucleus")
    assert torch.equal(found[1][1], torch.from_numpy(mask(1)).long())
    assert torch.equal(found[3][1], torch.from_numpy(mask(3).clip(0, 1)).long())


# -- Layouts


@pytest.mark.parametrize("names", [("images", "masks"), ("image", "label"), ("imgs", "Annotations")])
def test_folders_may_be_called_so(tmp_path, names):
    bundle, _ = everything(folder(tmp_path, names=names))
    assert len(bundle.train) == 6


@pytest.mark.parametrize("outer", [True, False])
def test_parts_by_folders(tmp_path, outer):
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        names = ("images", "masks") if outer else (f"images/{part}", f"masks/{part}")
        folder(tmp_path / part if outer else tmp_path, count=count, names=names)
    bundle = read_masks(tmp_path)
    assert {name: len(source) for name, source in bundle.parts.items()} == {"train": 4, "validation": 2, "test": 3}


@pytest.mark.parametrize("inside", [True, False])
def test_pages_of_volumes(tmp_path, inside):
    """Multi-page files, such as those of the ISBI challenge: fails if pages are mixed up."""
    images = [Image.fromarray(picture(number)[..., 0]) for number in range(5)]
    masks = [Image.fromarray(mask(number, high=2) * 255) for number in range(5)]
    names = ("images/a.tif", "masks/a.tif") if inside else ("train-volume.tif", "train-labels.tif")
    for name, pages in zip(names, (images, masks), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    if not inside:
        images[0].save(tmp_path / "test-volume.tif", save_all=True, append_images=images[1:])
    bundle, found = everything(tmp_path, channels=1)
    assert len(found) == 5
    for number, (image, labels) in enumerate(found):
        assert torch.equal(image[0], torch.from_numpy(picture(number)[..., 0]))
        assert torch.equal(labels, torch.from_numpy(mask(number, high=2)).long())
    assert bool(bundle.skipped) != inside


def test_masks_may_have_a_suffix(tmp_path):
    for number in range(3):
        save(picture(number), tmp_path / "images" / f"{number}.jpg")
        save(mask(number), tmp_path / "masks" / f"{number}_mask.png")
    assert len(list_pairs(tmp_path).pairs) == 3
    assert not list_pairs(tmp_path).problems


def test_the_order_is_natural():
    assert sorted(["s10", "s2", "s1", "t0"], key=natural_order) == ["s1", "s2", "s10", "t0"]


# -- Parts


def names_of(source):
    return sorted(int(pair.image.split("/")[-1].split(".")[0]) for pair in source.dataset.pairs)


@pytest.mark.parametrize("split", ["random", "blocks"])
def test_folds_hold_out_every_image_once(tmp_path, split):
    folder(tmp_path, count=11)
    held = []
    for fold in range(4):
        bundle = read_masks(tmp_path, fold=fold, folds=4, split=split)
        found = names_of(bundle.validation)
        assert sorted(names_of(bundle.train) + found) == list(range(11))
        assert split == "random" or found == list(range(found[0], found[0] + len(found)))
        held += found
    assert sorted(held) == list(range(11))


def test_blocks_are_neighbours(tmp_path):
    bundle = read_masks(folder(tmp_path, count=10), validation=0.2, test=0.3, split="blocks")
    assert [names_of(part) for part in (bundle.train, bundle.validation, bundle.test)] == [
        [0, 1, 2, 3, 4], [5, 6], [7, 8, 9],
    ]  # fmt: skip


def test_origin_builds_the_same_bundle(tmp_path):
    bundle = read_masks(folder(tmp_path), crop=8, augment="heavy", shorter_side=9, seed=3, channels=1)
    again = read_masks(**bundle.origin)
    assert again.origin == bundle.origin
    assert again.fingerprint == bundle.fingerprint
    assert names_of(again.validation) == names_of(bundle.validation)
    for left, right in zip(again.train[2], bundle.train[2], strict=True):
        assert torch.equal(left, right)
    save(mask(77), tmp_path / "masks" / "1.png")
    assert read_masks(**bundle.origin).fingerprint != bundle.fingerprint


def test_images_are_resized_and_masks_keep_their_values(tmp_path):
    bundle = read_masks(folder(tmp_path), shorter_side=5, validation=0.0)
    image, labels = bundle.train.unaugmented()[0]
    assert image.shape == (3, 6, 5)
    assert labels.shape == (6, 5)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_batches_of_several_sizes_are_filled_up():
    """With what counts nothing."""
    samples = [
        (torch.ones(3, 4, 6, dtype=torch.uint8), torch.ones(4, 6, dtype=torch.int64), torch.ones(4, 6)),
        (torch.ones(3, 5, 2, dtype=torch.uint8), torch.ones(5, 2, dtype=torch.int64), torch.ones(5, 2)),
    ]
    images, masks, weights = collate(samples)
    assert images.shape == (2, 3, 5, 6)
    assert masks[0].tolist() == [[1] * 6] * 4 + [[255] * 6]
    assert (masks == 255).sum() == 6 + 20
    assert weights.sum() == 24 + 10


def test_batches_are_normalised(tmp_path):
    bundle = read_masks(folder(tmp_path), crop=8, augment="none", preprocessing={"mean": [0.5] * 3, "std": [0.25] * 3})
    images, masks = next(iter(bundle.train.batches(batch_size=3, shuffle=True)))
    assert images.shape == (3, 3, 8, 8) or images.shape == (3, 3, 224, 224)
    assert images.dtype == torch.float32
    assert masks.dtype == torch.int64
    assert images.min() >= -2
    assert images.max() <= 2


def test_inputs_keep_the_size_of_their_files(tmp_path):
    folder(tmp_path)
    found = read_inputs([tmp_path / "images" / "1.png"], {"mean": [0.5] * 3, "std": [0.5] * 3, "shorter_side": 5})
    assert isinstance(found[0], SegmentationInput)
    assert found[0].pixels.shape == (3, 6, 5)
    assert found[0].size == SIZE


# -- Faults


FAULTS = {
    "a mask of another size": (lambda root: save(mask(1, size=(12, 11)), root / "masks" / "1.png"), "12 x 11"),
    "no mask": (lambda root: (root / "masks" / "1.png").unlink(), "has no mask"),
    "no image": (lambda root: (root / "images" / "1.png").unlink(), "has no image"),
    "a damaged mask": (lambda root: (root / "masks" / "1.png").write_bytes(b"PNG"), "cannot be"),
    "a damaged image": (lambda root: (root / "images" / "1.png").write_bytes(b"\x89PNG"), "not an image"),
    "an unknown value": (lambda root: save(mask(1) + 5, root / "masks" / "1.png"), "5, 6, 7"),
    "a name twice": (lambda root: save(picture(), root / "images" / "1.jpg"), "has the name of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_its_file_or_is_skipped(tmp_path, fault):
    folder(tmp_path)
    change, words = FAULTS[fault]
    change(tmp_path)
    options = {"classes": ["a", "b", "c"], "validation": 0.0}
    with pytest.raises(DataError, match=f"(?s)skip.*1\\..*{words}"):
        read_masks(tmp_path, **options)
    bundle = read_masks(tmp_path, on_error="skip", **options)
    assert len(bundle.train) >= 5
    assert any(words in reason and "1." in file for file, reason in bundle.skipped)


def test_a_mask_that_changed_since_is_named(tmp_path):
    bundle = read_masks(folder(tmp_path), validation=0.0, crop=8)
    save(mask(1) + 5, tmp_path / "masks" / "1.png")
    with pytest.raises(DataError, match=r"1\.png holds 5, 6, 7"):
        list(bundle.train.batches(batch_size=6))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fold": 5}, "folds"),
        ({"classes": ["a", "b"], "values": [0, 1, 2]}, "as many"),
        ({"values": [0, [1, 2, 3]]}, "values"),
        ({"crop": 0}, "crop"),
        ({"shorter_side": 0}, "shorter_side"),
    ],
)
def test_what_cannot_be_raises(tmp_path, options, words):
    with pytest.raises(DataError, match=words):
        read_masks(folder(tmp_path), **options)


def test_other_folders_say_what_was_expected(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"(?s)cats.*images/ and masks/"):
        read_masks(tmp_path)
    with pytest.raises(UnknownNameError, match="standard"):
        read_masks(tmp_path, augment="standart")


def test_one_class_only_raises(tmp_path):
    folder(tmp_path, change=lambda values: values * 0)
    with pytest.raises(DataError, match="two classes"):
        read_masks(tmp_path)
