"""Studies of the data: unequal classes, whitening, augmentation."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from docs.toolkit.contests import compared, contest
from docs.toolkit.setting import Result, Setting
from zoo.data import fit_preprocessing
from zoo.training import Run

RATIO = 50  # rows of the largest class over those of the smallest


def imbalanced(source: Path, out: Path, *, ratio: float = RATIO, seed: int = 0) -> Path:
    """The images with classes thinned out exponentially, in training and validation; the test part stays even."""
    if out.is_file():
        return out
    with np.load(source) as held:
        arrays = dict(held)
    labels, split = arrays["labels"], arrays["split"]
    rng = np.random.default_rng(seed)
    kept = split == "test"
    classes = np.unique(labels)
    for part in ("train", "validation"):
        largest = min(((split == part) & (labels == label)).sum() for label in classes)
        for place, label in enumerate(classes):
            rows = np.flatnonzero((split == part) & (labels == label))
            wanted = max(2, round(largest * ratio ** (-place / (len(classes) - 1))))
            kept[rng.permutation(rows)[:wanted]] = True
    chosen = {name: value[kept] if name != "classes" else value for name, value in arrays.items()}
    np.savez_compressed(out, **chosen)
    return out


def balancing(setting: Setting, images: Path) -> Result:
    """Classes from {ratio}:1 down: what balancing does to the mean F1 over classes of an even test part."""
    uneven = replace(setting, data=imbalanced(setting.data, setting.folder / "imbalanced.npz"))
    names = ("class_weights", "weighted_sampler", "oversample", "undersample")
    contestants: dict[str, dict[str, Any]] = {"nothing": {}, **{name: {"balance": name} for name in names}}
    steps = {"epochs": setting.epochs * 3}  # there are fewer rows in an epoch
    result, _ = contest(
        uneven, "balancing", contestants, judge=lambda run: setting.test(run, "f1"), figure="macro F1", shared=steps
    )
    return result


def augmentation(setting: Setting, images: Path) -> Result:
    """Random changes of the images, and of whole batches."""
    contestants: dict[str, dict[str, Any]] = {
        "none": {},
        "light: shifts and mirrors": {"augment": "light"},
        "light and RandAugment": {"augment": ["light", "rand_augment"]},
        "light and TrivialAugment": {"augment": ["light", "trivial_augment"]},
        "light and random erasing": {"augment": ["light", "random_erasing"]},
        "light and mixup": {"augment": "light", "task_options": {"mixing": "mixup"}},
        "light and CutMix": {"augment": "light", "task_options": {"mixing": "cutmix"}},
    }
    result, _ = contest(setting, "augmentation", contestants, shared={"epochs": setting.epochs * 2})
    return result


WAYS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "raw": (None, {}),
    "min_max": ("min_max", {}),
    "standardise": ("standardise", {}),
    "pca_whitening, eps 1e-5": ("pca_whitening", {"eps": 1e-5}),
    "pca_whitening, eps 0.1": ("pca_whitening", {"eps": 0.1}),
    "pca_whitening, 50 components": ("pca_whitening", {"num_components": 50, "eps": 1e-5}),
    "zca_whitening, eps 1e-5": ("zca_whitening", {"eps": 1e-5}),
    "zca_whitening, eps 0.1": ("zca_whitening", {"eps": 0.1}),
}


def whitening(setting: Setting, images: Path) -> Result:
    """What is fitted on the training pixels of a small fully connected network, at one rate for all."""
    import torch

    import zoo

    with np.load(setting.data) as held:
        arrays = dict(held)
    pixels = torch.from_numpy(arrays["images"]).flatten(1).float() / 255
    labels, split = torch.from_numpy(arrays["labels"].astype(np.int64)), arrays["split"]
    rows = {part: torch.from_numpy(split == part) for part in ("train", "validation", "test")}
    bundle = zoo.Bundle.from_arrays(
        pixels[rows["train"]], labels[rows["train"]], task="vision/classification",
        validation=(pixels[rows["validation"]], labels[rows["validation"]]),
        test=(pixels[rows["test"]], labels[rows["test"]]),
    )  # fmt: skip
    values: dict[str, list[float]] = {}
    for title, (name, options) in WAYS.items():
        fitted = bundle if name is None else fit_preprocessing(bundle, name, **options)
        values[title] = [_trained(setting, title, seed, fitted) for seed in setting.seeds]
    result = compared(values, figure="test accuracy")
    text = "With a small eps whitening lifts directions of the pixels that hold little but noise. " + result.found
    return replace(result, found=text)


def _trained(setting: Setting, name: str, seed: int, bundle: Any) -> float:
    from torch import nn

    import zoo

    out = setting.folder / f"whitening/{name.replace(' ', '_')}-{seed}"
    if (out / "results.json").is_file():
        import json

        return float(json.loads((out / "results.json").read_text())["test"]["accuracy"])
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(math.prod(bundle.input_shape), 100), nn.ReLU(), nn.Linear(100, 10))
    run: Run = zoo.train(
        network, bundle, task="vision/classification", epochs=setting.epochs, lr=0.01, schedule="constant",
        optimizer="sgd", weight_decay=0.0, batch_size=64, seed=seed, out=out, progress=False,
    )  # fmt: skip
    return float(run.results["test"]["accuracy"])
