"""Search of the options of training: seeded, resumable, with bad trials ended early."""

from zoo.searching.search import search
from zoo.searching.space import Choice, Range, read_space
from zoo.searching.study import Search, Trial

__all__ = ["Choice", "Range", "Search", "Trial", "read_space", "search"]
