"""What is fitted on the training rows and applied to all."""

from zoo.parts.table import PartTable

PREPROCESSING = PartTable("preprocessing")
