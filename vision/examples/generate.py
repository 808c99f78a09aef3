"""Trains a generator of images, and says how far its images are from real ones.

Run: python -m vision.examples.generate --data fashion-mnist/   (without --data the few embedded images)

The whole of Fashion-MNIST, 70,000 images, comes with the Debian package dataset-fashion-mnist.
The distance (FID) is in the features of a classifier that is trained first on the labels of the same images. Published
FIDs are in the features of Inception and cannot be compared with it; what can be is printed beside it.
"""

import argparse
from pathlib import Path
from typing import Any

from vision.examples.embedded import FASHION_MNIST
from zoo.cli.scripts import plain_errors
from zoo.registry import model_info
from zoo.training import Run, train

SIZE = 32  # pixels a side
CLASSIFIER = {"widths": (16, 32, 64), "depths": (1, 1, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder with IDX files, class folders or .npz")
    parser.add_argument("--model", default="dcgan", help="any name of `zoo list --task vision/generation`")
    parser.add_argument("--epochs", type=int, help="passes over the images; None takes the paper's or the zoo's own")
    parser.add_argument("--size", type=int, default=SIZE, help="height and width of the images, pixels")
    parser.add_argument("--classifier", type=Path, help="run of a classifier to measure with, in place of a new one")
    parser.add_argument("--quick", action="store_true", help="40 steps of a narrow model, to see that it runs")
    parser.add_argument("--out", type=Path, help="folder for the two runs; the next free ones under runs/ if not given")
    arguments = parser.parse_args()
    with plain_errors():
        model_info(arguments.model)  # for its error, before a classifier is trained
        classifier = arguments.classifier or train_classifier(arguments).directory
        run = train_generator(arguments, classifier)
        report(run, arguments.model)


def train_classifier(arguments: argparse.Namespace) -> Run:
    """A small network that knows the classes of the images."""
    run = train(
        "cnn_linear", arguments.data, epochs=1 if arguments.quick else 3, lr=5e-3, batch_size=128,
        schedule="one_cycle", model_options=CLASSIFIER, out=arguments.out and arguments.out / "classifier",
        data_options={"size": arguments.size, "augment": "none", "validation": 0.1, "input_shape": (1, SIZE, SIZE)},
    )  # fmt: skip
    print(f"classifier to measure with: validation accuracy {run.results['validation']['accuracy']:.1%}")
    return run


def train_generator(arguments: argparse.Namespace, classifier: Path) -> Run:
    """The generator and its discriminator, judged by the classifier after every epoch."""
    quick: dict[str, Any] = {}
    if arguments.quick:
        quick = {"max_steps": 40, "ema": 0.9, "model_options": {"generator_width": 16, "discriminator_width": 16}}
    return train(
        arguments.model, arguments.data, epochs=arguments.epochs,
        data_options={"size": arguments.size, "channels": 1}, task_options={"fid_classifier": str(classifier)},
        out=arguments.out and arguments.out / arguments.model, **quick,
    )  # fmt: skip


def report(run: Run, name: str) -> None:
    """Prints the distance reached, and those of images that were not drawn by a network."""
    split = "test" if "test" in run.results else "validation"
    metric = run.task.monitor
    count = len(run.bundle.parts[split])
    print(f"{metric} of {name} {run.results[split][metric]:.3f}, from {count} images to the {split} part")
    print("to compare, in the same features with as many images:")
    for title, judge in run.task.baselines().items():
        print(f"  {title} {judge(run.bundle, split)[metric]:.3f}")
    print(f"samples after every epoch in {run.directory / 'pictures'}")


if __name__ == "__main__":
    main()
