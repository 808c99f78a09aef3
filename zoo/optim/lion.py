"""Lion: steps of one size, in the direction of the sign of a momentum.

Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2. Its rate should be 3 to 10 times smaller than AdamW's and its
weight decay as many times larger (section 5 there).
Differs from the paper: nothing known.
"""

from typing import Any

import torch
from torch import Tensor

from zoo.optim.per_parameter import PerParameter, check_betas


class Lion(PerParameter):
    """Evolved sign momentum.

    betas:        share of the momentum in the direction, and what is left of the momentum after a step.
    weight_decay: apart from the gradient, times the learning rate.
    """

    def __init__(
        self, parameters: Any, *, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        check_betas(betas)
        super().__init__(parameters, {"lr": lr, "betas": (betas[0], betas[1]), "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None, "the caller looked"
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        beta1, beta2 = group["betas"]
        direction = state["momentum"].lerp(gradient, 1 - beta1).sign_()
        if group["weight_decay"]:
            direction.add_(parameter, alpha=group["weight_decay"])
        parameter.sub_(direction.mul_(group["lr"]))
        state["momentum"].lerp_(gradient, 1 - beta2)
