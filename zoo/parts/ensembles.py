"""Several models in place of one."""

from zoo.parts.table import PartTable

ENSEMBLES = PartTable("ensemble")
