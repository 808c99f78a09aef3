"""What keeps a model from learning its training rows by heart."""

from zoo.parts.table import PartTable

REGULARISERS = PartTable("regulariser")
