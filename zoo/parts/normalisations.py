"""The normalisation layers: functions of a number of channels."""

from zoo.parts.table import PartTable

NORMALISATIONS = PartTable("normalisation")
