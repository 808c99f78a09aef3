"""Which layer a CAM looks at, and how that layer's output lies over the image.

A traced forward pass lists the modules in the order in which they finish. The head is the last one with parameters;
the target layer is the last feature map, or the last usable token sequence, before it.
Shapes: B rows, D channels, h x w cells of a map, N tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.errors import check_name
from zoo.explanation.hooks import hooked
from zoo.features import FeatureInfo

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens; published ViTs have up to 5, research ones 8 more
MAX_TOKEN_CANDIDATES = 16  # two to three blocks: class-attention blocks (CaiT) end with two that hold no patch tokens
_PASS_THROUGH = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout),
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),  # VGG's stretches any map to 7x7
)


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call of a module in a forward pass; shape is None unless the output is one tensor."""

    name: str
    module: nn.Module
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a layer's output lies over the image: h x w cells, in one of three orders."""

    kind: Literal["channels_first", "channels_last", "tokens"]
    height: int
    width: int
    num_prefix: int = 0

    def to_maps(self, tensor: Tensor) -> Tensor:
        """Layer output [B, D, h, w], [B, h, w, D] or [B, N, D] to maps [B, D, h, w], without prefix tokens."""
        if self.kind == "channels_first":
            return tensor
        if self.kind == "channels_last":
            return tensor.permute(0, 3, 1, 2)
        patches = tensor[:, self.num_prefix :].transpose(1, 2)  # [B, D, h * w]
        return patches.unflatten(2, (self.height, self.width))


def trace(model: nn.Module, row: Tensor) -> tuple[Call, ...]:
    """All module calls of one forward pass on `row` [1, ...], in the order in which they finish, without the root's."""
    calls: list[Call] = []

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls.append(Call(name, module, tuple(output.shape) if isinstance(output, Tensor) else None))

    modules = {name: module for name, module in model.named_modules() if name}
    with hooked(modules, note), torch.no_grad():
        model(row)
    return tuple(calls)


def find_head(calls: Sequence[Call]) -> int | None:
    """Index of the last call of a module that has parameters of its own."""
    owners = (i for i, call in enumerate(calls) if any(True for _ in call.module.parameters(recurse=False)))
    return max(owners, default=None)


def target_layers(model: nn.Module, calls: Sequence[Call], size: tuple[int, int]) -> list[str]:
    """Names of the layers to look at, best first: one for maps, several for tokens.

    In a ViT that reads its class token, the patch tokens after the last attention reach no logit. Which of the last
    layers still has patch tokens that count is seen in the gradient, so the caller takes the first that has any.
    size: height and width of the input, pixels.
    Raises: ValueError if the trace holds neither a map nor a token grid.
    """
    head = find_head(calls)
    found = list(_candidates(model, calls[:head], size, calls)) or list(_candidates(model, calls, size, calls))
    if not found:
        raise ValueError(
            f"No layer of {type(model).__name__} gives a map larger than 1x1 or a grid of tokens for inputs of "
            f"{size[0]}x{size[1]} pixels. Name one with layer=, give larger inputs, or use a gradient method "
            "('saliency', 'integrated_gradients'), which needs no layer."
        )
    first, layout = found[0]
    if layout.kind != "tokens":
        return [first]
    names = [name for name, other in found if other.kind == "tokens"]
    return list(dict.fromkeys(names))[:MAX_TOKEN_CANDIDATES]


def _candidates(
    model: nn.Module, calls: Sequence[Call], size: tuple[int, int], all_calls: Sequence[Call]
) -> Iterator[tuple[str, Layout]]:
    """Calls that may be looked at, last first, with their layout."""
    for call in reversed(calls):
        if call.shape is None or isinstance(call.module, _PASS_THROUGH):
            continue
        if len(call.shape) == 3 and not _ends_a_block(call.module):
            continue  # queries, keys and hidden layers are token sequences too, but not the block's features
        layout = find_layout(model, call.shape, size, all_calls)
        if layout is not None and layout.height * layout.width > 1:
            yield call.name, layout


def _ends_a_block(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or any(True for _ in module.children())


def find_layout(model: nn.Module, shape: Sequence[int], size: tuple[int, int], calls: Sequence[Call]) -> Layout | None:
    """How an output of this shape lies over an image of `size` (height, width); None if it does not."""
    if len(shape) == 4:
        return _map_layout(shape, size)
    if len(shape) == 3:
        return _token_layout(model, shape[1], size, calls)
    return None


def _map_layout(shape: Sequence[int], size: tuple[int, int]) -> Layout:
    """Channels last (Swin) only if the shape fits the image's aspect so, and does not fit it channels first."""

    def misfit(height: int, width: int) -> float:
        return abs(height * size[1] / size[0] - width)  # cells

    first, last = misfit(shape[2], shape[3]), misfit(shape[1], shape[2])
    rounding = 2.0  # cells that unpadded convolutions and odd sizes cost
    if last < first and first > rounding:
        return Layout("channels_last", shape[1], shape[2])
    return Layout("channels_first", shape[2], shape[3])


def _token_layout(model: nn.Module, num_tokens: int, size: tuple[int, int], calls: Sequence[Call]) -> Layout | None:
    """The grid of a token sequence: that of a map made before (the patch embedding), else one of the image's aspect."""
    stated = [getattr(module, "num_prefix_tokens", None) for module in model.modules()]  # timm's name for it
    prefixes = [count for count in stated if isinstance(count, int)][:1] + list(range(MAX_PREFIX_TOKENS + 1))
    maps = [_map_layout(call.shape, size) for call in calls if call.shape is not None and len(call.shape) == 4]
    for prefix in prefixes:
        for seen in reversed(maps):
            if seen.height * seen.width == num_tokens - prefix > 1:
                return Layout("tokens", seen.height, seen.width, prefix)
    for prefix in prefixes:
        if num_tokens - prefix < 2:
            continue
        patch = math.sqrt(size[0] * size[1] / (num_tokens - prefix))  # pixels
        height, width = round(size[0] / patch), round(size[1] / patch)
        if height * width == num_tokens - prefix:
            return Layout("tokens", height, width, prefix)
    return None


def stated_layer(model: nn.Module) -> str | None:
    """The last feature map that a model states through `feature_info` (zoo.features.FeatureExtractor), if it does."""
    info = getattr(model, "feature_info", None)
    if isinstance(info, tuple) and info and isinstance(info[-1], FeatureInfo):
        check_name("layer", info[-1].name, (name for name, _ in model.named_modules()))
        return info[-1].name
    return None


def layer_name(model: nn.Module, layer: str | nn.Module) -> str:
    """The dotted name of a layer of `model`, given so or as the module itself.

    Raises: UnknownNameError for a name that the model lacks, ValueError for a module of another model.
    """
    if isinstance(layer, str):
        check_name("layer", layer, (name for name, _ in model.named_modules() if name))
        return layer
    for name, module in model.named_modules():
        if module is layer and name:
            return name
    raise ValueError(f"The layer ({type(layer).__name__}) is not a module inside {type(model).__name__}.")
