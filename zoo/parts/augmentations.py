"""Random changes of whole batches of training rows. Those of single rows are the domains' own."""

from zoo.parts.table import Part, PartTable

AUGMENTATIONS = PartTable(
    "augmentation",
    Part("both", "zoo.augmentation.mixing:MixupOrCutMix", "own", "mixup or CutMix, drawn evenly for each batch"),
    Part(
        "cutmix",
        "zoo.augmentation.mixing:CutMix",
        "Yun et al. 2019, arXiv:1905.04899, section 3.1",
        "images with a rectangle of other images, and the share of their classes",
    ),
    Part(
        "mixup",
        "zoo.augmentation.mixing:Mixup",
        "Zhang et al. 2017, arXiv:1710.09412, section 2",
        "weighted means of two rows, and of their classes' losses",
    ),
)
