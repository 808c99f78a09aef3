"""Semantic segmentation: one class for each pixel of an image.

Source of the weighted loss: Ronneberger et al. 2015, arXiv:1505.04597, equation 1 (here a mean, there a sum).
Shapes: B images, C channels, H x W pixels, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.data.listing import EXTENSIONS
from vision.data.mask_transforms import mask_preprocessing_from
from vision.data.masks import SegmentationInput
from vision.data.masks_files import IGNORE
from vision.parts import MASK_VIEWS
from vision.segmentation.evaluation import Evaluated, KeptOverlays, OfLogits
from vision.segmentation.outputs import aligned, auxiliary_logits, margin_of, middle, segmentation_logits
from vision.segmentation.tiles import predict_probs
from zoo.data import Bundle
from zoo.errors import DataError, check_name
from zoo.losses import cross_entropy, dice_loss, focal, lovasz_softmax, tversky_loss
from zoo.metrics import Metric, make_metric
from zoo.records import Entry, ImagePreprocessing
from zoo.training import Batch, Inputs, Item, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

Loss = Literal[
    "cross_entropy", "focal", "dice", "tversky", "lovasz", "cross_entropy_dice", "cross_entropy_lovasz"
]  # fmt: skip
OF_PIXELS = ("cross_entropy", "focal")  # losses that are a mean over pixels alone
IMAGES_AT_ONCE = 4  # judged together: whole images are larger than the crops of training


class Segmentation(Task):
    """Trains and judges networks that give each pixel a class.

    classes:       names in the order of the outputs.
    preprocessing: how image files become inputs; None if the data are arrays that the model takes as they are.
    input_shape:   of one training crop, [C, H, W].
    loss:          "cross_entropy" and "focal" count pixels, "dice", "tversky" and "lovasz" overlaps of classes,
                   "cross_entropy_dice" and "cross_entropy_lovasz" both.
    class_weights: of pixels, one for each class, or None for equal ones; overlaps have none.
    auxiliary_weight: what the loss of a side head counts, beside 1 for the main one.
    tile:          side of the squares, pixels, in which images are judged and predicted; None takes them whole.
    overlap:       pixels that neighbouring tiles share; None is a quarter of a tile.
    Pixels of the class number 255 count nothing.
    """

    name = "vision/segmentation"
    monitor = "mean_iou"
    mode: Literal["min", "max"] = "max"
    suffixes = EXTENSIONS
    views = MASK_VIEWS
    model_attributes = ("margin", "admissible")  # what judging asks a model for, beside its outputs
    recipe: ClassVar[Mapping[str, Any]] = {"batch_size": 8}

    def __init__(
        self,
        *,
        classes: Sequence[str],
        preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
        input_shape: Sequence[int] = (),
        loss: Loss = "cross_entropy_dice",
        class_weights: Sequence[float] | None = None,
        auxiliary_weight: float = 0.5,
        tile: int | None = None,
        overlap: int | None = None,
    ) -> None:
        if len(classes) < 2:
            raise DataError(f"Segmentation needs two classes or more, got {list(classes)}.")
        check_name("loss of segmentation", loss, get_args(Loss))
        if class_weights is not None and len(class_weights) != len(classes):
            raise ValueError(f"{len(classes)} classes need as many class_weights, got {list(class_weights)}.")
        if class_weights is not None and "cross_entropy" not in loss and loss != "focal":
            raise ValueError(f"class_weights are for losses of pixels, cross-entropy and focal; {loss!r} has none.")
        if (tile is not None and tile < 1) or (overlap is not None and overlap < 0) or auxiliary_weight < 0:
            raise ValueError(f"tile, overlap and auxiliary_weight cannot be {tile}, {overlap} and {auxiliary_weight}.")
        self.classes = tuple(classes)
        self.preprocessing = None if preprocessing is None else mask_preprocessing_from(preprocessing)
        self.input_shape = tuple(input_shape)
        self.loss = loss
        self.class_weights = None if class_weights is None else tuple(class_weights)
        self.auxiliary_weight = auxiliary_weight
        self.tile = tile
        self.overlap = overlap
        self._weights = torch.tensor([*(self.class_weights or (1.0,) * len(self.classes)), 0.0])  # the last: ignored

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "Segmentation":
        """The task for the classes, shape and preprocessing of a bundle.

        Raises: DataError if its rows are no images with masks.
        """
        if bundle.classes is None:
            raise DataError("Segmentation needs the names of the classes: pass classes= where the bundle is made.")
        image, mask = bundle.train[0][:2]
        shapes = [list(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in (image, mask)]
        fits = isinstance(image, Tensor) and isinstance(mask, Tensor) and image.ndim == 3 and mask.ndim == 2
        if not fits or not image.is_floating_point() or mask.is_floating_point() or image.shape[1:] != mask.shape:
            raise DataError(f"Expected rows of a float image [C, H, W] and an integer mask [H, W], got {shapes}.")
        return cls(
            classes=bundle.classes, preprocessing=bundle.preprocessing, input_shape=bundle.input_shape, **options
        )

    def schema(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "preprocessing": None if self.preprocessing is None else asdict(self.preprocessing),
            "input_shape": list(self.input_shape),
            "loss": self.loss,
            "class_weights": None if self.class_weights is None else list(self.class_weights),
            "auxiliary_weight": self.auxiliary_weight,
            "tile": self.tile,
            "overlap": self.overlap,
        }

    def reading(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "fold": None}

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        arguments: dict[str, Any] = {"num_classes": len(self.classes)}
        if self.input_shape and entry.input_shape and self.input_shape[0] != entry.input_shape[0]:
            arguments["in_channels"] = self.input_shape[0]
        return arguments

    # -- Training

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        images, masks, weights = _parts(batch)
        output = model(images)
        margin = margin_of(model)
        masks = middle(masks, margin=margin)
        weights = None if weights is None else middle(weights, margin=margin)
        size = (masks.shape[-2], masks.shape[-1])
        logits = aligned(segmentation_logits(output), size, margin=margin)
        parts = self._losses(logits, masks, weights)
        side = auxiliary_logits(output)
        if side is not None:
            parts["auxiliary"] = self._losses(aligned(side, size, margin=margin), masks, weights)["loss"]
            parts["loss"] = parts["loss"] + self.auxiliary_weight * parts["auxiliary"]
        right = (logits.argmax(1) == masks).sum() / (masks != IGNORE).sum().clamp_min(1)
        return {**parts, "pixel_accuracy": right.float()}

    def _losses(self, logits: Tensor, masks: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        if "cross_entropy" in self.loss:
            parts["cross_entropy"] = self._of_pixels(cross_entropy, logits, masks, weights)
        if self.loss == "focal":
            parts["focal_loss"] = self._of_pixels(focal, logits, masks, weights)
        if "dice" in self.loss:
            parts["dice_loss"] = dice_loss(logits, masks)
        if self.loss == "tversky":
            parts["tversky_loss"] = tversky_loss(logits, masks)
        if "lovasz" in self.loss:
            parts["lovasz_loss"] = lovasz_softmax(logits, masks)
        total = torch.stack(list(parts.values())).sum()
        return {"loss": total, **parts}

    def _of_pixels(self, loss: Callable[..., Tensor], logits: Tensor, masks: Tensor, weights: Tensor | None) -> Tensor:
        """Mean over the pixels that count; 0 if none does, such as in a crop of unlabelled ground."""
        nats = loss(logits, masks, class_weights=self.class_weights, ignore_index=IGNORE, reduction="none")  # [B, H, W]
        counted = (masks != IGNORE).to(nats.dtype)
        if weights is not None:
            return (nats * weights).sum() / counted.sum().clamp_min(1)
        if self.class_weights is None:
            return nats.sum() / counted.sum().clamp_min(1)
        return nats.sum() / self._weight_of(masks).clamp_min(torch.finfo(nats.dtype).tiny)

    def mean_weight(self, batch: Batch) -> float | Tensor:
        _, masks, weights = _parts(batch)
        if self.loss not in OF_PIXELS:
            return len(masks)
        return (masks != IGNORE).sum() if weights is not None or self.class_weights is None else self._weight_of(masks)

    def _weight_of(self, masks: Tensor) -> Tensor:
        """The sum of the class weights of all pixels that count."""
        self._weights = self._weights.to(masks.device)  # once; each copy would make the device wait
        return self._weights[torch.where(masks == IGNORE, len(self.classes), masks)].sum()

    # -- Judging

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The model's logits for images [B, C, H, W] that it takes whole: [B, K, H, W], less its margin."""
        found = segmentation_logits(model(inputs))
        return aligned(found, (inputs.shape[-2], inputs.shape[-1]), margin=margin_of(model))

    def metrics(self) -> dict[str, Any]:
        num_classes = len(self.classes)
        found: dict[str, Metric] = {
            "mean_iou": make_metric("iou", num_classes=num_classes),
            "dice": make_metric("dice", num_classes=num_classes),
            "pixel_accuracy": make_metric("pixel_accuracy"),
            "cross_entropy": make_metric("pixel_log_loss"),
            "iou_by_class": make_metric("iou", num_classes=num_classes, average="none"),
            "dice_by_class": make_metric("dice", num_classes=num_classes, average="none"),
        }
        return {**{name: OfLogits(metric) for name, metric in found.items()}, "overlays": KeptOverlays()}

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Evaluated, Tensor]:
        images, masks, _ = _parts(batch)
        probs = [self._probs(model, images[first : first + IMAGES_AT_ONCE])
                 for first in range(0, len(images), IMAGES_AT_ONCE)]  # fmt: skip
        # The logarithms of probabilities are logits: the softmax gives the probabilities again.
        logits = torch.cat(probs).clamp_min(torch.finfo(torch.float32).tiny).log()
        return Evaluated(logits, images, self.preprocessing), masks

    def _probs(self, model: nn.Module, images: Tensor) -> Tensor:
        return predict_probs(model, images, tile=self.tile, overlap=self.overlap)

    def figures(self, metrics: Mapping[str, Any]) -> dict[str, "Figure"]:
        from vision.segmentation.pictures import class_figure, overlay_figure

        by_class = {
            "intersection over union": metrics["iou_by_class"].compute(), "Dice": metrics["dice_by_class"].compute()
        }  # fmt: skip
        figures = {"classes": class_figure(by_class, self.classes)}
        kept = metrics["overlays"].items
        if kept:
            rows = [(item.image, item.prediction, item.target) for item in kept]
            figures["overlays"] = overlay_figure(rows, self.classes, titles=("image", "predicted", "true"))
        return figures

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        from vision.segmentation.baselines import majority, pixel_forest

        return {"majority class": majority, "forest on filtered pixels": pixel_forest}

    # -- Predicting

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        from vision.data.masks import read_inputs

        if self.preprocessing is None:
            raise DataError("This run was trained on arrays, not on image files: give a batch of inputs [B, C, H, W].")
        return Inputs(rows=read_inputs(items, self.preprocessing), names=[str(item) for item in items])

    def predict(self, model: nn.Module, inputs: Any) -> list[Prediction]:
        """For each image its "size" [height, width] in pixels, and "classes": the share of the pixels of each, 0..1.

        inputs: what `read_inputs` gave, or a float tensor or array [B, C, H, W] or [C, H, W]. `masks` has the pixels.
        """
        predictions = []
        for mask in self.masks(model, inputs):
            counts = np.bincount(mask.ravel(), minlength=len(self.classes))
            shares = {name: float(count / mask.size) for name, count in zip(self.classes, counts, strict=True)}
            predictions.append({"size": list(mask.shape), "classes": shares})
        return predictions

    @torch.no_grad()
    def masks(self, model: nn.Module, inputs: Any) -> list[np.ndarray]:
        """The class number of each pixel of each image, [H, W] in the size of its file; uint8 for up to 256 classes.

        inputs: as `predict` takes them.
        """
        device = next(model.parameters()).device
        found = []
        with evaluation_mode(model):
            for row in _rows(inputs):
                probs = self._probs(model, row.pixels[None].to(device))
                if tuple(probs.shape[-2:]) != tuple(row.size):
                    probs = F.interpolate(probs, size=tuple(row.size), mode="bilinear", align_corners=False)
                labels = probs[0].argmax(0).cpu().numpy()
                found.append(labels.astype(np.uint8) if len(self.classes) <= 256 else labels)
        return found

    def describe(self, prediction: Prediction) -> str:
        height, width = prediction["size"]
        shares = sorted(prediction["classes"].items(), key=lambda item: -item[1])
        shown = "  ".join(f"{name} {100 * share:.1f} %" for name, share in shares[:5] if share > 0)
        return f"{height} x {width} pixels: {shown}"

    def picture(self, model: nn.Module, inputs: Any, predictions: Sequence[Prediction]) -> "Figure | None":
        from vision.segmentation.pictures import overlay_figure, shown_image

        rows = list(_rows(inputs))
        images = [shown_image(row.pixels, self.preprocessing) for row in rows]
        masks = self.masks(
            model, [SegmentationInput(row.pixels, (row.pixels.shape[-2], row.pixels.shape[-1])) for row in rows]
        )
        return overlay_figure(list(zip(images, masks, strict=True)), self.classes, titles=("image", "predicted"))

    # -- Explaining

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
        """Why the pixels of a region get a class: `vision.segmentation.explanation.explain_pixels`.

        target:  name or number of the class; None is the largest predicted one but the first.
        options: of the method, and "region": (left, top, right, bottom) in pixels; without it the pixels that are
                 predicted as the class.
        """
        from vision.segmentation.explanation import explain_pixels

        rows = list(_rows(inputs))
        return explain_pixels(
            model, [row.pixels for row in rows], method=method, target=target, layer=layer, options=options,
            classes=self.classes, preprocessing=self.preprocessing,
        )  # fmt: skip


def _parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    """Images, masks, and weights of the pixels if the data give them."""
    images, masks, *rest = batch
    return images, masks, (rest[0] if rest else None)


def _rows(inputs: Any) -> list[SegmentationInput]:
    """Images that were read, or those of a batch.

    Raises: DataError for anything else.
    """
    if isinstance(inputs, SegmentationInput):
        return [inputs]
    if isinstance(inputs, Sequence) and inputs and all(isinstance(row, SegmentationInput) for row in inputs):
        return list(inputs)
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim not in (3, 4):
        came = f"{inputs.dtype} {list(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise DataError(f"Expected image files, or float images [B, C, H, W] as the model takes them, got {came}.")
    batch = inputs[None] if inputs.ndim == 3 else inputs
    return [SegmentationInput(row.float(), (row.shape[-2], row.shape[-1])) for row in batch]
