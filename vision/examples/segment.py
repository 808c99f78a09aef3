"""Cross-validates a segmentation network on a folder of images and masks, beside a forest on filtered pixels.

Run: python -m vision.examples.segment --data images_and_masks/ --model unet_padded --width 16 --folds 5
     python -m vision.examples.segment --quick   (shapes drawn here, a minute)
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.training import Run, fine_tune, train

MEASURES = ("mean_iou", "dice", "pixel_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/; shapes are drawn if not given")
    parser.add_argument("--model", default="unet_padded", help="any name of `zoo list --task vision/segmentation`")
    parser.add_argument("--encoder", help="a U-Net on this encoder with its trained weights, such as resnet34")
    parser.add_argument("--width", type=int, help="channels of the first level, of `unet` and `unet_padded`")
    parser.add_argument("--classes", nargs="+", help="names in the order of the values in the masks")
    parser.add_argument("--folds", type=int, default=1, help="how many of five folds to train and judge")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the training data")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate of the 1cycle schedule")
    parser.add_argument("--crop", type=int, default=256, help="height and width of training crops, pixels")
    parser.add_argument("--batch-size", type=int, default=4, help="crops a step")
    parser.add_argument("--augment", default="heavy", help="none, light, standard or heavy")
    parser.add_argument("--weight-map", action="store_true", help="more weight between touching objects")
    parser.add_argument("--quick", action="store_true", help="shapes drawn here, few epochs")
    parser.add_argument("--out", type=Path, default=Path("segmentation"), help="folder for the runs")
    arguments = parser.parse_args()
    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        arguments.quick = arguments.quick or arguments.data is None
        if arguments.quick:
            arguments.data = draw_shapes(Path(folder))
            arguments.epochs, arguments.crop, arguments.width = 25, 64, arguments.width or 8
            arguments.augment, arguments.lr = "light", 5e-3
        cross_validate(arguments)


def cross_validate(arguments: argparse.Namespace) -> None:
    """Trains and judges on each fold, and prints its figures beside those of the baseline."""
    found: list[dict[str, float]] = []
    baselines: list[dict[str, float]] = []
    for fold in range(arguments.folds):
        run = one_fold(arguments, fold)
        found.append(run.results["validation"])
        forest = run.task.baselines()["forest on filtered pixels"]
        baselines.append(forest(run.bundle, "validation"))
        print(f"fold {fold}: {figures(found[-1])}   to compare, a forest on filtered pixels: {figures(baselines[-1])}")
    if arguments.folds > 1:
        for title, rows in (("this network", found), ("to compare, forest", baselines)):
            print(f"{title}: " + "  ".join(f"{name} {spread(rows, name)}" for name in MEASURES))
    print(f"runs in {arguments.out}")


def one_fold(arguments: argparse.Namespace, fold: int) -> Run:
    """Trains on all images but those of a fold."""
    data_options: dict[str, Any] = {
        "fold": fold, "folds": 5, "crop": arguments.crop, "augment": arguments.augment, "classes": arguments.classes,
        "split": "blocks", "weight_map": arguments.weight_map, "channels": 3 if arguments.quick else None,
    }  # fmt: skip
    options: dict[str, Any] = {
        "epochs": arguments.epochs, "lr": arguments.lr, "batch_size": arguments.batch_size, "schedule": "one_cycle",
        "clip_norm": 1.0, "out": next_free(arguments.out / f"fold-{fold}"),
    }  # fmt: skip
    if arguments.encoder:
        return fine_tune(
            "unet_resnet34", arguments.data, data_options={**data_options, "channels": 3},
            model_options={"encoder": arguments.encoder, "encoder_weights": "default"}, **options,
        )  # fmt: skip
    model_options = {"width": arguments.width} if arguments.width else {}
    return train(arguments.model, arguments.data, data_options=data_options, model_options=model_options, **options)


def figures(values: dict[str, float]) -> str:
    """The measures in words."""
    return "  ".join(f"{name} {values[name]:.4f}" for name in MEASURES)


def spread(rows: Sequence[dict[str, float]], name: str) -> str:
    """Mean and standard deviation over the folds."""
    values = [row[name] for row in rows]
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def next_free(folder: Path) -> Path:
    """`folder`, or with the next number if there is one of that name already."""
    number, free = 2, folder
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free


def draw_shapes(folder: Path) -> Path:
    """Thirty noisy images of a square and a disc, with masks."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(30):
        mask = np.zeros((96, 96), dtype=np.uint8)
        top, left = generator.integers(4, 60, 2)
        mask[top : top + 30, left : left + 30] = 1
        middle = generator.integers(20, 76, 2)
        mask[(rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 16**2] = 2
        colours = np.array([[60, 60, 60], [150, 120, 60], [150, 120, 60]])[mask]  # only the form tells them apart
        image = (colours + generator.normal(0, 40, colours.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


if __name__ == "__main__":
    main()
