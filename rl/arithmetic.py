"""Settings under which the small networks of agents learn and act fast."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
def quick_arithmetic(model: nn.Module) -> Iterator[None]:
    """Inside, all that makes the steps of a small network on a CPU quick; a large one only loses its denormals."""
    with ExitStack() as stack:
        stack.enter_context(flushed_denormals())
        stack.enter_context(one_thread(model))
        if all(parameter.device.type == "cpu" for parameter in model.parameters()):
            stack.enter_context(no_search_for_devices())
        yield


@contextmanager
def no_search_for_devices() -> Iterator[None]:
    """Inside, torch's optimizers do not load the NVIDIA library in every step to see whether there is a GPU.

    They ask for a device in each step; Lightning Fabric 2.6 sets the variable by which the answer comes from that
    library, anew each time as long as CUDA is not in use. It doubles the time of a small network's optimizer step.
    """
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    held = os.environ.pop(name, None)
    try:
        yield
    finally:
        if held is not None:
            os.environ[name] = held


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
