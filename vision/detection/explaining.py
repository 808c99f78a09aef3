"""Why a detector gives a box its score: the methods of `zoo.explain` on one box of each image.

Source: Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2, with the score of one box for that of an image.
Differs from the paper: cells that the score does not depend on have no heat. A second stage pools the cells of the box
    alone, and the weights of the channels, laid over all cells, would make those of the rest of the image glow too.
Shapes: B images of h x w pixels, N boxes (x1, y1, x2, y2), H x W pixels of the batch that the backbone sees.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.records import ImagePreprocessing

if TYPE_CHECKING:
    from vision.detection.task import Detection
    from zoo.explanation import Explanation

Found = dict[str, Tensor]
PLAIN = ImagePreprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # images lie on 0..1 already
LEAST_SLOPE = 1e-6  # share of the steepest cell's: below it is what fast convolutions leave where there should be 0
INSIDE = "model."  # how names within `OneImage` begin


class OneImage(nn.Module):
    """An image [1, 3, h, w] to its detections, with labels that count from 0."""

    def __init__(self, model: nn.Module, task: "Detection") -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, image: Tensor) -> Found:
        return self.task.detect(self.model, [image[0]])[0]


def explain_boxes(
    task: "Detection",
    model: nn.Module,
    images: Sequence[Tensor],
    *,
    method: str,
    target: Any,
    layer: Any,
    options: Mapping[str, Any] | None,
) -> "Explanation":
    """Heat for one box of each image; `target` and `layer` as `Detection.explain` takes them.

    Images of unlike sizes are padded with white to the largest.
    Raises: DataError if there is no such box.
    """
    device = next(model.parameters()).device
    targets = list(target) if isinstance(target, list | tuple) else [target] * len(images)
    if len(targets) != len(images):
        raise ValueError(f"target must be one box or one for each of {len(images)} images, got {len(targets)}.")
    single = OneImage(getattr(model, "_orig_mod", model), task)
    found = [
        _explain_one(single, image.to(device), method=method, target=wanted, layer=layer, options=options)
        for image, wanted in zip(images, targets, strict=True)
    ]
    return _joined(found)


def _explain_one(
    single: OneImage, image: Tensor, *, method: str, target: Any, layer: Any, options: Mapping[str, Any] | None
) -> "Explanation":
    from zoo.explanation import METHODS, explain
    from zoo.explanation.methods import LayerMethod
    from zoo.explanation.views import ImageView

    batch = image[None]
    box, label, score = _chosen_box(single, batch, target)
    objective = _score_of(box, label)
    kind = METHODS.get(method)
    of_layer = kind if kind is not None and issubclass(kind, LayerMethod) else None
    if of_layer is not None and layer is None:
        layer = _most_telling_layer(single, batch, objective)
    elif isinstance(layer, str):
        layer = INSIDE + layer
    title = f"{single.task.classes[label]}, {100 * score:.1f} %"
    explanation = explain(
        single, batch, method=method, layer=layer, target_function=objective, options=options, labels=[title],
        view=ImageView(preprocessing=PLAIN, boxes=[[box.tolist()]]),
    )  # fmt: skip
    if of_layer is None:
        return explanation
    raw = explanation.raw
    if of_layer.needs_gradients:
        assert explanation.layer is not None, "a method over a layer names it"
        raw = raw * _counting_cells(single, batch, objective, explanation.layer)
    heat = _aligned(raw, _seen_by_backbone(single, batch), (image.shape[1], image.shape[2]))
    name = None if explanation.layer is None else explanation.layer.removeprefix(INSIDE)
    return _with(explanation, heat=heat, raw=raw, layer=name)


@torch.no_grad()
def _chosen_box(single: OneImage, batch: Tensor, target: Any) -> tuple[Tensor, int, float]:
    """The box [4] to explain, its label and its score."""
    from zoo.training import evaluation_mode

    with evaluation_mode(single):
        found = single(batch)
    rows = torch.arange(len(found["scores"]))
    classes = single.task.classes
    if isinstance(target, str):
        rows = torch.where(found["labels"].cpu() == classes.index(target))[0]
    elif target is not None:
        if not 0 <= int(target) < len(rows):
            raise DataError(f"There is no box number {target}; {len(rows)} were found, the first is number 0.")
        rows = rows[int(target)][None]
    if len(rows) == 0:
        what = "nothing" if target is None else f"no {target}"
        raise DataError(f"The model finds {what} in this image, so there is no box to explain.")
    row = int(rows[found["scores"].cpu()[rows].argmax()])
    return found["boxes"][row], int(found["labels"][row]), float(found["scores"][row])


def _score_of(box: Tensor, label: int) -> Callable[[Any], Tensor]:
    """Detections to the score [1] of the box of class `label` that lies nearest to `box`; 0 if the class is gone."""

    def score(found: Found) -> Tensor:
        from torchvision.ops import box_iou

        scores = found["scores"]
        rows = torch.where(found["labels"] == label)[0]
        if len(rows) == 0:
            return scores.sum()[None] * 0
        nearest = box_iou(box[None], found["boxes"][rows].detach())[0].argmax()
        return scores[rows[nearest]][None]

    return score


def _most_telling_layer(single: OneImage, batch: Tensor, objective: Callable[[Any], Tensor]) -> str:
    """Of the backbone's last map of each size, the one whose values and gradients weigh most in the score.

    Where there is a pyramid, its maps alone count: they are what the heads see.
    """
    from zoo.explanation.hooks import borrowed, run_and_capture
    from zoo.explanation.layers import trace
    from zoo.explanation.targets import gradients

    with borrowed(single, batch):
        calls = trace(single, batch)
        maps = {
            call.shape[2:]: call.name
            for call in calls
            if call.name.startswith(f"{INSIDE}backbone.") and call.shape is not None and len(call.shape) == 4
        }
        names = [name for (height, width), name in maps.items() if height * width > 1]
        names = [name for name in names if name.startswith(f"{INSIDE}backbone.fpn.")] or names
        if not names:
            raise ValueError("The model has no part called backbone that gives maps; name one of its layers by layer=.")
        found, captured = run_and_capture(single, batch.clone(), names)
        slopes = gradients(objective(found), list(captured.values()))
        weights = {
            name: 0.0 if slope is None else float((slope * value.detach()).abs().sum())
            for slope, (name, value) in zip(slopes, captured.items(), strict=True)
        }
    return max(weights, key=weights.__getitem__)


def _counting_cells(single: OneImage, batch: Tensor, objective: Callable[[Any], Tensor], layer: str) -> Tensor:
    """1 for the cells of a layer's map on which the score depends, else 0: [1, h, w]."""
    from zoo.explanation.hooks import borrowed, run_and_capture
    from zoo.explanation.targets import gradients

    with borrowed(single, batch):
        found, captured = run_and_capture(single, batch.clone(), [layer])
        (slope,) = gradients(objective(found), [captured[layer]])
    if slope is None:
        return torch.zeros_like(captured[layer][:, 0])
    size = slope.abs().amax(dim=1)
    return (size > LEAST_SLOPE * size.amax()).to(size.dtype)


def _seen_by_backbone(single: OneImage, batch: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of the image as the backbone sees it, and with the zeros that pad it."""
    from zoo.explanation.hooks import borrowed

    seen: list[Tensor] = []
    backbone = single.get_submodule(f"{INSIDE}backbone")
    handle = backbone.register_forward_pre_hook(lambda _module, args: seen.append(args[0].detach()))
    try:
        with borrowed(single, batch), torch.no_grad():
            single(batch)
    finally:
        handle.remove()
    filled = (seen[0] != 0).any(dim=0).any(dim=0)  # [H, W]
    rows, columns = torch.where(filled.any(dim=1))[0], torch.where(filled.any(dim=0))[0]
    whole = (filled.shape[0], filled.shape[1])
    return ((int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else whole), whole


def _aligned(raw: Tensor, seen: tuple[tuple[int, int], tuple[int, int]], size: tuple[int, int]) -> Tensor:
    """Heat over the cells of a map [1, h', w'] as heat over an image of `size`: [1, h, w], without the padding."""
    (height, width), whole = seen
    heat = F.interpolate(raw[:, None].float(), size=whole, mode="bilinear")[..., :height, :width]
    return F.interpolate(heat, size=size, mode="bilinear")[:, 0]


def _joined(found: Sequence["Explanation"]) -> "Explanation":
    """Explanations of one image each as one of all of them."""
    from zoo.explanation.views import ImageView

    if len(found) == 1:
        return found[0]
    height, width = (max(one.inputs.shape[axis] for one in found) for axis in (2, 3))
    layers = {one.layer for one in found}
    boxes = [one.view.boxes[0] for one in found if isinstance(one.view, ImageView)]
    return _with(
        found[0],
        inputs=torch.cat([_padded(one.inputs, height, width, 1.0) for one in found]),
        heat=torch.cat([_padded(one.heat, height, width, 0.0) for one in found]),
        raw=torch.nn.utils.rnn.pad_sequence([one.raw[0].flatten() for one in found], batch_first=True),
        layer=found[0].layer if len(layers) == 1 else "of each box's size" if found[0].layer else None,
        labels=[label for one in found for label in one.labels or ()],
        view=ImageView(preprocessing=PLAIN, boxes=boxes),
    )


def _padded(value: Tensor, height: int, width: int, fill: float) -> Tensor:
    return F.pad(value, (0, width - value.shape[-1], 0, height - value.shape[-2]), value=fill)


def _with(explanation: "Explanation", **changes: Any) -> "Explanation":
    from dataclasses import replace

    return replace(explanation, **changes)
