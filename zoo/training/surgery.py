"""What fine-tuning must know of a network it has never seen: its head, its layer groups, what is frozen.

Source of discriminative rates and gradual unfreezing: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from zoo.heads import head_paths, parts_above_body
from zoo.training.task import ParameterGroups

LayerGroup = list[nn.Parameter]
LARGEST_SHARE = 0.5  # a block with more than this share of the body's layers is taken apart


def layer_groups(model: nn.Module) -> list[LayerGroup]:
    """The parameters in groups from the input to the output; the last group is the head.

    The last group also holds what is as new as the head where classes are replaced: side heads, the second classifier
    of a distilled model, and layers between body and head. The others follow the order of definition. Parameters that
    a module holds directly, such as position embeddings, join the first group. Each parameter is in one group. A head
    without parameters, such as fixed output codes, makes no group.
    """
    parts = parts_above_body(model)
    above = [model.get_submodule(path) for path in parts]
    head_group = list(dict.fromkeys(parameter for part in above for parameter in part.parameters()))
    taken = {id(parameter) for parameter in head_group}
    groups: list[LayerGroup] = [[]]
    for block in _large_blocks(model, parts):
        fresh = [parameter for parameter in block.parameters() if id(parameter) not in taken]
        taken.update(id(parameter) for parameter in fresh)
        if not fresh:
            continue
        only_norms = all(parameter.ndim < 2 for parameter in fresh)
        if only_norms or not groups[-1]:
            groups[-1].extend(fresh)
        else:
            groups.append(fresh)
    groups[0].extend(parameter for parameter in model.parameters() if id(parameter) not in taken)
    return [group for group in (*groups, head_group) if group]


def body_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks between the input and the head that `layer_groups` is made of, each of which runs as a whole."""
    found: list[nn.Module] = []
    waiting = _large_blocks(model, parts_above_body(model))
    while waiting:
        block = waiting.pop(0)
        if isinstance(block, nn.ModuleList | nn.ModuleDict):  # which hold modules, and do not run themselves
            waiting = [*block.children(), *waiting]
        else:
            found.append(block)
    return found


def _large_blocks(model: nn.Module, heads: Sequence[str]) -> list[nn.Module]:
    num_layers = _num_layers(model) - sum(_num_layers(model.get_submodule(path)) for path in heads)
    return _blocks(model, "", heads, LARGEST_SHARE * num_layers)


def _num_layers(module: nn.Module) -> int:
    """Modules that hold parameters themselves."""
    return sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules())


def _blocks(module: nn.Module, path: str, heads: Sequence[str], limit: float) -> list[nn.Module]:
    """The children of `module` in order, without the heads, those of more than `limit` layers taken apart again."""
    found: list[nn.Module] = []
    for name, child in module.named_children():
        child_path = f"{path}.{name}" if path else name
        if child_path in heads:
            continue
        holds_head = any(head.startswith(f"{child_path}.") for head in heads)
        if any(True for _ in child.children()) and (holds_head or _num_layers(child) > limit):
            found += _blocks(child, child_path, heads, limit)
        else:
            found.append(child)
    return found


@torch.no_grad()
def quiet_new_head(model: nn.Module, *, fresh: Sequence[str]) -> None:
    """Sets the last layer of the head to zero if its tensors are among the `fresh` ones; that of side heads likewise.

    The first predictions are then uniform, and the first gradients do not shake the trained body, which a head with
    large random weights does. Source: Kolesnikov et al. 2019, arXiv:1912.11370, section 3.3.
    """
    for path in head_paths(model):
        layers = [
            (name, module)
            for name, module in model.get_submodule(path).named_modules(prefix=path)
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))
        ]
        if layers and f"{layers[-1][0]}.weight" in fresh:
            for parameter in layers[-1][1].parameters(recurse=False):
                parameter.zero_()


def freeze_all_but(model: nn.Module, trainable: Sequence[LayerGroup]) -> None:
    """Lets the parameters in `trainable` take gradients and no others."""
    chosen = {id(parameter) for group in trainable for parameter in group}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)


def train_mode(model: nn.Module) -> None:
    """Training mode, but for modules whose parameters are all frozen: their BatchNorm statistics and dropout rest.

    A norm that has statistics but no parameters rests if anything in the module that holds it is frozen.
    """
    model.train()
    for module in model.modules():
        flags = {parameter.requires_grad for parameter in module.parameters()}
        if flags == {False}:
            module.eval()
        elif False in flags:
            for child in module.children():
                if not any(True for _ in child.parameters()) and any(True for _ in child.buffers()):
                    child.eval()


def rate_groups(trainable: Sequence[LayerGroup], *, lr: float, lr_decay: float, weight_decay: float) -> ParameterGroups:
    """Optimizer groups of the layer groups `trainable`, the last one at `lr`, each before it at `lr_decay` times that.

    Biases and the parameters of norms, those of one dimension, take no weight decay.
    """
    groups: ParameterGroups = []
    rates = [lr * lr_decay ** (len(trainable) - 1 - index) for index in range(len(trainable))]
    merged: dict[float, LayerGroup] = {}
    for rate, group in zip(rates, trainable, strict=True):
        merged.setdefault(rate, []).extend(group)
    for rate, group in merged.items():
        options: dict[str, Any] = {"lr": rate}
        if not weight_decay:
            groups.append({"params": group, "weight_decay": 0.0, **options})
            continue
        vectors = [parameter for parameter in group if parameter.ndim < 2]
        matrices = [parameter for parameter in group if parameter.ndim >= 2]
        if vectors:
            groups.append({"params": vectors, "weight_decay": 0.0, **options})
        if matrices:
            groups.append({"params": matrices, "weight_decay": weight_decay, **options})
    return groups
