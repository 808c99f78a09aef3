"""Building blocks that models of several papers share."""

from zoo.parts.table import PartTable

LAYERS = PartTable("layer")
