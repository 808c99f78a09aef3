"""Settings of the CPU under which the small networks of agents learn and act fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

DENORMAL = 1e-310  # below the smallest normal float64, 2.2e-308
LARGEST_SMALL_NETWORK = 1_000_000  # parameters; for fewer, sharing out the work costs more than it brings


def denormals_are_flushed() -> bool:
    """Whether this thread takes numbers too small for full precision for 0."""
    return bool((torch.tensor(DENORMAL, dtype=torch.float64) * 1.0 == 0).item())


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Inside, this thread takes numbers too small for full precision for 0.

    Adam's moments of units that are dead, as many are in small networks that learn from rewards, decay into that range,
    where a CPU is a hundred times slower. CPUs without the switch just stay slower.
    """
    before = denormals_are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def one_thread(model: nn.Module) -> Iterator[None]:
    """Inside, torch and NumPy compute in one thread if the network is small; a large one keeps what there is."""
    if sum(parameter.numel() for parameter in model.parameters()) > LARGEST_SMALL_NETWORK:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _thread_pools().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _thread_pools() -> Any:
    """The thread pools of the libraries in use; to look for them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
