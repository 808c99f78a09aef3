"""The optimizers of timm by name, such as "timm:nadamw", with their options checked.

`timm.optim.create_optimizer_v2` drops options that an optimizer does not take; here they are an error.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim.optimizer import Optimizer

from zoo.errors import check_name
from zoo.lookup import check_arguments

PREFIX = "timm:"
MOMENTUM = 0.9  # what timm's own factory gives every optimizer that has one
# -- Optimizers that keep state which their state_dict leaves out, so that no resumed run equals an unbroken one.
NOT_RESUMABLE = {
    "adahessian": "take the zoo's own 'adahessian'",
    "kron": "take 'timm:muon' or 'adahessian'",
    "kronc": "take 'timm:muon' or 'adahessian'",
    "kronw": "take 'timm:muon' or 'adahessian'",
}


def timm_builder(name: str, options: Mapping[str, Any]) -> Callable[..., Optimizer]:
    """What builds the optimizer "timm:name" of parameters and a rate, with timm's settings where none are given.

    Raises: UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for an optimizer
            that cannot be resumed, or that needs a library or device which is not there.
    """
    from timm.optim import get_optimizer_class, get_optimizer_info, list_optimizers

    check_name("optimizer", name, [f"{PREFIX}{known}" for known in list_optimizers()])
    short = name.removeprefix(PREFIX)
    if short in NOT_RESUMABLE:
        raise ValueError(f"{name} keeps state that no checkpoint holds, so it cannot resume: {NOT_RESUMABLE[short]}.")
    info = get_optimizer_info(short)
    try:
        kind: Callable[..., Optimizer] = get_optimizer_class(short, bind_defaults=False)
    except (AssertionError, ImportError) as error:
        raise ValueError(f"{name} cannot be used here: {error}.") from error
    check_arguments(f"Optimizer {name!r}", functools.partial(kind, None, lr=None), options)
    settings = {**({"momentum": MOMENTUM} if info.has_momentum else {}), **(info.defaults or {})}
    return functools.partial(kind, **settings)
