"""Trains a classifier from random weights, and compares with a linear model on the pixels.

Run: python -m vision.examples.train_from_scratch --data photos/   (without --data the embedded images)
"""

import argparse
from pathlib import Path

from vision.examples.embedded import FASHION_MNIST, linear_baseline
from zoo.cli.scripts import plain_errors
from zoo.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder with a sub-folder per class, or .csv")
    parser.add_argument("--model", default="resnet20_cifar", help="any name of `zoo list --task vision/classification`")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the training data")
    parser.add_argument("--lr", type=float, default=0.1, help="highest learning rate of the 1cycle schedule")
    parser.add_argument("--size", type=int, default=32, help="height and width of the crop, pixels")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    arguments = parser.parse_args()
    with plain_errors():
        run = train(
            arguments.model, arguments.data, epochs=arguments.epochs, lr=arguments.lr, schedule="one_cycle",
            optimizer="nesterov", weight_decay=5e-4, batch_size=64, out=arguments.out,
            data_options={"size": arguments.size, "augment": "light"},
        )  # fmt: skip
    split = "test" if "test" in run.results else "validation"
    print(f"{split} accuracy {run.results[split]['accuracy']:.1%}, run in {run.directory}")
    bundle = run.bundle
    baseline = linear_baseline(bundle.train, bundle.test or bundle.validation or bundle.train)
    print(f"to compare: logistic regression on the pixels {baseline:.1%}")


if __name__ == "__main__":
    main()
