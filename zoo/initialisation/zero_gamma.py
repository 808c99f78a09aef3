"""Residual branches that start as nothing: the scale of their last norm is 0.

Source: Goyal et al. 2017, arXiv:1706.02677, section 5.1.
Differs from the paper: nothing known; the rule that finds the norms goes beyond its ResNets.
"""

import inspect
import logging
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from zoo.initialisation.matrices import LAYERS

logger = logging.getLogger(__name__)

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)  # the first: batch and instance norm
DROPS = ("DropBlock2d", "DropPath", "StochasticDepth")
"""What the zoo, timm and torchvision call layers that drop part of a branch."""
SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")


@torch.no_grad()
def zero_gamma(model: nn.Module, generator: torch.Generator) -> tuple[str, ...]:
    """Sets the scale of the last norm of each residual branch to 0, so that each block starts as its shortcut.

    The rule: where the model adds two tensors, the one with more layers behind it that the other does not pass is the
    branch, and the other one the shortcut; with equally many there is none. If the branch is a norm's output, that
    norm's scale becomes 0. Between norm and sum may be what drops parts in training, and a product with a gate, as in
    squeeze-and-excitation. A norm followed by an activation before the sum is left alone, since a ReLU of 0 would keep
    it at 0, and so are branches that end with a convolution or a linear layer: those with the norm first, a plain
    Transformer's, ConvNeXt's.

    The sums are read off a symbolic trace of the model, or of those of its parts that can be traced.

    generator: not drawn from.
    Returns:   names of the scales, in the order in which they are used.
    Raises:    ValueError if there is none.
    """
    found = dict(_last_norms(model, ""))
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no residual branch that ends with a norm which has a scale, or its forward "
            "pass cannot be traced. Set the scales by hand, or take another initialisation."
        )
    for scale in found.values():
        nn.init.zeros_(scale)
    return tuple(found)


class _Tracer(fx.Tracer):
    """Goes into every module that has layers or norms in it, and into no other."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        if isinstance(module, (*LAYERS, *NORMS)):
            return True
        return not any(True for _ in module.parameters()) or type(module).__module__ == "torch.nn.modules.activation"


def _last_norms(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and scale of the last norm of each residual branch in `module`, looked at part by part where need be."""
    graph = _traced(module)
    if graph is None:
        for name, child in module.named_children():
            yield from _last_norms(child, f"{prefix}{name}.")
        return
    for node in graph.nodes:
        terms = [term for term in node.args[:2] if isinstance(term, fx.Node)] if node.target in SUMS else []
        path = _branch_end(module, terms) if len(terms) == 2 else None
        scale = None if path is None else module.get_submodule(path).weight
        if isinstance(scale, nn.Parameter) and scale.requires_grad:
            yield f"{prefix}{path}.weight", scale


def _traced(module: nn.Module) -> fx.Graph | None:
    """The graph of a module's forward pass with its optional arguments at their defaults, None if there is none."""
    if not any(isinstance(part, NORMS) for part in module.modules()) or isinstance(module, NORMS):
        return None
    try:
        parameters = inspect.signature(module.forward).parameters.values()
        given = {one.name: one.default for one in parameters if one.default is not one.empty}
        return _Tracer().trace(module, concrete_args=given)
    except Exception as error:
        logger.debug("%s cannot be traced as a whole: %s", type(module).__name__, error)
        return None


def _branch_end(module: nn.Module, terms: list[fx.Node]) -> str | None:
    """The path of the norm that ends the residual branch of a sum, None if there is no such."""
    first, second = (_layers_behind(module, term) for term in terms)
    lengths = [len(first - second), len(second - first)]
    return None if lengths[0] == lengths[1] else _norm_before(module, terms[lengths.index(max(lengths))])


def _norm_before(module: nn.Module, node: fx.Node) -> str | None:
    """The path of the norm whose output `node` is, dropped and gated at most."""
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        if isinstance(part, NORMS):
            # A norm with an activation in it, as timm has them, ends a branch only where that does nothing.
            return str(node.target) if isinstance(getattr(part, "act", nn.Identity()), nn.Identity) else None
        passes = isinstance(part, nn.Identity | nn.modules.dropout._DropoutNd) or type(part).__name__ in DROPS
        return _norm_before(module, node.args[0]) if passes and isinstance(node.args[0], fx.Node) else None
    if node.target in PRODUCTS:
        factors: list[Any] = [factor for factor in node.args if isinstance(factor, fx.Node)]
        return next((end for end in (_norm_before(module, factor) for factor in factors) if end is not None), None)
    return None


def _layers_behind(module: nn.Module, node: fx.Node) -> set[fx.Node]:
    """The calls of layers and norms that `node` is computed from."""
    seen, waiting = {node}, [node]
    while waiting:
        fresh = [one for one in waiting.pop().all_input_nodes if one not in seen]
        seen.update(fresh)
        waiting += fresh
    calls = [one for one in seen if one.op == "call_module"]
    return {one for one in calls if isinstance(module.get_submodule(str(one.target)), (*LAYERS, *NORMS))}
