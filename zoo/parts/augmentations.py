"""Random changes of training rows, of single ones or of whole batches."""

from zoo.parts.table import PartTable

AUGMENTATIONS = PartTable("augmentation")
