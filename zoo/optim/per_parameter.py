"""What optimizers of our own share: a step that updates each parameter by itself."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer


class PerParameter(Optimizer):
    """An optimizer whose subclass says how one parameter is updated."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of every parameter that has a gradient; the value of `closure`, if there is one."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return value

    @abstractmethod
    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """One update of a parameter that has a gradient, without gradients of its own."""


def check_betas(betas: tuple[float, float]) -> None:
    """Raises ValueError unless there are two numbers in [0, 1)."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas are two numbers in [0, 1), such as 0.9 and 0.999; got {list(betas)}.")
