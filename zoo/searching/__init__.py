"""Search of the options of training: seeded, resumable, with bad trials ended early."""

from zoo.searching.space import Choice, Range, read_space
from zoo.searching.study import Search, Trial
from zoo.searching.trials import search

__all__ = ["Choice", "Range", "Search", "Trial", "read_space", "search"]
