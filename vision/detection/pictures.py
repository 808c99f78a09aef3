"""Pictures of detections: boxes on images, what was found beside what there is, precision over recall."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vision.detection.examples import Example
from vision.detection.metrics import Curve, average_precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 4.0
MOST_COLUMNS = 3
MOST_CURVES = 10

Found = Mapping[str, Any]


def boxes_figure(images: Sequence[Tensor], boxes: Sequence[Sequence[Found]], *, classes: Sequence[str]) -> "Figure":
    """Images [3, h, w] on the scale 0..1 with the boxes of each: "label", "box" and, if known, "score"."""
    columns = min(MOST_COLUMNS, len(images))
    figure, axes = _panels(images, rows=math.ceil(len(images) / columns), columns=columns)
    for axis, image, found in zip(axes, images, boxes, strict=False):
        _draw(axis, image, found, classes=classes)
    return figure


def examples_figure(examples: Sequence[Example], *, classes: Sequence[str], score_threshold: float) -> "Figure":
    """A row for each image: the true boxes on the left, on the right what was found with `score_threshold` or more."""
    images = [example.image.float() / 255 for example in examples for _ in range(2)]
    figure, axes = _panels(images, rows=len(examples), columns=2)
    for number, example in enumerate(examples):
        truths = [
            {"label": classes[int(label)], "box": box.tolist()}
            for box, label in zip(example.truths, example.true_labels, strict=True)
        ]
        found = [
            {"label": classes[int(label)], "box": box.tolist(), "score": float(score)}
            for box, label, score in zip(example.boxes, example.labels, example.scores, strict=True)
            if score >= score_threshold
        ]
        for axis, boxes, title in zip(axes[2 * number :], (truths, found), ("true", "found"), strict=False):
            _draw(axis, images[2 * number], boxes, classes=classes)
            axis.set_title(f"{title}: {len(boxes)}", fontsize=9)
    return figure


def curves_figure(curves: Sequence[Curve], *, classes: Sequence[str]) -> "Figure":
    """Precision over recall at an overlap of a half, of the classes with the most boxes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), dpi=120, layout="constrained")
    axis = figure.subplots()
    order = sorted(range(len(curves)), key=lambda label: -curves[label].num_truths)[:MOST_CURVES]
    for label in order:
        curve = curves[label]
        if curve.num_truths:
            title = f"{classes[label]}, AP {100 * average_precision(curve):.1f} % of {curve.num_truths}"
            axis.plot(curve.recall, curve.precision, label=title, color=colour_of(label))
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), title="intersection over union 0.5")
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=8, loc="lower left")
    return figure


def colour_of(label: int) -> tuple[float, float, float]:
    """The colour of a class, the same in every picture."""
    from matplotlib import colormaps

    red, green, blue = colormaps["tab10"](label % 10)[:3]
    return red, green, blue


def _panels(images: Sequence[Tensor], *, rows: int, columns: int) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    height = max(image.shape[1] / image.shape[2] for image in images) * PANEL_INCHES + 0.3
    figure = Figure(
        figsize=(columns * PANEL_INCHES, rows * min(height, 3 * PANEL_INCHES)), dpi=120, layout="constrained"
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _draw(axis: "Axes", image: Tensor, boxes: Sequence[Found], *, classes: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    axis.imshow(image.detach().cpu().permute(1, 2, 0).clamp(0, 1).numpy())
    for found in reversed(boxes):  # the most certain on top
        x1, y1, x2, y2 = found["box"]
        colour = colour_of(list(classes).index(found["label"]))
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.3))
        text = found["label"] if "score" not in found else f"{found['label']} {found['score']:.2f}"
        axis.text(
            x1, y1, text, fontsize=5, color="white", verticalalignment="bottom", clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
