"""How rows are dealt out to training, validation and test, or to folds."""

from zoo.parts.table import PartTable

SPLITS = PartTable("split")
