"""Fine-tunes ImageNet weights on images of your own, and compares with a linear model on the pixels.

Run: python -m vision.examples.finetune --data photos/   (photos/<class>/*.jpg; without --data the embedded images)
"""

import argparse
from pathlib import Path

from vision.examples.embedded import FASHION_MNIST, linear_baseline
from zoo.cli.scripts import plain_errors
from zoo.training import fine_tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder with a sub-folder per class, or .csv")
    parser.add_argument("--model", default="efficientnet_lite0", help="any name with weights, also timm:...")
    parser.add_argument("--weights", default="default", help="tag, or path of a file")
    parser.add_argument("--epochs", type=int, default=5, help="epochs on all parameters, after one on the head")
    parser.add_argument("--size", type=int, default=64, help="height and width of the crop, pixels")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    arguments = parser.parse_args()
    with plain_errors():
        run = fine_tune(
            arguments.model, arguments.data, weights=arguments.weights, epochs=arguments.epochs,
            precision="bf16-mixed", channels_last=True, out=arguments.out,
            data_options={"size": arguments.size, "augment": "light"},
        )  # fmt: skip
    split = "test" if "test" in run.results else "validation"
    print(f"{split} accuracy {run.results[split]['accuracy']:.1%}, run in {run.directory}")
    bundle = run.bundle
    baseline = linear_baseline(bundle.train, bundle.test or bundle.validation or bundle.train)
    print(f"to compare: logistic regression on the pixels {baseline:.1%}")


if __name__ == "__main__":
    main()
