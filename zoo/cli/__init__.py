"""The command line: zoo list, info, options, list-parts, train, resume, evaluate, predict, explain, compare, demo, ...

Each command imports what it needs when it runs, so that `zoo list` starts without torch.
"""

from zoo.cli import batch_size, catalogue, comparing, ensembling, finding, options, parts, runs, searching
from zoo.cli.app import app, main

__all__ = [
    "app",
    "batch_size",
    "catalogue",
    "comparing",
    "ensembling",
    "finding",
    "main",
    "options",
    "parts",
    "runs",
    "searching",
]
