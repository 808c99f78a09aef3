"""Folds of image files: crops for judging on the fold, changed ones on the rest."""

import numpy as np
import torch
from PIL import Image

from vision.data.boxes import BoxFiles
from vision.data.folder import read_images
from vision.data.masks import MaskFiles
from zoo.data import folds
from zoo.records import ImagePreprocessing

SMALL = ImagePreprocessing(size=(16, 16), resize=20)


def fill(root):
    for code, name in enumerate(("cat", "dog", "owl")):
        (root / name).mkdir(parents=True)
        for number in range(6):
            noise = np.random.default_rng(60 * code + number).integers(0, 255, (24, 20, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    return root


def inputs_of(source):
    return torch.cat([inputs for inputs, _ in source.batches(batch_size=8)])


def test_folds_of_a_folder(tmp_path):
    """Fails if an image that validated in the folder's own split is trained on unchanged."""
    root = fill(tmp_path / "photos")
    bundle = read_images(root, preprocessing=SMALL, validation=1 / 3)
    whole = inputs_of(read_images(root, preprocessing=SMALL, validation=0.0).train.unaugmented())
    found = folds(bundle, 3)
    paths = found.pool.dataset.paths
    assert sorted(paths) == sorted([*bundle.train.dataset.paths, *bundle.validation.dataset.paths])
    order = [sorted(paths).index(path) for path in paths]
    back = found.in_order([inputs_of(each.validation) for each in found])
    assert torch.equal(back, whole[order])
    for each, part in zip(found, found.parts, strict=True):
        assert each.validation.targets().bincount().tolist() == [2, 2, 2]
        changed = (inputs_of(each.train) != back[part["train"]]).flatten(1).any(1)
        assert changed.all()


def test_boxes_and_masks_join_as_the_first():
    boxes = BoxFiles(["one"], ["cat"], strength="much").joined(BoxFiles(["two"], ["cat"]))
    assert (boxes.records, boxes.strength) == (["one", "two"], "much")
    first = MaskFiles(["one"], coding="c", preprocessing="p", strength="much", weight_map=True)
    masks = first.joined(MaskFiles(["two"], coding="c", preprocessing="p"))
    assert (masks.pairs, masks.strength, masks.weight_map) == (["one", "two"], "much", True)
