"""The detectors of the zoo, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry, Weights

FASTER_RCNN = Paper(
    title="Faster R-CNN: towards real-time object detection with region proposal networks",
    authors="Ren et al.",
    year=2015,
    id="arXiv:1506.01497",
)
BUILDER = "vision.detection.faster_rcnn:FasterRCNN"
# -- Lin et al. 2017, arXiv:1612.03144, section 5.1: 0.02 for 16 images at a time, here scaled to 4.
FPN_RECIPE = {
    "optimizer": "momentum", "lr": 0.005, "batch_size": 4, "weight_decay": 1e-4
}  # fmt: skip

FASTER_RCNN_COCO = Weights(
    tag="coco_v1",
    source="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    sha256="258fb6c6",
    licence="BSD-3-Clause (torchvision's; none is stated for the weights)",
    preprocessing=None,
    num_classes=90,
    labels="vision.detection.labels:coco",
    metrics={"box_map": 37.0},
    protocol="COCO val2017, one scale of 800 px; torchvision's reference training",
    key_conversion="vision.detection.faster_rcnn:from_torchvision",
)

MODELS: tuple[Entry, ...] = (
    Entry(
        name="faster_rcnn_resnet50_fpn",
        task="vision/detection",
        builder=BUILDER,
        summary="Two stages on a feature pyramid of ResNet-50; the usual strong baseline",
        paper=FASTER_RCNN,
        num_params=41_755_286,
        weights=(FASTER_RCNN_COCO,),
        weight_arguments={"backbone_weights": "default"},
        recipe=FPN_RECIPE,
    ),
    Entry(
        name="faster_rcnn_efficientnet_lite0_fpn",
        task="vision/detection",
        builder=BUILDER,
        summary="Two stages on a small pyramid of EfficientNet-Lite0 at 320 pixels, for CPUs",
        paper=FASTER_RCNN,
        num_params=20_422_582,
        config={
            "backbone": "efficientnet_lite0", "strides": (8, 16, 32), "anchor_sizes": (32, 64, 128, 256),
            "min_size": 320, "max_size": 640, "num_proposals": (500, 300), "box_samples": 128,
        },
        weight_arguments={"backbone_weights": "default"},
    ),
)  # fmt: skip

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="vision/detection",
        builder="vision.detection.task:Detection",
        reader="vision.data.boxes:read_boxes",
        summary="Boxes around things, with the class of each, from a Pascal VOC folder or COCO files.",
    ),
)
