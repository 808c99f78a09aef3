"""Trained weights: where a file comes from, whether it is the right one, how it is read, and what fits the model.

Importing this package imports no torch; reading and loading do, when they are called.
"""

from zoo.weights.cache import CachedFile, cache_dir, cached_files, clear_cache
from zoo.weights.loading import LoadReport, load_weights
from zoo.weights.reading import read_state_dict
from zoo.weights.sources import is_offline, resolve

__all__ = [
    "CachedFile",
    "LoadReport",
    "cache_dir",
    "cached_files",
    "clear_cache",
    "is_offline",
    "load_weights",
    "read_state_dict",
    "resolve",
]
