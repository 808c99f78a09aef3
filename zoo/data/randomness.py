"""Random numbers that depend on (seed, epoch, row) alone, and a fence around everybody else's generators.

Source: `mix` chains the finaliser of SplitMix64: Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195, figure 17.
Differs from the paper: it hashes a tuple of integers instead of stepping a counter.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, the increment of SplitMix64


def _finalise(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def mix(*values: int) -> int:
    """Integers to one seed in [0, 2^64), in which every bit depends on every value and on their order."""
    state = 0
    for value in values:
        state = _finalise((state + _GAMMA + (value & _MASK)) & _MASK)
    return state


def row_uniforms(rows: Tensor, *, num: int, seed: int, epoch: int) -> Tensor:
    """Row numbers [B] to `num` draws from [0, 1) for each, float32 [B, num], whatever rows stand beside them."""
    state = np.uint64(mix(seed, epoch))
    with np.errstate(over="ignore"):
        z = state + np.uint64(_GAMMA) + rows.cpu().numpy().astype(np.uint64)
        z = _finalise_array(z)[:, None] + np.uint64(_GAMMA) * np.arange(1, num + 1, dtype=np.uint64)
        bits = _finalise_array(z) >> np.uint64(40)  # 24 bits: what a float32 in [0, 1) holds exactly
    return torch.from_numpy(bits.astype(np.float32) * np.float32(2**-24))


def _finalise_array(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seed_everything_here(seed: int) -> None:
    """Seeds the CPU generators of torch, NumPy and random in this process; `torch.manual_seed` would reach CUDA."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)


@contextmanager
def isolated_generators(device: torch.device | None = None) -> Iterator[None]:
    """What happens inside leaves the global generators of torch, NumPy and random as they were.

    device: a CUDA device whose generator is kept as well.
    """
    cuda = torch.cuda.default_generators[device.index or 0] if device is not None and device.type == "cuda" else None
    cuda_state = cuda.get_state() if cuda is not None else None
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()
    python_state = random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if cuda is not None and cuda_state is not None:
            cuda.set_state(cuda_state)
