"""Lion: steps of one size, in the direction of the sign of a momentum.

Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2. Its rate should be 3 to 10 times smaller than AdamW's and its
weight decay as many times larger (section 5 there).
Differs from the paper: nothing known.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from zoo.optim.lamb import check_betas


class Lion(Optimizer):
    """Evolved sign momentum.

    betas:        share of the momentum in the direction, and what is left of the momentum after a step.
    weight_decay: apart from the gradient, times the learning rate.
    """

    def __init__(
        self, parameters: Any, *, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        check_betas(betas)
        super().__init__(parameters, {"lr": lr, "betas": (betas[0], betas[1]), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of every parameter that has a gradient; the value of `closure`, if there is one."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            (beta1, beta2), rate = group["betas"], group["lr"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                direction = state["momentum"].lerp(gradient, 1 - beta1).sign_()
                if group["weight_decay"]:
                    direction.add_(parameter, alpha=group["weight_decay"])
                parameter.sub_(direction.mul_(rate))
                state["momentum"].lerp_(gradient, 1 - beta2)
        return value
