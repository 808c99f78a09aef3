"""A domain model zoo organised by task: build, fine-tune, judge, explain and resume in one way.

Importing this package imports neither torch nor torchvision; each name below loads what it needs when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.registry import create_model, list_models, list_parts, model_info, register

if TYPE_CHECKING:
    from zoo.data import Bundle, load_data
    from zoo.ensembles import Ensemble, cross_validate
    from zoo.explanation import Explanation, explain
    from zoo.searching import search
    from zoo.training import RateCurve, Run, Trainer, find_batch_size, find_lr, fine_tune, load_run, train

__version__ = "0.1.0"

_LAZY = {
    "Bundle": "zoo.data",
    "Ensemble": "zoo.ensembles",
    "cross_validate": "zoo.ensembles",
    "search": "zoo.searching",
    "load_data": "zoo.data",
    "Explanation": "zoo.explanation",
    "explain": "zoo.explanation",
    "RateCurve": "zoo.training",
    "Run": "zoo.training",
    "Trainer": "zoo.training",
    "find_batch_size": "zoo.training",
    "find_lr": "zoo.training",
    "fine_tune": "zoo.training",
    "load_run": "zoo.training",
    "train": "zoo.training",
}

__all__ = [
    "Bundle",
    "Ensemble",
    "Explanation",
    "RateCurve",
    "Run",
    "Trainer",
    "ZooError",
    "create_model",
    "cross_validate",
    "explain",
    "find_batch_size",
    "find_lr",
    "fine_tune",
    "list_models",
    "list_parts",
    "load_data",
    "load_run",
    "model_info",
    "register",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
