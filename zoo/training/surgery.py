"""What fine-tuning must know of a network it has never seen: its head, its layer groups, what is frozen.

Source of discriminative rates and gradual unfreezing: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from zoo.heads import head_path
from zoo.training.task import ParameterGroups

LayerGroup = list[nn.Parameter]
MIN_SHARE = 0.5  # a block with more than this share of the body's parameters is taken apart


def layer_groups(model: nn.Module) -> list[LayerGroup]:
    """The parameters in groups from the input to the output; the last group is the head.

    Parameters that a module holds directly, such as position embeddings, join the first group. Each parameter is in
    one group. A head without parameters, such as fixed output codes, makes no group.
    """
    head = head_path(model)
    head_group = list(model.get_submodule(head).parameters())
    taken = {id(parameter) for parameter in head_group}
    body_size = sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in taken)
    blocks = _blocks(model, "", head, MIN_SHARE * body_size)
    groups: list[LayerGroup] = [[]]
    for block in blocks:
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


def _blocks(module: nn.Module, path: str, head: str, limit: float) -> list[nn.Module]:
    """The children of `module` in order, without the head, large ones taken apart again."""
    found: list[nn.Module] = []
    for name, child in module.named_children():
        child_path = f"{path}.{name}" if path else name
        if child_path == head:
            continue
        children = list(child.children())
        size = sum(parameter.numel() for parameter in child.parameters())
        holds_head = head.startswith(f"{child_path}.")
        if children and (holds_head or size > limit):
            found += _blocks(child, child_path, head, limit)
        else:
            found.append(child)
    return found


@torch.no_grad()
def quiet_new_head(model: nn.Module, *, fresh: Sequence[str]) -> None:
    """Sets a linear or convolutional head to zero if its tensors are among the `fresh` ones.

    The first predictions are then uniform, and the first gradients do not shake the trained body, which a head with
    large random weights does. Source: Kolesnikov et al. 2019, arXiv:1912.11370, section 3.3.
    """
    path = head_path(model)
    head = model.get_submodule(path)
    if isinstance(head, (nn.Linear, nn.modules.conv._ConvNd)) and f"{path}.weight" in fresh:
        for parameter in head.parameters(recurse=False):
            parameter.zero_()


def freeze_all_but(model: nn.Module, trainable: Sequence[LayerGroup]) -> None:
    """Lets the parameters in `trainable` take gradients and no others."""
    chosen = {id(parameter) for group in trainable for parameter in group}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)


def train_mode(model: nn.Module) -> None:
    """Training mode, but for modules whose parameters are all frozen: their BatchNorm statistics and dropout rest."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


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
