"""Target networks: slowly changing copies from which bootstrapped values are read."""

import copy

import torch
from torch import nn


def target_copy(online: nn.Module) -> nn.Module:
    """A copy of the network that takes no gradients and is in evaluation mode."""
    return copy.deepcopy(online).eval().requires_grad_(False)


@torch.no_grad()
def hard_update(target: nn.Module, online: nn.Module) -> None:
    """Makes the target equal to the online network.

    Source: Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1, last line.
    """
    torch._foreach_copy_(list(target.parameters()), list(online.parameters()))
    _copy_buffers(target, online)


@torch.no_grad()
def soft_update(target: nn.Module, online: nn.Module, *, tau: float) -> None:
    """Moves the target by the share `tau` of the way to the online network: target + tau * (online - target).

    Source: Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1.
    Differs from the paper: buffers, such as BatchNorm's statistics, are copied.
    """
    if not 0 < tau <= 1:
        raise ValueError(f"tau is {tau}; the share of the way must be in (0, 1].")
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), tau)
    _copy_buffers(target, online)


def _copy_buffers(target: nn.Module, online: nn.Module) -> None:
    for own, other in zip(target.buffers(), online.buffers(), strict=True):
        own.copy_(other)
