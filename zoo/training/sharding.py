"""Fully sharded data parallelism: each process holds a part of every parameter, its gradient and its optimizer state.

Source: Rajbhandari et al. 2020, arXiv:1910.02054 (stage 3); Zhao et al. 2023, arXiv:2304.11277; torch's `fully_shard`,
which keeps parameters as they are named and shaped, each a DTensor.

A copy of the model is sharded, block by block as `body_blocks` finds them, and trained; the model itself gets the
weights at the end. Checkpoints hold full tensors, so that one process reads what many wrote and the other way round.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.training.engine import Engine
from zoo.training.surgery import body_blocks
from zoo.training.task import Task


def sharded_copy(model: nn.Module, engine: Engine) -> nn.Module:
    """A copy of `model`, each of whose blocks is gathered when it runs and given up afterwards."""
    from torch.distributed.fsdp import fully_shard

    model = copy.deepcopy(model)
    mesh = engine.mesh
    for block in body_blocks(model):
        if any(True for _ in block.parameters()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    return model


def check_shardable(task: Task, model: nn.Module) -> None:
    """Raises ValueError for a task that trains parts of its model in turn, which sharding as a whole does not serve."""
    parts = task.modules(model)
    if list(parts.values()) != [model]:
        raise ValueError(
            f'parallel="fsdp" trains a model as a whole, and the task {task.name} trains {", ".join(parts)} in turn: '
            'use parallel="ddp".'
        )


def full(value: Any, *, seen: dict[int, Tensor] | None = None) -> Any:
    """The same state with whole tensors on the CPU in place of sharded ones. Every process must ask at once.

    What is one tensor under two names, such as tied weights, stays one.
    """
    from torch.distributed.tensor import DTensor

    seen = {} if seen is None else seen
    if isinstance(value, DTensor):
        if id(value) not in seen:
            seen[id(value)] = value.full_tensor().detach().cpu()
        return seen[id(value)]
    if isinstance(value, Mapping):
        return {key: full(item, seen=seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(full(item, seen=seen) for item in value)
    return value


def placed_like(value: Tensor, like: Tensor) -> Tensor:
    """The whole tensor `value` where `like` is: on its device, sharded as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value.to(like.device)
    # Every process has the whole, so none needs to send it.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def shard_optimizer_state(optimizer: Optimizer) -> None:
    """Shards state that was loaded whole as the parameters are that it belongs to."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim and value.shape == parameter.shape:
                state[name] = placed_like(value, parameter)


@contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Inside, every process holds all parameters of `module`, so that each may run it alone. Every process must enter.

    Costs nothing for a module that is not sharded. Taking the module's state gives the parameters up again.
    """
    if not is_sharded(module):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    try:
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


def is_sharded(module: nn.Module) -> bool:
    """Whether `module` came from `sharded_copy`."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)
