"""Random changes of images with boxes: what moves together, what is lost, and where chance comes from."""

import random

import numpy as np
import pytest
import torch

from vision.data.box_transforms import BOX_STRENGTHS, BoxStrength, augment_boxes


def picture(*boxes):
    """A black image of 60 x 80 with a white rectangle for each box."""
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    for x1, y1, x2, y2 in boxes:
        image[:, y1:y2, x1:x2] = 255
    count = len(boxes)
    return image, {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.arange(count),
        "difficult": torch.arange(count) % 2 == 1,
        "image_id": torch.tensor(5),
    }


def strength(**changes):
    return BoxStrength(**{"flip": 0.0, "scale": (1.0, 1.0), "crop": 0.0, "jitter": 0.0, **changes})


@pytest.mark.parametrize("name", BOX_STRENGTHS)
def test_boxes_stay_on_what_they_are_around(name):
    """Fails if the image and its boxes move differently: inside of the box it is bright, around it dark."""
    checked = 0
    for seed in range(40):
        torch.manual_seed(seed)
        image, target = augment_boxes(*picture((20, 10, 50, 40)), BOX_STRENGTHS[name])
        assert image.dtype == torch.uint8
        assert image.is_contiguous()
        for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
            inside = image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].float()
            if inside.numel():
                checked += 1
                assert inside.mean() > 120
                assert x2 <= image.shape[2]
                assert y2 <= image.shape[1]
        bright = (image > 118).all(dim=0)
        if len(target["boxes"]):
            x1, y1, x2, y2 = target["boxes"][0].tolist()
            rows, columns = torch.where(bright)
            assert columns.min() >= x1 - 2
            assert rows.max() <= y2 + 2
    assert checked > 30


def test_mirrored_by_hand():
    torch.manual_seed(0)
    image, target = augment_boxes(*picture((20, 10, 50, 40)), strength(flip=1.0))
    assert target["boxes"].tolist() == [[30, 10, 60, 40]]
    assert image[0, 20, 59] == 255
    assert image[0, 20, 29] == 0


def test_smaller_and_larger_by_hand():
    """At half the size the box is half as large, wherever it lies; at twice the size it is twice, or cut."""
    torch.manual_seed(0)
    image, target = augment_boxes(*picture((20, 10, 50, 40)), strength(scale=(0.5, 0.5)))
    assert image.shape == (3, 60, 80)
    x1, y1, x2, y2 = target["boxes"][0].tolist()
    assert (x2 - x1, y2 - y1) == (15, 15)
    _, target = augment_boxes(*picture((39, 29, 41, 31)), strength(scale=(2.0, 2.0)))
    for x1, y1, x2, y2 in target["boxes"].tolist():
        assert max(x2 - x1, y2 - y1) <= 4


def test_what_is_hardly_seen_is_left_out_with_all_that_belongs_to_it():
    """Fails if a sliver at the edge keeps its box, or flags of other boxes stay behind."""
    corners = [(0, 0, 12, 12), (30, 20, 50, 40), (68, 48, 80, 60)]
    lost = 0
    for seed in range(30):
        torch.manual_seed(seed)
        _, target = augment_boxes(*picture(*corners), strength(scale=(1.5, 1.5)))
        assert target["image_id"] == 5
        assert len(target["boxes"]) == len(target["labels"]) == len(target["difficult"])
        assert target["difficult"].tolist() == [label % 2 == 1 for label in target["labels"].tolist()]
        sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
        areas = {label: float(area) for label, area in zip(target["labels"].tolist(), sides.prod(1), strict=True)}
        whole = {0: 144 * 2.25, 1: 400 * 2.25, 2: 144 * 2.25}
        assert all(area >= 0.299 * whole[label] for label, area in areas.items())
        lost += 3 - len(areas)
    assert lost > 5


def test_crops_keep_a_box():
    for seed in range(20):
        torch.manual_seed(seed)
        image, target = augment_boxes(*picture((20, 10, 50, 40), (60, 40, 78, 58)), strength(crop=1.0))
        assert image.shape[1] >= 29
        assert image.shape[2] >= 39
        assert (target["boxes"] >= 0).all()


def test_an_image_without_boxes():
    torch.manual_seed(0)
    for name in BOX_STRENGTHS:
        image, target = augment_boxes(*picture(), BOX_STRENGTHS[name])
        assert target["boxes"].shape == (0, 4)
        assert image.shape == (3, 60, 80)


@pytest.mark.parametrize("name", BOX_STRENGTHS)
def test_chance_comes_from_torch_alone(name):
    """Fails if a resumed run would see other images than an unbroken one."""
    results = []
    for other in (0, 1):
        torch.manual_seed(3)
        random.seed(other)
        np.random.seed(other)
        results.append(augment_boxes(*picture((20, 10, 50, 40)), BOX_STRENGTHS[name]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1]["boxes"], results[1][1]["boxes"])


def test_what_was_given_is_not_changed():
    image, target = picture((20, 10, 50, 40))
    kept = image.clone(), target["boxes"].clone()
    for seed in range(5):
        torch.manual_seed(seed)
        augment_boxes(image, target, BOX_STRENGTHS["standard"])
    assert torch.equal(image, kept[0])
    assert torch.equal(target["boxes"], kept[1])
