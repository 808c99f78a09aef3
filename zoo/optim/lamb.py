"""LAMB: Adam whose step for each tensor has the length of that tensor, for very large batches.

Source: You et al. 2020, arXiv:1904.00962, algorithm 2, with the identity for phi.
Differs from the paper: a tensor or step of length 0 takes the plain step, as in the authors' code; and, as there,
biases and the parameters of norms take it too, unless `adapt_vectors` is set: one that starts at 0 would hardly move.
"""

from typing import Any

import torch
from torch import Tensor

from zoo.optim.per_parameter import PerParameter, check_betas


class LAMB(PerParameter):
    """Layer-wise adaptive moments.

    betas:         what is left of the running means of gradient and squared gradient after a step.
    eps:           added to the root of the second moment.
    weight_decay:  added to the direction, times the weights, before its length is taken.
    adapt_vectors: give tensors of one dimension at most their own length of step too.
    """

    def __init__(
        self,
        parameters: Any,
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        adapt_vectors: bool = False,
    ) -> None:
        check_betas(betas)
        defaults = {"lr": lr, "betas": (betas[0], betas[1]), "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, {**defaults, "adapt_vectors": adapt_vectors})

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None, "the caller looked"
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        direction = (mean / (1 - beta1**step)).div_(root)
        if group["weight_decay"]:
            direction.add_(parameter, alpha=group["weight_decay"])
        if parameter.ndim > 1 or group["adapt_vectors"]:
            length, step_length = parameter.norm(), direction.norm()
            ratio = torch.where((length > 0) & (step_length > 0), length / step_length, torch.ones_like(length))
            direction.mul_(ratio)  # on the device: comparing on the host would wait for it
        parameter.sub_(direction.mul_(group["lr"]))
