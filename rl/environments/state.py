"""The state of an environment as plain data: what changes while it plays, read off it and its wrappers.

A pickle would hold more, but must run code to be read, which a checkpoint never may. So only numbers, texts, arrays,
lists of them, NumPy's generators and the memory of the Atari emulator are taken. Whether that is all of an environment
is for the caller to find out.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

GENERATOR = "_np_random"  # gymnasium's name for the environment's own generator
PLAIN = (bool, int, float, str, type(None))


def environment_state(environment: Any) -> list[dict[str, Any]]:
    """What the environment and each of its wrappers hold, from the outside in, fit for a checkpoint."""
    return [_state(layer) for layer in _layers(environment)]


def restore_environment(environment: Any, state: list[Mapping[str, Any]]) -> None:
    """Puts an environment of the same make back to where `environment_state` saw it; it must have been reset once."""
    for layer, held in zip(_layers(environment), state, strict=True):
        for name, value in held["values"].items():
            setattr(layer, name, _decoded(value))
        if held["random"] is not None:
            if vars(layer).get(GENERATOR) is None:  # gymnasium makes it when first used, or seeded
                setattr(layer, GENERATOR, np.random.default_rng())
            getattr(layer, GENERATOR).bit_generator.state = held["random"]
        if held["emulator"] is not None:
            from ale_py import ALEState

            memory = ALEState.__new__(ALEState)  # its state is set once, in place of a constructor
            memory.__setstate__(held["emulator"].numpy().tobytes())
            layer.restore_state(memory)


def _layers(environment: Any) -> Iterator[Any]:
    """The environment, what it wraps, and so on."""
    while environment is not None:
        yield environment
        environment = vars(environment).get("env")


def _state(layer: Any) -> dict[str, Any]:
    values = {name: _encoded(value) for name, value in vars(layer).items() if _is_plain(value)}
    generator = vars(layer).get(GENERATOR)
    random = generator.bit_generator.state if isinstance(generator, np.random.Generator) else None
    return {"values": values, "random": random, "emulator": _emulator_memory(layer)}


def _emulator_memory(layer: Any) -> torch.Tensor | None:
    """The whole state of an Atari game with its random numbers, as bytes; None for other environments."""
    if "ale" not in vars(layer) or not hasattr(layer, "clone_state"):
        return None
    memory = layer.clone_state(include_rng=True).__getstate__()
    return torch.frombuffer(bytearray(memory), dtype=torch.uint8)


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biuf"
    if isinstance(value, list | tuple | deque):
        return all(_is_plain(item) for item in value)
    return isinstance(value, PLAIN)


def _encoded(value: Any) -> Any:
    """As a checkpoint can hold it: arrays as tensors, containers with their kind."""
    if isinstance(value, np.generic):
        return {"kind": "scalar", "value": torch.from_numpy(np.array(value)).clone()}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "value": torch.from_numpy(np.ascontiguousarray(value)).clone()}
    if isinstance(value, list | tuple | deque):
        limit = value.maxlen if isinstance(value, deque) else None
        return {"kind": type(value).__name__, "value": [_encoded(item) for item in value], "maxlen": limit}
    return value


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind, held = value["kind"], value["value"]
    if kind == "array":
        return held.numpy().copy()
    if kind == "scalar":
        return held.numpy()[()]
    items = [_decoded(item) for item in held]
    if kind == "deque":
        return deque(items, maxlen=value["maxlen"])
    return tuple(items) if kind == "tuple" else items
