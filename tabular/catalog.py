"""Every table model and task of the zoo, as data: importing this file imports no torch."""

from tabular.prediction import catalog as prediction
from tabular.recommendation import catalog as recommendation
from zoo.records import Catalog

ROOMS = (prediction, recommendation)

CATALOG = Catalog(
    models=tuple(entry for room in ROOMS for entry in room.MODELS),
    tasks=tuple(task for room in ROOMS for task in room.TASKS),
)
