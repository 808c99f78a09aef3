"""What is done about classes of unequal size."""

from zoo.parts.table import PartTable

BALANCING = PartTable("balancing")
