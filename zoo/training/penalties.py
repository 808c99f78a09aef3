"""Penalties on the size of weights, as part of the gradient: L1 and L2.

Source: L1 from Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x; L2 from Hoerl and Kennard 1970,
doi:10.1080/00401706.1970.10488634, for networks Krogh and Hertz 1991 (NeurIPS 4); how L2 differs from weight decay
under Adam: Loshchilov and Hutter 2019, arXiv:1711.05101, section 2 and algorithm 2.

A penalty is part of the loss, so the optimizer sees its gradient: Adam divides it by the running moment like the rest
of the gradient, and `clip_norm` counts it. Decoupled decay is no part of the loss: it is the `weight_decay` of AdamW
and its kind, and shrinks each weight by the same share. With plain gradient descent, `l2` and `weight_decay` are one.

As with weight decay, only matrices and kernels are penalised, not biases and the parameters of norms, which have one
dimension.
Differs from the paper: nothing known; the gradient of L1 at 0 is taken as 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer


def l1_penalty(weights: Iterable[Tensor], *, strength: float) -> Tensor:
    """`strength` times the sum of |w| over all weights: [], as `add_gradients_` puts into the gradient."""
    return strength * torch.stack([weight.abs().sum() for weight in weights]).sum()


def l2_penalty(weights: Iterable[Tensor], *, strength: float) -> Tensor:
    """Half of `strength` times the sum of w^2 over all weights: [], as `add_gradients_` puts into the gradient."""
    return strength / 2 * torch.stack([weight.square().sum() for weight in weights]).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalties:
    """Strengths of the penalties: the gradients get `l1 * sign(w) + l2 * w`."""

    l1: float = 0.0
    l2: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.l1 or self.l2)

    @torch.no_grad()
    def add_gradients_(self, optimizer: Optimizer, *, scale: Tensor | None = None) -> None:
        """Adds the penalties' gradients to those that the optimizer's weights hold.

        scale: [] of the gradients, where float16 training has scaled them; None for 1.
        """
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        weights = [weight for weight in held if weight.grad is not None and weight.ndim >= 2]
        if not weights:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for strength, terms in ((self.l2, weights), (self.l1, None)):
            if not strength:
                continue
            terms = list(torch._foreach_sign(weights)) if terms is None else terms
            if scale is None:
                torch._foreach_add_(gradients, terms, alpha=strength)
            else:
                torch._foreach_add_(gradients, torch._foreach_mul(terms, scale * strength))
