"""L-BFGS over the parameters of a network: torch's, with an L2 penalty.

Source: Liu and Nocedal 1989, doi:10.1007/BF01589116, algorithm 2.1.
Differs from the paper: a step goes over one batch, or several accumulated ones, with `max_iter` iterations on it; the
curvature that one batch taught is kept for the next, which pays with large batches, best with all rows in one.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor


class LBFGS(torch.optim.LBFGS):
    """Quasi-Newton steps from the last `history_size` changes of the gradient. `step` needs a closure.

    The closure computes the loss anew and leaves its gradients in `grad`. It must give the same value for the same
    weights, or a line search finds none.

    lr:           length of the first step tried along each direction: 1 is the quasi-Newton step.
    max_iter:     iterations in one step; each calls the closure at least once.
    max_eval:     calls of the closure in one step; None allows a quarter more than iterations.
    line_search:  "strong_wolfe", or None for steps of the length `lr` unseen.
    tolerance_grad, tolerance_change: largest gradient, and least change of loss or weights, at which a step ends early.
    weight_decay: factor of an L2 penalty, half the sum of squares, that is part of the function searched.
    """

    needs_closure = True

    def __init__(
        self,
        parameters: Any,
        *,
        lr: float,
        max_iter: int = 20,
        max_eval: int | None = None,
        history_size: int = 10,
        line_search: Literal["strong_wolfe"] | None = "strong_wolfe",
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        weight_decay: float = 0.0,
    ) -> None:
        if line_search not in ("strong_wolfe", None):
            raise ValueError(f"line_search is {line_search!r}; expected 'strong_wolfe' or None.")
        if max_iter < 1 or history_size < 1:
            raise ValueError(f"max_iter and history_size must be at least 1; got {max_iter} and {history_size}.")
        tensors, rate, decays = _as_one_group(parameters, lr=lr, weight_decay=weight_decay)
        super().__init__(
            [{"params": tensors, "decays": decays}], lr=rate, max_iter=max_iter, max_eval=max_eval,
            tolerance_grad=tolerance_grad, tolerance_change=tolerance_change, history_size=history_size,
            line_search_fn=line_search,
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Several iterations on the function that `closure` computes; its value before the first."""

        def penalised() -> Any:
            loss = closure()
            with torch.no_grad():
                for parameter, decay in zip(self._params, self.param_groups[0]["decays"], strict=True):
                    if decay and parameter.grad is not None:
                        parameter.grad.add_(parameter, alpha=decay)
                        loss = loss + decay / 2 * parameter.square().sum()
            return loss

        return super().step(penalised)


def _as_one_group(
    parameters: Iterable[Any], *, lr: float, weight_decay: float
) -> tuple[list[Tensor], float, list[float]]:
    """All tensors, their one learning rate, and the weight decay of each.

    Raises: ValueError if groups have different rates: a quasi-Newton direction has one length.
    """
    groups: list[dict[str, Any]] = [item if isinstance(item, dict) else {"params": [item]} for item in parameters]
    rates = {group.get("lr", lr) for group in groups}
    if len(rates) > 1:
        found = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise ValueError(
            f"L-BFGS takes one learning rate for all parameters, got {found}. "
            "Use the same for head and body: lr_decay=1 of a stage, or body_lr_ratio=1 in fine-tuning."
        )
    pairs = [(tensor, group.get("weight_decay", weight_decay)) for group in groups for tensor in group["params"]]
    return [tensor for tensor, _ in pairs], rates.pop() if rates else lr, [decay for _, decay in pairs]
