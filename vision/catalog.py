"""Every vision model and task of the zoo, as data: importing this file imports no torch."""

from vision.classification import catalog as classification
from vision.detection import catalog as detection
from vision.generation import catalog as generation
from vision.parts import AUGMENTATIONS, MASK_VIEWS, METRICS, VIEWS
from vision.segmentation import catalog as segmentation
from zoo.records import Catalog

ROOMS = (classification, detection, segmentation, generation)

CATALOG = Catalog(
    models=tuple(entry for room in ROOMS for entry in room.MODELS),
    tasks=tuple(task for room in ROOMS for task in room.TASKS),
    demos={"vision": "vision.examples.demo:run"},
    parts=(AUGMENTATIONS, METRICS, VIEWS, MASK_VIEWS),
)
