"""Explains what a classifier sees in an image, by several methods side by side.

Run: python -m vision.examples.explain --image cat.jpg   (without --image a photograph that comes with scikit-learn)
"""

import argparse
import tempfile
from pathlib import Path

from vision.data.folder import read_inputs
from zoo.cli.scripts import plain_errors
from zoo.explanation import METHODS, explain
from zoo.lookup import import_object
from zoo.registry import create_model, find_weights, model_info


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="image file")
    parser.add_argument("--model", default="efficientnet_lite0", help="a classifier of the zoo with weights")
    parser.add_argument("--methods", nargs="+", default=["grad_cam", "grad_cam_plus_plus", "smooth_grad"],
                        choices=sorted(METHODS), metavar="METHOD", help=", ".join(sorted(METHODS)))  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("explanations"), help="folder for the pictures")
    arguments = parser.parse_args()
    with plain_errors():
        model = create_model(arguments.model, weights="default")
        record = find_weights(model_info(arguments.model), "default")
        with tempfile.TemporaryDirectory() as folder:
            image = arguments.image or sample_photograph(Path(folder))
            inputs = read_inputs(image, record.preprocessing)
        labels = import_object(record.labels)() if record.labels else None
        arguments.out.mkdir(parents=True, exist_ok=True)
        for method in arguments.methods:
            found = explain(model, inputs, method=method, preprocessing=record.preprocessing, labels=labels)
            path = arguments.out / f"{method}.png"
            found.save(path)
            print(f"{method:20} {found.title(0):40} {path}")


def sample_photograph(folder: Path) -> Path:
    """The flower that comes with scikit-learn, as a file in `folder`."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    path = folder / "flower.jpg"
    Image.fromarray(load_sample_image("flower.jpg")).save(path, quality=95)
    return path


if __name__ == "__main__":
    main()
