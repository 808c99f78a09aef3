"""The demo: ImageNet weights fine-tuned on real images on two cores, beside two baselines, then explained.

Run: make demo, or zoo demo
"""

import time
from pathlib import Path
from typing import Any

from vision.examples.embedded import FASHION_MNIST
from zoo.training import Run, fine_tune, train
from zoo.training.directory import create_directory

MODEL = "efficientnet_lite0"
DATA = {"size": 64, "augment": "light"}
# Half of the paper's dropout and no stochastic depth: a few epochs leave no time to profit from more.
MODEL_OPTIONS = {"dropout": 0.1, "drop_path": 0.0}


def run(*, out: Path, quick: bool = False) -> None:
    """Trains the three contestants, prints their test accuracy, and writes pictures below `out`.

    out:   the first free of out, out-2, out-3, ... is taken; nothing is overwritten.
    quick: two steps of each, to see that it runs.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    directory = free_directory(out)
    console.print(f"[bold]{MODEL}[/] with ImageNet weights on 2,000 images of clothing, 64 x 64 pixels, ten classes\n")
    shared: dict[str, Any] = {
        "data_options": DATA, "model_options": MODEL_OPTIONS, "batch_size": 32, "seed": 0,
        "precision": "bf16-mixed", "channels_last": True, "max_steps": 2 if quick else None,
    }  # fmt: skip
    contestants = {
        "from scratch": lambda path: train(
            MODEL, FASHION_MNIST, epochs=6, lr=2e-3, schedule="one_cycle", out=path, **shared
        ),
        "head on frozen features": lambda path: fine_tune(
            MODEL, FASHION_MNIST, strategy="head", epochs=20, lr=5e-3, cache_features=True, out=path, **shared
        ),
        "fine-tuned": lambda path: fine_tune(MODEL, FASHION_MNIST, epochs=5, out=path, **shared),
    }
    table = Table("", "test accuracy", "training", header_style="bold", box=None)
    runs: dict[str, Run] = {}
    for name, start in contestants.items():
        console.print(f"[bold]{name}[/]")
        began = time.perf_counter()
        runs[name] = start(directory / name.replace(" ", "_"))
        seconds = time.perf_counter() - began
        table.add_row(name, f"{runs[name].results['test']['accuracy']:.1%}", f"{seconds:.0f} s")
    console.print()
    console.print(table)
    picture = explain_some(runs["fine-tuned"], directory)
    best = runs["fine-tuned"].directory
    console.print(f"\ncurves            {best / 'curves.png'}")
    console.print(f"confusion matrix  {best / 'confusion_test.png'}")
    console.print(f"explanations      {picture}")
    console.print(f"\nNow your own images: zoo train {MODEL} --data photos/   (photos/<class>/*.jpg)")


def explain_some(run: Run, directory: Path, *, count: int = 6) -> Path:
    """Writes a picture of `count` test images with the heat of Grad-CAM over them.

    The last feature map has only 2 x 2 cells at 64 pixels, so the last one with 8 x 8 is looked at.
    """
    import torch

    test = run.bundle.test
    assert test is not None, "the embedded data have a test part"
    images = torch.stack([test[index][0] for index in range(count)])
    layer = [info.name for info in run.model.feature_info if info.stride * 8 <= images.shape[-1]][-1]  # type: ignore[union-attr]
    path = directory / "explanations.png"
    run.explain(images, method="grad_cam", layer=layer).save(path)
    return path


def free_directory(out: Path) -> Path:
    """A new directory: `out`, or the first free of out-2, out-3 and so on."""
    path, number = out, 1
    while path.exists():
        number += 1
        path = out.with_name(f"{out.name}-{number}")
    return create_directory(path, name=path.name)
