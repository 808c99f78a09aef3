"""Optimizers by name: torch's own, with the fused kernel where it is faster and safe, the zoo's, and timm's.

Source: momentum from Polyak 1964, doi:10.1016/0041-5553(64)90137-5; Nesterov's form from Sutskever et al. 2013
(ICML), section 2; AdaGrad from Duchi et al. 2011, JMLR 12, figure 1; RMSprop from Tieleman and Hinton 2012, Coursera
lecture 6.5; Adam from Kingma and Ba 2015, arXiv:1412.6980; AMSGrad from Reddi et al. 2018, arXiv:1904.09237,
algorithm 2; AdamW from Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2.
Differs from the paper: as in torch, momentum sums gradients without the learning rate, which only matters while the
rate changes; AdamW multiplies its weight decay by the learning rate; AMSGrad corrects the bias of both moments, as
Adam does; RMSprop adds `eps` after the root, where the lecture has none.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from zoo.optim.timm_optimizers import PREFIX, timm_builder
from zoo.parts.optimizers import OPTIMIZERS

# Tensors, or dicts {"params": tensors, "lr": ..., ...} as torch's optimizers take them.
Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
ParameterList = list[Tensor] | list[dict[str, Any]]
Skip = Literal["bias_and_norm", "nothing"] | Callable[[str, nn.Parameter], bool]


def sgd(parameters: ParameterList, *, lr: float, weight_decay: float = 0.0, fused: bool = False) -> torch.optim.SGD:
    """Plain gradient descent. The fused kernel is off: with no state to update it measured no faster on a CPU."""
    return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, fused=fused or None)


def momentum(
    parameters: ParameterList, *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, fused: bool | None = None
) -> torch.optim.SGD:
    """Gradient descent with momentum."""
    fused = _fused(parameters, fused)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)


def nesterov(
    parameters: ParameterList, *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, fused: bool | None = None
) -> torch.optim.SGD:
    """Gradient descent with Nesterov's momentum."""
    fused = _fused(parameters, fused)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True, fused=fused)


def adam(
    parameters: ParameterList,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    fused: bool | None = None,
) -> torch.optim.Adam:
    """Adam; its weight decay is an L2 penalty, added to the gradient."""
    fused = _fused(parameters, fused)
    return torch.optim.Adam(
        parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, fused=fused
    )


def adamw(
    parameters: ParameterList,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    amsgrad: bool = False,
    fused: bool | None = None,
) -> torch.optim.AdamW:
    """Adam with weight decay apart from the gradient."""
    fused = _fused(parameters, fused)
    return torch.optim.AdamW(
        parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, fused=fused
    )


def amsgrad(
    parameters: ParameterList,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    fused: bool | None = None,
) -> torch.optim.Adam:
    """Adam that divides by the largest second moment so far, so that no step grows again."""
    return adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=True, fused=fused)


def adagrad(
    parameters: ParameterList, *, lr: float, eps: float = 1e-10, initial_sum: float = 0.0, weight_decay: float = 0.0
) -> torch.optim.Adagrad:
    """Steps divided by the root of the sum of all squared gradients so far; decay as L2 penalty.

    initial_sum: what the sums begin with, in squared units of the gradient.
    """
    return torch.optim.Adagrad(
        parameters, lr=lr, eps=eps, initial_accumulator_value=initial_sum, weight_decay=weight_decay
    )


def rmsprop(
    parameters: ParameterList,
    *,
    lr: float,
    alpha: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> torch.optim.RMSprop:
    """Steps divided by the root of a running mean of squared gradients; decay as L2 penalty.

    alpha:    what is left of the running mean after a step, in [0, 1).
    centered: divide by the deviation from the running mean of gradients instead.
    """
    return torch.optim.RMSprop(
        parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
    )


def make_optimizer(name: str, parameters: Parameters, *, lr: float, **options: Any) -> Optimizer:
    """The optimizer called `name`, such as "adamw" or "timm:nadamw", over tensors or parameter groups.

    lr:      learning rate per step, of groups that set none of their own.
    options: of the optimizer, checked by name. Where it takes `fused`, that is decided here unless given: True asks
             for torch's fused kernel, False for its default one.
    Raises:  UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for values.
    """
    build = timm_builder(name, options) if name.startswith(PREFIX) else OPTIMIZERS.check(name, options)
    optimizer: Optimizer = build(_listed(parameters), lr=lr, **options)
    optimizer.register_load_state_dict_post_hook(_match_layout)
    return optimizer


def takes_fused(name: str) -> bool:
    """Whether the optimizer called `name` has the option `fused`."""
    return name in OPTIMIZERS and "fused" in OPTIMIZERS.option_names(name)


def parameter_groups(model: nn.Module, *, weight_decay: float, skip: Skip = "bias_and_norm") -> list[dict[str, Any]]:
    """The trainable parameters of `model` in two groups, with and without weight decay.

    weight_decay: per step, of the group that has it.
    skip:         what is not decayed: "bias_and_norm" are biases and all that has one dimension at most, the scales
                  of normalisation layers among it; "nothing"; or a function of name and parameter.
    Returns:      groups for `make_optimizer`, in the order of the model; an empty group is left out.
    Raises:       ValueError if no parameter is trainable, or `skip` is neither.
    """
    if isinstance(skip, str) and skip not in ("bias_and_norm", "nothing"):
        raise ValueError(f"skip must be 'bias_and_norm', 'nothing' or a function; got {skip!r}.")
    decayed: list[nn.Parameter] = []
    skipped: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (skipped if _is_skipped(name, parameter, skip) else decayed).append(parameter)
    if not decayed and not skipped:
        raise ValueError("No parameter of the model is trainable: all have requires_grad=False.")
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": skipped, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _is_skipped(name: str, parameter: nn.Parameter, skip: Skip) -> bool:
    if callable(skip):
        return skip(name, parameter)
    return skip == "bias_and_norm" and (parameter.ndim <= 1 or name.rpartition(".")[2] == "bias")


def _listed(parameters: Parameters) -> list[Any]:
    """The same with lists in place of iterators, which could be read only once."""
    return [
        {**item, "params": [item["params"]] if isinstance(item["params"], Tensor) else list(item["params"])}
        if isinstance(item, dict)
        else item
        for item in parameters
    ]


def _fused(parameters: ParameterList, asked: bool | None) -> bool | None:
    """Whether to use the fused kernel; None leaves the choice to torch, which then never takes the fused one."""
    if asked is not None:
        return asked or None
    tensors = [tensor for item in parameters for tensor in (item["params"] if isinstance(item, dict) else [item])]
    plain = all(
        type(tensor) in (Tensor, nn.Parameter)  # a sharded or quantised tensor may have no fused kernel
        and tensor.device.type in ("cpu", "cuda")
        and tensor.is_floating_point()
        for tensor in tensors
    )
    return True if plain else None


def _match_layout(optimizer: Optimizer) -> None:
    """Gives loaded state the strides of its parameters.

    The fused CPU kernels of torch 2.14 walk parameter, gradient and state in memory order without comparing strides:
    state of a channels_last weight that a file kept contiguous would be applied to the wrong elements.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
