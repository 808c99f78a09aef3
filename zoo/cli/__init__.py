"""The command line: zoo list, info, options, list-parts, train, resume, evaluate, predict, explain, compare, demo, ...

Each command imports what it needs when it runs, so that `zoo list` starts without torch.
"""

from zoo.cli import catalogue, comparing, options, parts, runs
from zoo.cli.app import app, main

__all__ = ["app", "catalogue", "comparing", "main", "options", "parts", "runs"]
