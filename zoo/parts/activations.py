"""The activation functions: modules without learned weights."""

from zoo.parts.table import PartTable

ACTIVATIONS = PartTable("activation")
