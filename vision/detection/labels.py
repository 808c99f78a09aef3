"""Names of the classes that published detectors answer with, in the order of their numbers."""

import functools


@functools.cache
def coco() -> tuple[str, ...]:
    """The 90 numbers of COCO, counted from 0 and without the background; ten of them are of no class, "N/A".

    Source: Lin et al. 2014, arXiv:1405.0312; as torchvision publishes them with its weights.
    """
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    return tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:])
