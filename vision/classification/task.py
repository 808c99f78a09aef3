"""Image classification: one class for each image.

Shapes: B images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
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
from zoo.training import Batch, Inputs, Item, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation


IMAGE_DIMS = 3  # C, H, W


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
        if class_weights is not None:
            _check_class_weights(class_weights, len(classes))
        if losses is not None and (class_weights is not None or label_smoothing):
            raise ValueError(f"class_weights and label_smoothing are for cross-entropy; {losses} does not take them.")
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
        _check_input(bundle.train[0][0])
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
        self._weights = self._weights.to(batch[1].device)  # once; each copy would make the device wait
        return self._weights[batch[1]].sum()

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
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 5) -> list[Prediction]:
        """For each image of `inputs` the most probable class as "label" and "probability", and the `top` ones.

        inputs: float tensor or array [B, C, H, W], or one image [C, H, W], as the model takes them.
        """
        inputs = self._batch(inputs)
        device = next(model.parameters()).device
        with evaluation_mode(model):
            probs = logits_of(model(inputs.to(device))).float().softmax(1).cpu()  # [B, C]
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

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        from vision.data.folder import read_inputs

        if self.preprocessing is None:
            raise DataError("This run was trained on arrays, not on image files: give a batch of inputs [B, C, H, W].")
        return Inputs(rows=read_inputs(items, self.preprocessing), names=[str(item) for item in items])

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
        inputs = self._batch(inputs).to(next(model.parameters()).device)
        return explain(
            model, inputs, method=method, target=target, layer=layer, preprocessing=self.preprocessing,
            labels=self.classes, options=options,
        )  # fmt: skip

    def _batch(self, inputs: Any) -> Tensor:
        return _as_batch(inputs, len(self.input_shape) or IMAGE_DIMS)

    def figures(self, metrics: Mapping[str, Metric]) -> dict[str, "Figure"]:
        from zoo.metrics.pictures import confusion_figure

        matrix = metrics["confusion_matrix"].compute()
        assert isinstance(matrix, Tensor)
        return {"confusion": confusion_figure(matrix, self.classes)}


def _check_class_weights(weights: Any, num_classes: int) -> None:
    """Raises ValueError unless there is a number from 0 up for each class, and one above 0."""
    numbers = isinstance(weights, Sequence) and all(isinstance(weight, int | float) for weight in weights)
    if not numbers or len(weights) != num_classes:
        raise ValueError(f"{num_classes} classes need as many numbers as class_weights, got {weights!r}.")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"class_weights must be finite, not negative and not all 0, got {list(weights)}.")


def _check_input(row: Any) -> None:
    """Raises DataError unless `row`, one input, is floats, and [C, H, W] if it is an image."""
    if not isinstance(row, Tensor):
        raise DataError(f"Each input must be an image tensor [C, H, W], got {type(row).__name__}.")
    if row.ndim == 3 and row.shape[2] in (1, 3, 4) and row.shape[0] > 4:
        raise DataError(f"The images look channels-last, {list(row.shape)}: permute them to [C, H, W].")
    if not row.is_floating_point():
        raise DataError(
            f"The images are {row.dtype}, and networks take floats: scale them, or give the bundle a transform such "
            "as lambda images: images / 255."
        )


def _as_batch(inputs: Any, num_dims: int) -> Tensor:
    """A tensor or array of inputs, or of one with `num_dims` dimensions, as a batch of floats.

    Raises: DataError for anything else.
    """
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim not in (num_dims, num_dims + 1):
        came = f"{inputs.dtype} {list(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise DataError(f"Expected image files, or float images [B, C, H, W] as the model takes them, got {came}.")
    inputs = inputs[None] if inputs.ndim == num_dims else inputs
    return inputs.float() if inputs.dtype == torch.float64 else inputs


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] in whatever a classifier returns: a tensor, ours with side heads, or a library's output."""
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(f"A classifier must return logits [B, C]; this one returned {type(output).__name__}.")
    return logits
