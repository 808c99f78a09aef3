"""AdaHessian: Adam with the diagonal of the Hessian in place of the gradient's second moment.

Source: Yao et al. 2020, arXiv:2006.00719, algorithm 1; the diagonal is Hutchinson's estimate z * Hz with z of -1 and 1.
Differs from the paper: as in the authors' code, the block that is averaged over is a convolution's kernel and single
elsewhere, absolute values are averaged, weight decay stands apart from the gradient, and `eps` is added at the end.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.optim.per_parameter import PerParameter, check_betas


class AdaHessian(PerParameter):
    """Adam in the second order. A step takes about two gradients' time.

    Gradients must come from `backward(create_graph=True)`; then `take_curvature`, after each batch, and `step`.
    Clipping between the two leaves the curvature as it is. The random z come from torch's global generator, whose
    state a checkpoint holds.

    betas:         what is left of the running means of gradient and squared curvature after a step.
    eps:           added to the divisor.
    weight_decay:  apart from the gradient, times the learning rate.
    hessian_power: 1 divides by the curvature, 0 not at all.
    """

    needs_graph = True

    def __init__(
        self,
        parameters: Any,
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-4,
        weight_decay: float = 0.0,
        hessian_power: float = 1.0,
    ) -> None:
        check_betas(betas)
        if not 0 <= hessian_power <= 1:
            raise ValueError(f"hessian_power is {hessian_power}; it must be in 0..1.")
        defaults = {"lr": lr, "betas": (betas[0], betas[1]), "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, {**defaults, "hessian_power": hessian_power})

    def take_curvature(self, backward: Callable[[Tensor], None] = Tensor.backward) -> None:
        """Adds what the graph behind the gradients says of the Hessian's diagonal, and frees the graph.

        Several batches of one step are probed along the same z, so that they add up to what one large batch gives.
        backward: computes gradients; the one that gave those that are held.
        Raises: RuntimeError if the gradients have no graph.
        """
        owned = [parameter for group in self.param_groups for parameter in group["params"]]
        held = [(parameter, parameter.grad) for parameter in owned if parameter.grad is not None]
        bent = [(parameter, gradient) for parameter, gradient in held if gradient.requires_grad]
        if not bent:
            raise RuntimeError("AdaHessian needs gradients with a graph: call backward(create_graph=True).")
        along = torch.stack([(gradient * self._probe(parameter)).sum() for parameter, gradient in bent]).sum()
        for parameter, _ in held:
            parameter.grad = None
        backward(along)
        for parameter, gradient in held:
            product, parameter.grad = parameter.grad, gradient.detach()
            if product is not None:  # else no gradient depends on it: it has no curvature
                self.state[parameter]["curvature"].add_(product * self._probe(parameter))

    def _probe(self, parameter: Tensor) -> Tensor:
        """The z of this step. It is kept with the state, which Fabric's wrapper shares, until the step is done."""
        state = self.state[parameter]
        if "probe" not in state:
            state["probe"] = torch.randint_like(parameter, 2, requires_grad=False).mul_(2).sub_(1)
            state["curvature"] = torch.zeros_like(parameter, requires_grad=False)
        probe: Tensor = state["probe"]
        return probe

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None, "the caller looked"
        state.pop("probe", None)
        curvature = state.pop("curvature", torch.zeros_like(parameter)).abs_()
        if parameter.ndim > 2:
            kernel = tuple(range(2, parameter.ndim))
            curvature = curvature.mean(dim=kernel, keepdim=True).expand_as(parameter)
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(curvature, curvature, value=1 - beta2)
        divisor = (square / (1 - beta2**step)).pow_(group["hessian_power"] / 2).add_(group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_((mean / (1 - beta1**step)).div_(divisor).mul_(group["lr"]))
