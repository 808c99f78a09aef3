"""Fine-tunes a detector on a folder of images with boxes, and compares with what others reached.

Made for the blood cells of BCCD (github.com/Shenggan/BCCD_Dataset, 364 microscope images, MIT licence), whose folder
BCCD/ is of Pascal VOC's layout; any other such folder or COCO file does as well. Without --data images are drawn.
Run: python -m vision.examples.detect --data BCCD/
     python -m vision.examples.detect --quick   (images drawn here, a minute)
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cli.scripts import plain_errors
from zoo.training import Run, fine_tune

# AP at an overlap of 0.5, percent, as published for BCCD. Each is on a split of its own, so that they say what is usual
# and not who is best.
PUBLISHED = {
    "YOLOv5n, 640 px (huggingface.co/keremberke/yolov5n-blood-cell)": 92.3,
    "YOLOv5s, 640 px (huggingface.co/keremberke/yolov5s-blood-cell)": 90.2,
    "CNN detector of Joshi et al. 2022 (doi:10.15359/ru.36-1.28)": 85.4,
    "YOLOS-small (huggingface.co/DunnBC22/yolos-small-Blood_Cell_Object_Detection)": 57.9,
}
CELLS = {"Platelets", "RBC", "WBC"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Pascal VOC folder, COCO .json or folder of such; drawn if not given")
    parser.add_argument("--model", default="faster_rcnn_efficientnet_lite0_fpn", help="any name of vision/detection")
    parser.add_argument("--epochs", type=int, default=8, help="epochs on all parameters, after one on the head")
    parser.add_argument("--lr", type=float, default=5e-4, help="highest learning rate of the head")
    parser.add_argument("--size", type=int, default=320, help="shorter side of the images for the network, pixels")
    parser.add_argument("--batch-size", type=int, default=2, help="images a step")
    parser.add_argument("--augment", default="light", help="none, light or standard")
    parser.add_argument("--quick", action="store_true", help="a few steps on small images, to see that all works")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    arguments = parser.parse_args()
    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        arguments.data = arguments.data or draw_things(Path(folder))
        run = train_detector(arguments)
        report(run)


def train_detector(arguments: argparse.Namespace) -> Run:
    """Fine-tunes the model that was asked for."""
    quick: dict[str, Any] = {"max_steps": 12} if arguments.quick else {}
    size = 128 if arguments.quick else arguments.size
    return fine_tune(
        arguments.model, arguments.data, epochs=1 if arguments.quick else arguments.epochs, lr=arguments.lr,
        batch_size=arguments.batch_size, optimizer="adamw", weight_decay=0.01, out=arguments.out,
        model_options={"min_size": size, "max_size": 2 * size},
        data_options={"augment": arguments.augment, "on_error": "skip"}, **quick,
    )  # fmt: skip


def report(run: Run) -> None:
    """Prints what the run reached beside what it is to be compared with."""
    classes = run.bundle.classes or ()
    for file, reason in run.bundle.skipped[:5]:
        print(f"left out: {Path(file).name} {reason}")
    split = "test" if "test" in run.results else "validation"
    found = run.results[split]
    print(f"{split}: mAP {found['map']:.1%}, AP50 {found['map50']:.1%} (COCO), {found['voc_ap50']:.1%} (Pascal VOC)")
    for name in classes:
        if f"ap50_{name}" in found:
            print(f"  {name}: AP50 {found[f'ap50_{name}']:.1%}")
    print(f"run in {run.directory}, boxes in examples_{split}.png, curves in precision_recall_{split}.png")
    for name, baseline in run.task.baselines().items():
        usual = baseline(run.bundle, split)
        print(f"to compare, {name} of the training images: mAP {usual['map']:.1%}, AP50 {usual['map50']:.1%}")
    if set(classes) == CELLS:
        print("to compare, AP50 published for BCCD, each on a split of its own:")
        for name, value in PUBLISHED.items():
            print(f"  {value:.1f} %  {name}")


def draw_things(folder: Path, *, counts: dict[str, int] | None = None) -> Path:
    """Writes a Pascal VOC folder of dark discs and bright squares on grey, 96 x 128 pixels with two things each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / place).mkdir(parents=True)
    for part, count in (counts or {"train": 24, "val": 6, "test": 6}).items():
        names = [f"{part}_{number}" for number in range(count)]
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names), encoding="utf-8")
        for name in names:
            pixels, objects = rng.integers(90, 110, (96, 128, 3)), ""
            for number, kind in enumerate(("disc", "square")):
                side = int(rng.integers(24, 50))
                top, left = int(rng.integers(0, 96 - side)), int(rng.integers(0, 64 - side)) + 64 * number
                rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
                inside = (rows**2 + columns**2 < side**2 / 4) | (kind == "square")
                pixels[top : top + side, left : left + side][inside] = 230 if kind == "square" else 20
                corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + side, "ymax": top + side}
                box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners.items())
                objects += f"<object><name>{kind}</name><bndbox>{box}</bndbox></object>"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "JPEGImages" / f"{name}.png")
            text = f"<annotation>{objects}</annotation>"
            (folder / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
