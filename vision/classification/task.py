"""Image classification: one class for each image.

Shapes: B images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vision.data.listing import EXTENSIONS
from vision.data.transforms import preprocessing_from
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.lookup import import_object
from zoo.losses import make_loss
from zoo.metrics import Metric, make_metric
from zoo.outputs import AuxiliaryLogits
from zoo.records import Entry, ImagePreprocessing
from zoo.training import Batch, Losses, Prediction, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation


class ImageClassification(Task):
    """Trains and judges classifiers of images by cross-entropy.

    classes:         names in the order of the outputs.
    preprocessing:   how image files become inputs; None if the data are arrays that the model takes as they are.
    input_shape:     of one input, [C, H, W].
    label_smoothing: share of the target that is spread over all classes, 0..1.
    class_weights:   one for each class, or None for equal ones.
    losses:          "module:callable" `(model, batch) -> dict` in place of cross-entropy, for models whose paper
                     trains otherwise.
    """

    name = "vision/classification"
    monitor = "accuracy"
    mode: Literal["min", "max"] = "max"
    suffixes = EXTENSIONS

    def __init__(
        self,
        *,
        classes: Sequence[str],
        preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
        input_shape: Sequence[int] = (),
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        losses: str | None = None,
    ) -> None:
        if len(classes) < 2:
            raise DataError(f"Classification needs two classes or more, got {list(classes)}.")
        if class_weights is not None and len(class_weights) != len(classes):
            raise ValueError(f"{len(classes)} classes need as many class_weights, got {len(class_weights)}.")
        self.classes = tuple(classes)
        self.preprocessing = None if preprocessing is None else preprocessing_from(preprocessing)
        self.input_shape = tuple(input_shape)
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tuple(class_weights)
        self.losses_reference = losses
        self._own_losses = None if losses is None else import_object(losses)
        self._weights = None if class_weights is None else torch.tensor(self.class_weights)
        self._loss = make_loss("cross_entropy", label_smoothing=label_smoothing, class_weights=self.class_weights)

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "ImageClassification":
        """The task for the classes, shape and preprocessing of a bundle."""
        if bundle.classes is None:
            raise DataError("Image classification needs one class for each image; these data have numbers as targets.")
        return cls(
            classes=bundle.classes, preprocessing=bundle.preprocessing, input_shape=bundle.input_shape, **options
        )

    def schema(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "preprocessing": None if self.preprocessing is None else asdict(self.preprocessing),
            "input_shape": list(self.input_shape),
            "label_smoothing": self.label_smoothing,
            "class_weights": None if self.class_weights is None else list(self.class_weights),
            "losses": self.losses_reference,
        }

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        arguments: dict[str, Any] = {"num_classes": len(self.classes)}
        if self.input_shape and entry.input_shape and self.input_shape[0] != entry.input_shape[0]:
            arguments["in_channels"] = self.input_shape[0]
        return arguments

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        if self._own_losses is not None:
            return self._own_losses(model, batch)
        inputs, targets = batch
        output = model(inputs)
        logits = logits_of(output)
        loss = self._loss(logits, targets)
        if isinstance(output, AuxiliaryLogits):
            for side in output.auxiliary:
                loss = loss + output.weight * self._loss(side, targets)
        return {"loss": loss, "accuracy": (logits.argmax(1) == targets).mean(dtype=torch.float32)}

    def mean_weight(self, batch: Batch) -> float | Tensor:
        if self._weights is None or self._own_losses is not None:
            return len(batch[1])
        return self._weights.to(batch[1].device)[batch[1]].sum()

    def metrics(self) -> dict[str, Metric]:
        num_classes = len(self.classes)
        metrics = {
            "accuracy": make_metric("accuracy"),
            "loss": make_metric("log_loss"),
            "precision": make_metric("precision", num_classes=num_classes),
            "recall": make_metric("recall", num_classes=num_classes),
            "f1": make_metric("f1", num_classes=num_classes),
            "confusion_matrix": make_metric("confusion_matrix", num_classes=num_classes),
        }
        if num_classes > 5:
            metrics["top5"] = make_metric("top5")
        return metrics

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        return logits_of(model(inputs)).float(), targets

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Tensor, *, top: int = 5) -> list[Prediction]:
        """For each image [C, H, W] of `inputs` the most probable class as "label" and "probability", and the `top`."""
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            probs = logits_of(model(inputs.to(device))).float().softmax(1).cpu()  # [B, C]
        finally:
            model.train(was_training)
        best = probs.topk(min(top, len(self.classes)), dim=1)
        return [
            {
                "label": self.classes[int(indices[0])],
                "probability": float(values[0]),
                "top": [
                    {"label": self.classes[int(index)], "probability": float(value)}
                    for value, index in zip(values, indices, strict=True)
                ],
            }
            for values, indices in zip(best.values, best.indices, strict=True)
        ]

    def read_inputs(self, paths: Sequence[Path]) -> Tensor:
        from vision.data.folder import read_inputs

        if self.preprocessing is None:
            raise DataError("This run was trained on arrays, not on image files: give a batch of inputs [B, C, H, W].")
        return read_inputs(paths, self.preprocessing)

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
        from zoo.explanation import explain

        if isinstance(target, str):
            if target not in self.classes:
                raise ValueError(f"There is no class {target!r}; expected one of {', '.join(self.classes)}.")
            target = self.classes.index(target)
        device = next(model.parameters()).device
        return explain(
            model, inputs.to(device), method=method, target=target, layer=layer, preprocessing=self.preprocessing,
            labels=self.classes, options=options,
        )  # fmt: skip

    def figures(self, metrics: Mapping[str, Metric]) -> dict[str, "Figure"]:
        from zoo.metrics.pictures import confusion_figure

        matrix = metrics["confusion_matrix"].compute()
        assert isinstance(matrix, Tensor)
        return {"confusion": confusion_figure(matrix, self.classes)}


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] in whatever a classifier returns: a tensor, ours with side heads, or a library's output."""
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(f"A classifier must return logits [B, C]; this one returned {type(output).__name__}.")
    return logits
