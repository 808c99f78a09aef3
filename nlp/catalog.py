"""Every language model and task of the zoo, as data: importing this file imports no torch."""

from nlp.classification import catalog as classification
from nlp.translation import catalog as translation
from zoo.records import Catalog

ROOMS = (classification, translation)

CATALOG = Catalog(
    models=tuple(entry for room in ROOMS for entry in room.MODELS),
    tasks=tuple(task for room in ROOMS for task in room.TASKS),
)
