"""Sets pictures beside each other, each under its title, as the README shows them.

The pictures come from runs: `zoo explain RUN ITEM --out box.png`, `zoo predict RUN ITEM --out found.png`.
Run: python docs/gallery.py docs/images/domains.png "a box, by Grad-CAM=box.png" "words=words.png" ...
"""

import argparse
import math
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

COLUMNS = 2
CELL_INCHES = (6.0, 3.4)
WHITE = 0.995  # above this in all channels is margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("pictures", nargs="+", metavar="TITLE=FILE", help="what to show, row by row")
    arguments = parser.parse_args()
    pairs = [picture.rpartition("=") for picture in arguments.pictures]
    rows = math.ceil(len(pairs) / COLUMNS)
    size = (COLUMNS * CELL_INCHES[0], rows * CELL_INCHES[1])
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
    for axes, (title, _, file) in zip(panels, pairs, strict=False):
        pixels = imread(file)
        inside = (pixels[..., :3] < WHITE).any(2)
        rows_used, columns_used = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
        axes.imshow(pixels[rows_used[0] : rows_used[-1] + 1, columns_used[0] : columns_used[-1] + 1])
        axes.set_title(title, fontsize=12)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.savefig(arguments.out, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
