"""How the weights of a model start."""

from zoo.parts.table import PartTable

INITIALISATIONS = PartTable("initialisation")
