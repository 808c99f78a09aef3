"""`explain`: from a model and inputs to heat over the inputs, for every method.

Shapes: B rows, C channels, H x W pixels, h x w cells of a layer's map.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from types import MappingProxyType

import torch
from torch import Tensor, nn

from zoo.explanation.cams import CAM, GradCAM, GradCAMPlusPlus, MeanFeatures
from zoo.explanation.gradients import InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from zoo.explanation.hooks import borrowed, run_and_capture
from zoo.explanation.layers import Call, find_head, find_layout, layer_name, stated_layer, target_layers, trace
from zoo.explanation.methods import InputMethod, LayerMethod, LayerView, Method, make_method
from zoo.explanation.result import Explanation
from zoo.explanation.targets import Objective, Target, TargetFunction, gradients
from zoo.explanation.views import ImageView, View
from zoo.records import ImagePreprocessing

_ALL: tuple[type[Method], ...] = (
    *(MeanFeatures, CAM, GradCAM, GradCAMPlusPlus),
    *(Saliency, InputXGradient, SmoothGrad, IntegratedGradients),
)
METHODS: Mapping[str, type[Method]] = MappingProxyType({method.name: method for method in _ALL})


def explain(
    model: nn.Module,
    inputs: Tensor,
    *,
    method: str | Method = "grad_cam",
    target: Target = None,
    layer: str | nn.Module | None = None,
    preprocessing: ImagePreprocessing | None = None,
    view: View | None = None,
    labels: Sequence[str] | None = None,
    target_function: TargetFunction | None = None,
    options: Mapping[str, object] | None = None,
) -> Explanation:
    """A classifier and images [B, C, H, W] (or one, [C, H, W]) to heat [B, H, W]; the model is left as it was.

    The model runs in evaluation mode. No parameter gets a gradient, so models in use and frozen models are both fine.

    inputs:          normalised as the model expects them, on the model's device.
    method:          a name in `METHODS`, or a method with its options such as `SmoothGrad(num_samples=50)`.
    target:          class explained: None for the predicted one, one for all rows, or one for each row [B].
    layer:           the module whose output a CAM weighs, or its dotted name; None finds it.
    preprocessing:   what normalised the inputs; needed for true colours in pictures only.
    view:            what the inputs are, where they are not images: how the heat is drawn.
    labels:          class names in the order of the logits, for pictures.
    target_function: the model's output to one score per row [B], for what is not a class logit (a box, a pixel).
    options:         of the method, where that is given by name.
    Raises: UnknownNameError, UnknownArgumentError, ValueError or TypeError, each with what would do.
    """
    chosen = make_method(method, options, METHODS)
    batch = _check_inputs(model, inputs, images=view is None or isinstance(view, ImageView))
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper: hooks inside compiled code may not run
    with borrowed(model, batch):
        batch = batch.detach().clone()  # a copy, since models may work in place and the caller may be in inference mode
        objective = Objective(target=target, function=target_function, num_rows=len(batch))
        if isinstance(chosen, LayerMethod):
            raw, layer = _look_at_layer(chosen, model, batch, objective, layer)
            heat = nn.functional.interpolate(raw[:, None].float(), size=batch.shape[2:], mode="bilinear")[:, 0]
        elif isinstance(chosen, InputMethod):
            if layer is not None:
                raise ValueError(f"Method {chosen.name!r} looks at the input; leave layer out or use a CAM.")
            raw = _look_at_input(chosen, model, batch, objective)
            heat = chosen.over_channels(raw).float()
        else:
            raise TypeError(f"{type(chosen).__name__} is neither a LayerMethod nor an InputMethod.")
    if not heat.isfinite().all():
        raise ValueError("The heat holds NaN or infinity: check the inputs and the model's weights for such values.")
    if labels is not None and objective.logits is not None and len(labels) != objective.logits.shape[1]:
        raise ValueError(f"labels has {len(labels)} names for {objective.logits.shape[1]} logits.")
    return Explanation(
        inputs=batch,
        heat=heat,
        raw=raw,
        method=chosen.name,
        signed=chosen.signed,
        layer=layer if isinstance(layer, str) else None,
        target=objective.target,
        logits=objective.logits,
        labels=labels,
        view=view or ImageView(preprocessing=preprocessing),
    )


def _check_inputs(model: nn.Module, inputs: Tensor, *, images: bool) -> Tensor:
    """The inputs as a batch; one image [C, H, W] becomes [1, C, H, W]."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        came = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be a floating-point tensor, normalised for the model, got {came}.")
    if inputs.ndim == 3 and images:
        inputs = inputs[None]
    if inputs.ndim < 2 or inputs.numel() == 0:
        raise ValueError(f"inputs must be a batch [B, C, H, W] or one image [C, H, W], got {list(inputs.shape)}.")
    return inputs


def _look_at_input(method: InputMethod, model: nn.Module, batch: Tensor, objective: Objective) -> Tensor:
    """The method's attributions, with the shape of the batch."""
    with torch.no_grad():
        objective.read(model(batch.clone()))

    def gradient(points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        (found,) = gradients(objective.score(model(points.clone())), [points])  # cloned for in-place first layers
        return torch.zeros_like(points) if found is None else found

    return method.attribute(batch, gradient)


def _look_at_layer(
    method: LayerMethod, model: nn.Module, batch: Tensor, objective: Objective, layer: str | nn.Module | None
) -> tuple[Tensor, str]:
    """The method's map [B, h, w] and the name of the layer it was made from."""
    if batch.ndim != 4:
        raise ValueError(f"Method {method.name!r} needs images [B, C, H, W], got {list(batch.shape)}.")
    names = [layer_name(model, layer)] if layer is not None else []
    stated = stated_layer(model) if layer is None and not method.needs_head else None
    if stated is not None:
        with suppress(_UnusableLayerError):  # such as a map of 1x1 for a small image: the trace finds a larger one
            view = _view_layer(method, model, batch, objective, [stated], ())
            return method.heat_map(view), view.layer
    calls = trace(model, batch[:1].clone())
    names = names or target_layers(model, calls, (batch.shape[2], batch.shape[3]))
    view = _view_layer(method, model, batch, objective, names, calls)
    return method.heat_map(view), view.layer


def _view_layer(
    method: LayerMethod,
    model: nn.Module,
    batch: Tensor,
    objective: Objective,
    names: Sequence[str],
    calls: Sequence[Call],
) -> LayerView:
    """What the method may see of the first of `names` whose cells the score depends on."""
    with nullcontext() if method.needs_gradients else torch.no_grad():
        output, captured = run_and_capture(model, batch.clone(), names)
        objective.read(output)
        found: dict[str, Tensor | None] = {}
        if method.needs_gradients:
            found = dict(zip(captured, gradients(objective.score(output), list(captured.values())), strict=True))
    head = find_head(calls)
    for name in names:
        activations, gradient = captured[name].detach(), found.get(name)
        layout = find_layout(model, activations.shape, (batch.shape[2], batch.shape[3]), calls)
        if layout is None or layout.height * layout.width == 1:
            raise _UnusableLayerError(
                f"Layer {name!r} gives {list(activations.shape)}, which is no map or token grid larger than 1x1 over "
                f"{batch.shape[2]}x{batch.shape[3]} pixels; choose an earlier layer or leave layer out."
            )
        gradient_maps = None if gradient is None else layout.to_maps(gradient)
        reached = gradient_maps is not None and gradient is not None and (gradient_maps.any() or not gradient.any())
        if reached or not method.needs_gradients:
            return LayerView(
                layer=name,
                activations=layout.to_maps(activations),
                gradients=gradient_maps,
                head=calls[head].module if head is not None else None,
                logits=objective.logits,
                target=objective.target,
            )
    raise _UnusableLayerError(
        f"The score does not depend on the cells of {', '.join(map(repr, names))}. In a network that reads its class "
        "token, look at the norm before the last attention ('blocks.11.norm1' in timm's ViT-B), or leave layer out to "
        "have it found."
    )


class _UnusableLayerError(ValueError):
    """A layer that ran but has no heat to give."""
