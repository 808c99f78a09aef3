"""Object detection: boxes and their classes in each image.

Shapes: N boxes (x1, y1, x2, y2) in pixels of an image of h x w pixels.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from vision.data.listing import EXTENSIONS
from vision.detection.examples import ExampleImages
from vision.detection.metrics import AveragePrecision, detection_metrics
from zoo.data import Bundle
from zoo.errors import DataError, check_name
from zoo.records import Entry
from zoo.training import Batch, Inputs, Item, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation
    from zoo.metrics import Metric

Detections = dict[str, Tensor]
BACKGROUND_FIRST = 1  # how torchvision's detectors count: 0 is the background


class Detection(Task):
    """Trains and judges detectors: modules that give losses for `model(images, targets)` in training mode, and "boxes",
    "labels" and "scores" of each image for `model(images)` in evaluation mode, as torchvision's do.

    classes:         names in the order of the labels, without the background.
    score_threshold: probability from which `predict` shows a box; metrics count all that the model gives.
    first_label:     the number of the first class in the model's targets and detections: 0, or 1 where 0 is the
                     background. None asks the model's attribute `first_label`, and takes 1 for models without it, as
                     torchvision's are. A model that is built by name gets so many outputs more.
    """

    name = "vision/detection"
    monitor = "map"
    mode: Literal["min", "max"] = "max"
    suffixes = EXTENSIONS
    recipe: ClassVar[Mapping[str, Any]] = MappingProxyType({"batch_size": 4, "lr": 3e-4, "clip_norm": 10.0})

    def __init__(self, *, classes: Sequence[str], score_threshold: float = 0.5, first_label: int | None = None) -> None:
        if not classes:
            raise DataError("Detection needs the name of one class at least.")
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold is {score_threshold}; it is a probability, from 0 to 1.")
        self.classes = tuple(classes)
        self.score_threshold = score_threshold
        self.first_label = first_label

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "Detection":
        """The task for the classes of a bundle."""
        if bundle.classes is None:
            raise DataError("Detection needs data with named classes: pass classes= to what makes the bundle.")
        _check_row(bundle.train[0])
        return cls(classes=bundle.classes, **options)

    def schema(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes), "score_threshold": self.score_threshold, "first_label": self.first_label
        }  # fmt: skip

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        return {"num_classes": len(self.classes) + (self.first_label or 0)}

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        images, targets = batch
        first = self._first_label(model)
        wanted = []
        for target in targets:
            single = ~target["iscrowd"] if "iscrowd" in target else slice(None)
            wanted.append({"boxes": target["boxes"][single], "labels": target["labels"][single] + first})
        parts: Losses = model(images, wanted)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def metrics(self) -> dict[str, "Metric"]:
        return cast("dict[str, Metric]", {**detection_metrics(self.classes), "examples": ExampleImages()})

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[list[Detections], list[dict[str, Any]]]:
        images, targets = batch
        shown = [{**target, "image": image} for image, target in zip(images, targets, strict=True)]
        return self.detect(model, images), shown

    def detect(self, model: nn.Module, images: Sequence[Tensor]) -> list[Detections]:
        """What a model in evaluation mode finds in images on its device, with labels that count from 0."""
        first = self._first_label(model)
        return [{**found, "labels": found["labels"] - first} for found in model(list(images))]

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any) -> list[Prediction]:
        """For each image its "boxes", best first: "label", "score" and "box" [x1, y1, x2, y2] in pixels of the file.

        inputs: images [3, h, w] on the scale 0..1 in a list or a tensor, or one image.
        """
        device = next(model.parameters()).device
        predictions = []
        with evaluation_mode(model):
            for image in as_images(inputs):
                found = self.detect(model, [image.to(device)])[0]
                rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), strict=True)
                boxes = [
                    {"label": self.classes[label], "score": score, "box": [round(side, 2) for side in box]}
                    for label, score, box in rows
                    if score >= self.score_threshold
                ]
                predictions.append({"boxes": boxes})
        return predictions

    def describe(self, prediction: Prediction) -> str:
        """How many of each class, and the most certain box."""
        boxes = prediction["boxes"]
        if not boxes:
            return f"nothing with a score of {self.score_threshold:g} or more"
        counts = Counter(box["label"] for box in boxes)
        best = boxes[0]
        corners = ", ".join(f"{side:.0f}" for side in best["box"])
        found = ", ".join(f"{count} {label}" for label, count in counts.most_common())
        return f"{found}; most certain {best['label']} {best['score']:.3f} at [{corners}]"

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        from vision.data.boxes import read_detector_inputs

        return Inputs(rows=read_detector_inputs(items), names=[str(item) for item in items])

    def picture(self, model: nn.Module, inputs: Any, predictions: Sequence[Prediction]) -> "Figure":
        from vision.detection.pictures import boxes_figure

        return boxes_figure(as_images(inputs), [row["boxes"] for row in predictions], classes=self.classes)

    def figures(self, metrics: Mapping[str, "Metric"]) -> dict[str, "Figure"]:
        from vision.detection.metrics import voc_curves
        from vision.detection.pictures import curves_figure, examples_figure

        whole, examples = metrics["map"], metrics["examples"]
        assert isinstance(whole, AveragePrecision), "made by `metrics`"
        assert isinstance(examples, ExampleImages), "made by `metrics`"
        figures = {"precision_recall": curves_figure(voc_curves(whole.items, len(self.classes)), classes=self.classes)}
        if examples.items:
            shown = examples.items[: examples.limit]
            figures["examples"] = examples_figure(shown, classes=self.classes, score_threshold=self.score_threshold)
        return figures

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        from vision.detection.baselines import usual_boxes

        return {"usual boxes": usual_boxes}

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "grad_cam",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Why the model gives one box of each image its score.

        target: which box: its number in `predict` at threshold 0, the name of a class for its best box, or None for the
                best of all; one for all images or a list of one for each.
        layer:  None takes the map of the backbone on which the score depends most.
        """
        from vision.detection.explaining import explain_boxes

        if isinstance(target, str):
            check_name("class", target, self.classes)
        return explain_boxes(self, model, as_images(inputs), method=method, target=target, layer=layer, options=options)

    def _first_label(self, model: nn.Module) -> int:
        if self.first_label is not None:
            return self.first_label
        return int(getattr(model, "first_label", BACKGROUND_FIRST))


def as_images(inputs: Any) -> list[Tensor]:
    """Images [3, h, w] of any sizes from a list or a tensor of them, or from one image.

    Raises: DataError for anything else.
    """
    rows = [inputs] if isinstance(inputs, Tensor) and inputs.ndim == 3 else inputs
    images = list(rows) if isinstance(rows, Sequence | Tensor) else []
    for image in images or [inputs]:
        if not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point():
            came = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise DataError(f"Expected image files, or float images [3, h, w] on the scale 0..1, got {came}.")
    return images


def _check_row(row: Any) -> None:
    """Raises DataError unless a row of the data is an image with boxes."""
    image, target = row[0], row[-1]
    if not isinstance(target, Mapping) or not {"boxes", "labels"} <= set(target):
        came = ", ".join(target) if isinstance(target, Mapping) else type(target).__name__
        raise DataError(f'The target of each image must be a dict with "boxes" [N, 4] and "labels" [N], got {came}.')
    as_images(image)
