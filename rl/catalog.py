"""Every reinforcement-learning model and task of the zoo, as data: importing this file imports no torch."""

from rl.value_based import catalog as value_based
from zoo.records import Catalog

ROOMS = (value_based,)

CATALOG = Catalog(
    models=tuple(entry for room in ROOMS for entry in room.MODELS),
    tasks=tuple(task for room in ROOMS for task in room.TASKS),
)
