"""Sets pictures beside each other, each under its title, as the README shows them.

The pictures come from runs: `zoo explain RUN ITEM --out box.png`, `zoo predict RUN ITEM --out found.png`.
Run: python docs/gallery.py docs/images/domains.png "a box, by Grad-CAM=box.png" "words=words.png" ...
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

COLUMNS = 2
CELL_INCHES = (6.0, 3.4)
TITLE_INCHES = 0.45
WHITE = 0.995  # above this in all channels is margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("pictures", nargs="+", metavar="TITLE=FILE", help="what to show, row by row")
    arguments = parser.parse_args()
    pairs = [picture.rpartition("=") for picture in arguments.pictures]
    shown = [(title, cropped(imread(file))) for title, _, file in pairs]
    heights = [
        max(
            min(CELL_INCHES[1], CELL_INCHES[0] * len(pixels) / pixels.shape[1]) for _, pixels in shown[start:][:COLUMNS]
        )
        for start in range(0, len(shown), COLUMNS)
    ]
    size = (COLUMNS * CELL_INCHES[0], sum(heights) + TITLE_INCHES * len(heights))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    panels = figure.subplots(len(heights), COLUMNS, squeeze=False, height_ratios=heights).flat
    for axes, (title, pixels) in zip(panels, shown, strict=False):
        axes.imshow(pixels)
        axes.set_title(title, fontsize=12)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.savefig(arguments.out, pil_kwargs={"optimize": True})


def cropped(pixels: np.ndarray) -> np.ndarray:
    """Pixels [H, W, C] of 0..1 without their white margins."""
    inside = (pixels[..., :3] < WHITE).any(2)
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


if __name__ == "__main__":
    main()
