"""The models of timm, torchvision, transformers and torchaudio behind one small interface.

Importing this package imports none of these libraries: each backend loads its own when it is first asked.
"""

import importlib

from zoo.backends.base import Backend
from zoo.errors import check_name

BACKENDS = {
    "timm": "zoo.backends.timm_backend:TimmBackend",
    "torchvision": "zoo.backends.torchvision_backend:TorchvisionBackend",
    "hf": "zoo.backends.hf_backend:TransformersBackend",
    "torchaudio": "zoo.backends.torchaudio_backend:TorchaudioBackend",
}

__all__ = ["BACKENDS", "Backend", "get_backend"]


def get_backend(prefix: str) -> Backend:
    """The backend whose model names start with "prefix:".

    Raises: UnknownNameError with the nearest prefixes if there is none.
    """
    check_name("backend", prefix, BACKENDS)
    module, _, name = BACKENDS[prefix].partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    return backend
