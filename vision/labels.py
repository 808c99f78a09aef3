"""Names of the classes that published weights answer with, in the order of their outputs."""

import functools


@functools.cache
def imagenet1k() -> tuple[str, ...]:
    """The 1,000 class names of ImageNet-1K as torchvision publishes them with its weights; some occur twice.

    Source: Russakovsky et al. 2015, arXiv:1409.0575.
    """
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
