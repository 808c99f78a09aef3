"""Files of tensors to state dicts, without running any code that a file may hold.

A pickle can call any function while it is read, so that only safetensors and PyTorch's `weights_only` reader are
used. The kind of a file is told from its first bytes, not from its name.
"""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger("zoo.weights")

CONTAINER_KEYS = ("state_dict", "model_state", "model_state_dict", "model", "weights")
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and DDP, of torch.compile
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"  # torch.save before PyTorch 1.6
MAX_NESTING = 4


def read_state_dict(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of a .safetensors, .pth, .pt or .bin file by name, on the CPU.

    The usual containers ({"state_dict": ...}, {"model": ...}) and the prefixes of DataParallel and torch.compile are
    taken off. Tensors may be views of the file: they are read when used, and writing to them leaves the file alone.

    Raises: WeightsError if the file is missing, damaged, of another kind, or would have to run code to be read.
    """
    path = Path(path)
    if path.is_dir():
        raise WeightsError(f"{path} is a directory. Pass the path of a .safetensors or .pth file in it.")
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Pass the path of a .safetensors or .pth file.")
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise WeightsError(f"{path} is empty. Download or copy it again.")
    if head[8:9] == b"{":
        return _bare_names(_read_safetensors(path))
    if head.startswith(ZIP_MAGIC) or head.startswith(PICKLE_MAGIC):
        return _bare_names(_unwrap(_read_pickle(path, mapped=head.startswith(ZIP_MAGIC)), path))
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a pointer of Git LFS, not the file itself. Fetch it with `git lfs pull`.")
    raise WeightsError(
        f"{path} is not a file of weights: it begins with {head[:16]!r}. "
        "Expected safetensors, or what torch.save wrote."
    )


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path, *, mapped: bool) -> Any:
    """What torch.save wrote, read with the reader that builds tensors and plain containers only."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise _damaged(path, error) from error
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{path} was not loaded: it asks to run code while it is read, which a file of weights has no need of. "
            f"The reader said: {reason or error!r} If you trust where it comes from, load it with "
            "torch.load(path, weights_only=False) in a place where it can do no harm, save its state dict with "
            "safetensors.torch.save_file, and pass that file."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if "TorchScript" in str(error):
            raise WeightsError(
                f"{path} is a TorchScript program, not a file of weights, and was not loaded. Where you trust it, save "
                "torch.jit.load(path).state_dict() with safetensors.torch.save_file, and pass that file."
            ) from error
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).partition("\n")[0] or repr(error)
    return WeightsError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged or incomplete: {reason}. Download or copy it again."
    )


def _unwrap(content: Any, path: Path) -> "dict[str, Tensor]":
    """The mapping of names to tensors inside the containers that training scripts write."""
    from torch import Tensor

    for _ in range(MAX_NESTING):
        inner = [content[key] for key in CONTAINER_KEYS if key in content] if isinstance(content, Mapping) else []
        inner = [value for value in inner if isinstance(value, Mapping)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds {_kind(content)}, not tensors by name. Save model.state_dict() in its place.")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        names = ", ".join(map(str, list(content)[:6])) or "nothing"
        raise WeightsError(f"{path} holds no tensors by name; it holds: {names}. Save model.state_dict() in its place.")
    if len(tensors) < len(content):
        others = [str(name) for name in content if name not in tensors]
        logger.warning("%s: not tensors, and left out: %s", path, ", ".join(others))
    return tensors


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"an object of the type {name}"


def _bare_names(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """The same tensors without the prefixes that wrappers put before every name."""
    for prefix in WRAPPER_PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
