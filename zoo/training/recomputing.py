"""Gradient checkpointing: activations inside a block are computed again in the backward pass instead of kept.

Source: Chen et al. 2016, arXiv:1604.06174, section 4; the blocks are those that `body_blocks` finds.
Differs from the paper: nothing known.

Random numbers are drawn again as they were, so that dropout drops the same. BatchNorm layers count a batch once: the
second time they do not keep what they measure.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.training.surgery import body_blocks

Counting = nn.modules.batchnorm._NormBase  # BatchNorm, and InstanceNorm with statistics


@contextmanager
def recomputed_blocks(model: nn.Module) -> Iterator[list[nn.Module]]:
    """Inside, each block of the model's body keeps its inputs alone for the backward pass. Gives the blocks.

    Raises: ValueError if there is no block; from the first pass, if a block changes buffers of its own that are not
            a norm's, such as spectral normalisation's vectors, which would then change twice.
    """
    blocks = [block for block in body_blocks(model) if any(True for _ in block.parameters())]
    if not blocks:
        raise ValueError(
            f"{type(model).__name__} has no blocks between input and head whose activations could be computed again. "
            "Use gradient_checkpointing=False."
        )
    own = [block.__dict__.get("forward") for block in blocks]
    try:
        for block in blocks:
            block.forward = _recomputed(block)
        yield blocks
    finally:
        for block, forward in zip(blocks, own, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def _recomputed(block: nn.Module) -> Callable[..., Any]:
    """The forward pass of `block`, to be run a second time in the backward pass."""
    forward = block.forward
    norms = [module for module in block.modules() if isinstance(module, Counting)]
    counted = {id(buffer) for norm in norms for buffer in norm.buffers(recurse=False)}
    buffers = [(name, buffer) for name, buffer in block.named_buffers() if id(buffer) not in counted]
    checked = not buffers

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_counting(norms)

    def run(*inputs: Any, **options: Any) -> Any:
        nonlocal checked
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        before = [buffer.clone() for _, buffer in buffers] if not checked and block.training else None
        outputs = checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)
        if before is not None:
            _check_unchanged(block, buffers, before)
            checked = True
        return outputs

    return run


def _check_unchanged(block: nn.Module, buffers: Sequence[tuple[str, Tensor]], before: Sequence[Tensor]) -> None:
    for (name, buffer), old in zip(buffers, before, strict=True):
        if not torch.equal(buffer, old):
            raise ValueError(
                f"{type(block).__name__} changes its buffer {name!r} in the forward pass, which gradient checkpointing "
                "would run twice. Use gradient_checkpointing=False."
            )


@contextmanager
def _without_counting(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, the layers' statistics are copies, so that what is measured the second time is not kept."""
    kept = [dict(norm._buffers) for norm in norms]
    try:
        for norm in norms:
            for name, buffer in norm._buffers.items():
                norm._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
