"""Checkpoints that survive a kill at any instant, and the state of every random number generator."""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.errors import RunError

FORMAT = 1


def write_atomically(path: Path, write: Callable[[Path], None], *, flush: bool = True) -> None:
    """Lets `write` fill a temporary file beside `path`, flushes it to disk and renames it.

    A process killed at any instant leaves the old file or the new one, whole.
    flush: whether that holds when the machine loses power too; not needed for what can be derived again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        if flush:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if flush and os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a training state (tensors, numbers, strings and containers of them) atomically."""
    write_atomically(path, lambda temporary: torch.save({"format": FORMAT, **state}, temporary))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The training state at `path`, on the CPU, read without running any code in it.

    Raises: RunError if the file is missing, unreadable or of another format.
    """
    if not path.is_file():
        raise RunError(f"There is no checkpoint {path}. Was the run stopped before its first one was written?")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"The checkpoint {path} cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise RunError(f"{path} is not a training checkpoint of format {FORMAT}. Pass weights files as weights=.")
    return state


def save_weights(path: Path, model: torch.nn.Module, *, state: Mapping[str, torch.Tensor] | None = None) -> None:
    """Writes the weights of `model` as safetensors, atomically.

    state: of the model in whole tensors, where it holds only a part of them itself.
    """
    from safetensors.torch import save_file, save_model

    if state is None:
        write_atomically(path, lambda temporary: save_model(model, str(temporary)))
        return
    first: dict[int, str] = {}  # as save_model: of tensors with several names the first in the alphabet
    for name in sorted(state):
        first.setdefault(id(state[name]), name)
    held = {name: state[name].contiguous() for name in first.values()}
    others = {name: first[id(value)] for name, value in state.items() if name not in held}
    write_atomically(path, lambda temporary: save_file(held, temporary, metadata=others))


def random_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's global generators, as data that `torch.load` reads safely."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), cached],
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss],
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Puts the generators back to what `random_state` saw."""
    torch.set_rng_state(state["torch"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
