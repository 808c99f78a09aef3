"""The segmentation models and their task, as data: importing this file imports no torch."""

from collections.abc import Mapping
from typing import Any

from zoo.records import Entry, ImagePreprocessing, Paper, TaskEntry

UNET = Paper(
    title="U-Net: convolutional networks for biomedical image segmentation",
    authors="Ronneberger, Fischer and Brox",
    year=2015,
    id="arXiv:1505.04597",
)
TERNAUSNET = Paper(
    title="TernausNet: U-Net with VGG11 encoder pre-trained on ImageNet for image segmentation",
    authors="Iglovikov and Shvets",
    year=2018,
    id="arXiv:1801.05746",
)

CROP = (256, 256)  # pixels, of training crops
IMAGENET = ImagePreprocessing(size=CROP, resize=256)
SYMMETRIC = ImagePreprocessing(size=CROP, resize=256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

# The paper trains with a batch of one large tile and a momentum of 0.99 in place of a larger batch, and states no rate.
# AdamW wants a low one, since there is no norm.
PAPER_RECIPE: Mapping[str, Any] = {"batch_size": 1, "lr": 1e-4}


def _with_encoder(
    encoder: str, num_params: int, summary: str, *, preprocessing: ImagePreprocessing = IMAGENET
) -> Entry:
    """A row of the table: a U-Net on an encoder of the zoo."""
    return Entry(
        name=f"unet_{encoder}",
        task="vision/segmentation",
        builder="vision.segmentation.encoder_unet:EncoderUNet",
        summary=summary,
        paper=TERNAUSNET,
        num_params=num_params,
        input_shape=(3, *CROP),
        config={"encoder": encoder},
        preprocessing=preprocessing,
        weight_arguments={"encoder_weights": "default"},
    )


MODELS: tuple[Entry, ...] = (
    Entry(
        name="unet",
        task="vision/segmentation",
        builder="vision.segmentation.unet:UNet",
        summary="As in 2015: convolutions without padding, tiles of 572 pixels to 388",
        paper=UNET,
        num_params=31_030_658,
        input_shape=(1, 572, 572),
        task_options={"loss": "cross_entropy", "tile": 572, "overlap": 0},
        recipe=PAPER_RECIPE,
    ),
    Entry(
        name="unet_padded",
        task="vision/segmentation",
        builder="vision.segmentation.unet:UNet",
        summary="The same widths with padding and batch norm: any size, and an output of the image's own size",
        paper=UNET,
        num_params=31_036_546,
        input_shape=(1, *CROP),
        config={"padding": "same", "norm": "batch"},
    ),
    _with_encoder("resnet18", 14_328_354, "U-Net on ResNet-18 with a light decoder"),
    _with_encoder("resnet34", 24_436_514, "U-Net on ResNet-34 with a light decoder"),
    _with_encoder("resnet50", 32_521_250, "U-Net on ResNet-50 with a light decoder"),
    _with_encoder(
        "efficientnet_lite0",
        7_822_306,
        "U-Net on EfficientNet-Lite0, for small devices",
        preprocessing=SYMMETRIC,
    ),
)

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="vision/segmentation",
        builder="vision.segmentation.task:Segmentation",
        reader="vision.data.masks:read_masks",
        summary="One class for each pixel, from a folder of images and a folder of masks of the same names.",
    ),
)
