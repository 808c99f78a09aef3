"""Random changes of whole batches in training: rows mixed with other rows."""

from zoo.augmentation.mixing import CutMix, Mixed, Mixing, Mixup, make_mixing

__all__ = ["CutMix", "Mixed", "Mixing", "Mixup", "make_mixing"]
