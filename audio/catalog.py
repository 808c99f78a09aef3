"""Every sound model and task of the zoo, as data: importing this file imports no torch."""

from audio.classification import catalog as classification
from audio.parts import VIEWS
from zoo.records import Catalog

ROOMS = (classification,)

CATALOG = Catalog(
    models=tuple(entry for room in ROOMS for entry in room.MODELS),
    tasks=tuple(task for room in ROOMS for task in room.TASKS),
    parts=(VIEWS,),
)
