"""The image classifiers of the zoo, as data: importing this file imports no torch."""

from collections.abc import Mapping
from typing import Any

from vision.weights import WEIGHTS
from zoo.records import Entry, ImagePreprocessing, Paper, TaskEntry

LENET = Paper(
    title="Gradient-based learning applied to document recognition",
    authors="LeCun et al.",
    year=1998,
    id="doi:10.1109/5.726791",
)
ALEXNET = Paper(
    title="One weird trick for parallelizing convolutional neural networks",
    authors="Krizhevsky",
    year=2014,
    id="arXiv:1404.5997",
)
VGG = Paper(
    title="Very deep convolutional networks for large-scale image recognition",
    authors="Simonyan and Zisserman",
    year=2014,
    id="arXiv:1409.1556",
)
ALL_CNN = Paper(
    title="Striving for simplicity: the all convolutional net",
    authors="Springenberg et al.",
    year=2014,
    id="arXiv:1412.6806",
)
RESNET = Paper(
    title="Deep residual learning for image recognition", authors="He et al.", year=2015, id="arXiv:1512.03385"
)
SENET = Paper(title="Squeeze-and-excitation networks", authors="Hu et al.", year=2017, id="arXiv:1709.01507")
GOOGLENET = Paper(title="Going deeper with convolutions", authors="Szegedy et al.", year=2014, id="arXiv:1409.4842")
INCEPTION_V3 = Paper(
    title="Rethinking the Inception architecture for computer vision",
    authors="Szegedy et al.",
    year=2015,
    id="arXiv:1512.00567",
)
DENSENET = Paper(
    title="Densely connected convolutional networks", authors="Huang et al.", year=2016, id="arXiv:1608.06993"
)
CAPSNET = Paper(
    title="Dynamic routing between capsules", authors="Sabour, Frosst and Hinton", year=2017, id="arXiv:1710.09829"
)
EFFICIENTNET = Paper(
    title="EfficientNet: rethinking model scaling for convolutional neural networks",
    authors="Tan and Le",
    year=2019,
    id="arXiv:1905.11946",
)

# -- Shapes of one sample: channels, height, width.
IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)
DIGIT = (1, 32, 32)

# -- Residual blocks in each of the four stages.
DEPTHS_18 = (2, 2, 2, 2)
DEPTHS_34 = DEPTHS_50 = (3, 4, 6, 3)
DEPTHS_101 = (3, 4, 23, 3)
DEPTHS_152 = (3, 8, 36, 3)

# -- Grey images on 0..1, the scale of the pixels that CapsNet's decoder draws.
PLAIN_28 = ImagePreprocessing(size=(28, 28), resize=28, mean=(0.0,), std=(1.0,))

DENSENET_CIFAR = {"num_classes": 10, "stem": "cifar"}


def _classifier(
    name: str,
    paper: Paper,
    builder: str,
    num_params: int,
    summary: str,
    *,
    config: Mapping[str, Any] | None = None,
    input_shape: tuple[int, ...] = IMAGENET,
    preprocessing: ImagePreprocessing | None = None,
    task_options: Mapping[str, Any] | None = None,
) -> Entry:
    """A row of the table: an image classifier whose builder is given relative to `vision.classification`."""
    return Entry(
        name=name,
        task="vision/classification",
        builder=f"vision.classification.{builder}",
        summary=summary,
        paper=paper,
        num_params=num_params,
        input_shape=input_shape,
        config=config or {},
        weights=WEIGHTS.get(name, ()),
        preprocessing=preprocessing,
        task_options=task_options or {},
    )


# fmt: off
MODELS: tuple[Entry, ...] = (
    # -- Plain CNN, LeNet, AlexNet
    _classifier("cnn_linear", ALL_CNN, "cnn:CNN", 1_370_986, "Plain CNN with batch norm: pool, then a linear layer",
                input_shape=CIFAR),
    _classifier("cnn_conv", ALL_CNN, "cnn:CNN", 1_370_986, "Plain CNN with batch norm: a 1 x 1 convolution, then pool",
                config={"head": "conv"}, input_shape=CIFAR),
    _classifier("all_cnn_c", ALL_CNN, "cnn:CNN", 1_369_738, "Convolutions only, without batch norm, as in the paper",
                config={"head": "conv", "norm": "none", "input_dropout": 0.2, "dropout": 0.5}, input_shape=CIFAR),
    _classifier("lenet5", LENET, "lenet:LeNet5", 60_000, "Digits of 32 x 32 pixels, as in 1998", input_shape=DIGIT),
    _classifier("alexnet", ALEXNET, "alexnet:AlexNet", 61_100_840, "Five convolutions, three wide linear layers"),
    # -- VGG
    _classifier("vgg11", VGG, "vgg:VGG", 132_863_336, "11 layers, 3 x 3 convolutions", config={"depth": 11}),
    _classifier("vgg11_bn", VGG, "vgg:VGG", 132_868_840, "VGG-11 with batch norm",
                config={"depth": 11, "norm": "batch"}),
    _classifier("vgg13", VGG, "vgg:VGG", 133_047_848, "13 layers, 3 x 3 convolutions", config={"depth": 13}),
    _classifier("vgg13_bn", VGG, "vgg:VGG", 133_053_736, "VGG-13 with batch norm",
                config={"depth": 13, "norm": "batch"}),
    _classifier("vgg16", VGG, "vgg:VGG", 138_357_544, "16 layers, 3 x 3 convolutions", config={"depth": 16}),
    _classifier("vgg16_bn", VGG, "vgg:VGG", 138_365_992, "VGG-16 with batch norm",
                config={"depth": 16, "norm": "batch"}),
    _classifier("vgg19", VGG, "vgg:VGG", 143_667_240, "19 layers, 3 x 3 convolutions", config={"depth": 19}),
    _classifier("vgg19_bn", VGG, "vgg:VGG", 143_678_248, "VGG-19 with batch norm",
                config={"depth": 19, "norm": "batch"}),
    # -- ResNet
    _classifier("resnet18", RESNET, "resnet:ResNet", 11_689_512, "18 layers of basic residual blocks",
                config={"block": "basic", "depths": DEPTHS_18}),
    _classifier("resnet34", RESNET, "resnet:ResNet", 21_797_672, "34 layers of basic residual blocks",
                config={"block": "basic", "depths": DEPTHS_34}),
    _classifier("resnet50", RESNET, "resnet:ResNet", 25_557_032, "50 layers of bottleneck residual blocks",
                config={"block": "bottleneck", "depths": DEPTHS_50}),
    _classifier("resnet101", RESNET, "resnet:ResNet", 44_549_160, "101 layers of bottleneck residual blocks",
                config={"block": "bottleneck", "depths": DEPTHS_101}),
    _classifier("resnet152", RESNET, "resnet:ResNet", 60_192_808, "152 layers of bottleneck residual blocks",
                config={"block": "bottleneck", "depths": DEPTHS_152}),
    # -- ResNet for 32 x 32 images, shortcuts of option A
    _classifier("resnet20_cifar", RESNET, "cifar_resnet:CifarResNet", 269_722, "20 layers for 32 x 32 images",
                config={"depth": 20}, input_shape=CIFAR),
    _classifier("resnet32_cifar", RESNET, "cifar_resnet:CifarResNet", 464_154, "32 layers for 32 x 32 images",
                config={"depth": 32}, input_shape=CIFAR),
    _classifier("resnet44_cifar", RESNET, "cifar_resnet:CifarResNet", 658_586, "44 layers for 32 x 32 images",
                config={"depth": 44}, input_shape=CIFAR),
    _classifier("resnet56_cifar", RESNET, "cifar_resnet:CifarResNet", 853_018, "56 layers for 32 x 32 images",
                config={"depth": 56}, input_shape=CIFAR),
    _classifier("resnet110_cifar", RESNET, "cifar_resnet:CifarResNet", 1_727_962, "110 layers for 32 x 32 images",
                config={"depth": 110}, input_shape=CIFAR),
    # -- ResNet with squeeze-and-excitation
    _classifier("seresnet18", SENET, "resnet:ResNet", 11_779_624, "ResNet-18 with squeeze-and-excitation",
                config={"block": "basic", "depths": DEPTHS_18, "attention": "se"}),
    _classifier("seresnet34", SENET, "resnet:ResNet", 21_960_416, "ResNet-34 with squeeze-and-excitation",
                config={"block": "basic", "depths": DEPTHS_34, "attention": "se"}),
    _classifier("seresnet50", SENET, "resnet:ResNet", 28_088_024, "ResNet-50 with squeeze-and-excitation",
                config={"block": "bottleneck", "depths": DEPTHS_50, "attention": "se"}),
    _classifier("seresnet101", SENET, "resnet:ResNet", 49_326_872, "ResNet-101 with squeeze-and-excitation",
                config={"block": "bottleneck", "depths": DEPTHS_101, "attention": "se"}),
    _classifier("seresnet152", SENET, "resnet:ResNet", 66_821_848, "ResNet-152 with squeeze-and-excitation",
                config={"block": "bottleneck", "depths": DEPTHS_152, "attention": "se"}),
    # -- GoogLeNet, Inception, DenseNet, CapsNet, EfficientNet-Lite
    _classifier("googlenet", GOOGLENET, "googlenet:GoogLeNet", 13_004_888,
                "Inception modules with batch norm and two auxiliary heads"),
    _classifier("inception_v3", INCEPTION_V3, "inception:InceptionV3", 27_161_264,
                "Inception modules with factored kernels and an auxiliary head", input_shape=(3, 299, 299)),
    _classifier("densenet121", DENSENET, "densenet:DenseNet", 7_978_856, "121 layers, each sees all before it",
                config={"growth_rate": 32, "depths": (6, 12, 24, 16), "stem_width": 64}),
    _classifier("densenet161", DENSENET, "densenet:DenseNet", 28_681_000, "161 layers, each sees all before it",
                config={"growth_rate": 48, "depths": (6, 12, 36, 24), "stem_width": 96}),
    _classifier("densenet169", DENSENET, "densenet:DenseNet", 14_149_480, "169 layers, each sees all before it",
                config={"growth_rate": 32, "depths": (6, 12, 32, 32), "stem_width": 64}),
    _classifier("densenet201", DENSENET, "densenet:DenseNet", 20_013_928, "201 layers, each sees all before it",
                config={"growth_rate": 32, "depths": (6, 12, 48, 32), "stem_width": 64}),
    _classifier("densenet40_k12_cifar", DENSENET, "densenet:DenseNet", 1_019_722,
                "40 plain layers for 32 x 32 images, 12 channels more with each", input_shape=CIFAR,
                config=DENSENET_CIFAR | {"growth_rate": 12, "depths": (12, 12, 12), "stem_width": 16,
                                         "bottleneck_factor": None, "compression": 1.0}),
    _classifier("densenet_bc100_k12_cifar", DENSENET, "densenet:DenseNet", 769_162,
                "100 layers with bottlenecks for 32 x 32 images, growth 12", input_shape=CIFAR,
                config=DENSENET_CIFAR | {"growth_rate": 12, "depths": (16, 16, 16), "stem_width": 24}),
    _classifier("densenet_bc250_k24_cifar", DENSENET, "densenet:DenseNet", 15_324_406,
                "250 layers with bottlenecks for 32 x 32 images, growth 24", input_shape=CIFAR,
                config=DENSENET_CIFAR | {"growth_rate": 24, "depths": (41, 41, 41), "stem_width": 48}),
    _classifier("densenet_bc190_k40_cifar", DENSENET, "densenet:DenseNet", 25_624_430,
                "190 layers with bottlenecks for 32 x 32 images, growth 40", input_shape=CIFAR,
                config=DENSENET_CIFAR | {"growth_rate": 40, "depths": (31, 31, 31), "stem_width": 80}),
    _classifier("capsnet", CAPSNET, "capsnet:CapsNet", 8_215_568,
                "Capsules with dynamic routing, and a decoder; few classes need a rate near 1e-4",
                input_shape=(1, 28, 28), preprocessing=PLAIN_28,
                task_options={"losses": "vision.classification.capsnet:capsule_losses"}),
    _classifier("efficientnet_lite0", EFFICIENTNET, "efficientnet_lite:EfficientNetLite", 4_652_008,
                "For small devices: inverted residuals with ReLU6", config={"width": 1.0, "depth": 1.0}),
    _classifier("efficientnet_lite1", EFFICIENTNET, "efficientnet_lite:EfficientNetLite", 5_416_680,
                "EfficientNet-Lite0, deeper", config={"width": 1.0, "depth": 1.1}, input_shape=(3, 240, 240)),
    _classifier("efficientnet_lite2", EFFICIENTNET, "efficientnet_lite:EfficientNetLite", 6_092_072,
                "EfficientNet-Lite0, 1.1 times as wide and 1.2 as deep",
                config={"width": 1.1, "depth": 1.2, "dropout": 0.3}, input_shape=(3, 260, 260)),
    _classifier("efficientnet_lite3", EFFICIENTNET, "efficientnet_lite:EfficientNetLite", 8_197_096,
                "EfficientNet-Lite0, 1.2 times as wide and 1.4 as deep",
                config={"width": 1.2, "depth": 1.4, "dropout": 0.3}, input_shape=(3, 280, 280)),
    _classifier("efficientnet_lite4", EFFICIENTNET, "efficientnet_lite:EfficientNetLite", 13_006_568,
                "EfficientNet-Lite0, 1.4 times as wide and 1.8 as deep",
                config={"width": 1.4, "depth": 1.8, "dropout": 0.3}, input_shape=(3, 300, 300)),
)
# fmt: on

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="vision/classification",
        builder="vision.classification.task:ImageClassification",
        reader="vision.data.folder:read_images",
        summary="One class for each image, from a folder with a sub-folder per class or a table of paths.",
    ),
)
