"""Image classification: one class for each image.

Shapes: B images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from vision.data.listing import EXTENSIONS
from vision.data.transforms import preprocessing_from
from vision.parts import VIEWS
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.lookup import import_object
from zoo.outputs import AuxiliaryLogits
from zoo.records import Entry, ImagePreprocessing
from zoo.training import Batch, Inputs, Item, Losses, Prediction, evaluation_mode
from zoo.training.classification import Classification, class_losses, class_number, logits_of, ranked

if TYPE_CHECKING:
    from zoo.explanation import Explanation


IMAGE_DIMS = 3  # C, H, W


class ImageClassification(Classification):
    """Trains and judges classifiers of images by cross-entropy.

    classes:         names in the order of the outputs.
    preprocessing:   how image files become inputs; None if the data are arrays that the model takes as they are.
    input_shape:     of one input, [C, H, W].
    label_smoothing: share of the target that is spread over all classes, 0..1.
    class_weights:   one for each class, or None for equal ones.
    losses:          "module:callable" `(model, batch) -> dict` in place of cross-entropy, for models whose paper
                     trains otherwise.
    All others:      see `zoo.training.classification.Classification`.
    """

    name = "vision/classification"
    suffixes = EXTENSIONS
    views = VIEWS

    def __init__(
        self,
        *,
        classes: Sequence[str],
        preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
        input_shape: Sequence[int] = (),
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        mixing: str | None = None,
        mixing_alpha: float = 1.0,
        losses: str | None = None,
        extra_metrics: Sequence[str] = (),
    ) -> None:
        super().__init__(
            classes=classes, label_smoothing=label_smoothing, class_weights=class_weights, mixing=mixing,
            mixing_alpha=mixing_alpha, extra_metrics=extra_metrics,
        )  # fmt: skip
        if losses is not None and (class_weights is not None or label_smoothing or mixing is not None):
            raise ValueError(
                f"class_weights, label_smoothing and mixing are for cross-entropy; {losses} does not take them."
            )
        self.preprocessing = None if preprocessing is None else preprocessing_from(preprocessing)
        self.input_shape = tuple(input_shape)
        self.losses_reference = losses
        self._own_losses = None if losses is None else import_object(losses)

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
            **super().schema(),
            "preprocessing": None if self.preprocessing is None else asdict(self.preprocessing),
            "input_shape": list(self.input_shape),
            "losses": self.losses_reference,
        }

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        arguments: dict[str, Any] = {"num_classes": len(self.classes)}
        if self.input_shape and entry.input_shape and self.input_shape[0] != entry.input_shape[0]:
            arguments["in_channels"] = self.input_shape[0]
        return arguments

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        return logits_of(model(inputs))

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        if self._own_losses is not None:
            return self._own_losses(model, batch)
        inputs, targets = batch
        mixed = self.mixed(model, inputs)
        output = model(inputs if mixed is None else mixed.inputs)
        logits = logits_of(output)
        loss = self.loss(logits, targets, mixed)
        if isinstance(output, AuxiliaryLogits):
            for side in output.auxiliary:
                loss = loss + output.weight * self.loss(side, targets, mixed)
        return class_losses(loss, logits, targets, mixed)

    def mean_weight(self, batch: Batch) -> float | Tensor:
        return self.rows(batch) if self._own_losses is not None else super().mean_weight(batch)

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 5) -> list[Prediction]:
        """For each image of `inputs` the most probable class as "label" and "probability", and the `top` ones.

        inputs: float tensor or array [B, C, H, W], or one image [C, H, W], as the model takes them.
        """
        inputs = self._batch(inputs)
        device = next(model.parameters()).device
        with evaluation_mode(model):
            probs = self.logits(model, inputs.to(device)).float().softmax(1).cpu()  # [B, C]
        return ranked(probs, self.classes, top=top)

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

        inputs = self._batch(inputs).to(next(model.parameters()).device)
        return explain(
            model, inputs, method=method, target=class_number(target, self.classes), layer=layer,
            preprocessing=self.preprocessing, labels=self.classes, options=options,
        )  # fmt: skip

    def _batch(self, inputs: Any) -> Tensor:
        return _as_batch(inputs, len(self.input_shape) or IMAGE_DIMS)


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
