"""The parts of training and models that are had by name, each with its source. Importing this imports no torch."""

from zoo.parts.activations import ACTIVATIONS
from zoo.parts.augmentations import AUGMENTATIONS
from zoo.parts.balancing import BALANCING
from zoo.parts.ensembles import ENSEMBLES
from zoo.parts.initialisations import INITIALISATIONS
from zoo.parts.layers import LAYERS
from zoo.parts.losses import (
    ADVERSARIAL_LOSSES,
    BOX_LOSSES,
    CRITIC_PENALTIES,
    DISTILLATION_LOSSES,
    EMBEDDING_LOSSES,
    FEATURE_LOSSES,
    IMAGE_PRIORS,
    LOSSES,
    SEQUENCE_LOSSES,
)
from zoo.parts.metrics import METRICS
from zoo.parts.normalisations import NORMALISATIONS
from zoo.parts.optimizers import OPTIMIZERS
from zoo.parts.preprocessing import PREPROCESSING
from zoo.parts.regularisers import REGULARISERS
from zoo.parts.schedules import SCHEDULES
from zoo.parts.splits import SPLITS
from zoo.parts.table import Part, PartTable
from zoo.parts.training import SEARCHES, TRAINING_OPTIONS

CORE_TABLES: tuple[PartTable, ...] = (
    ACTIVATIONS,
    NORMALISATIONS,
    LAYERS,
    INITIALISATIONS,
    LOSSES,
    EMBEDDING_LOSSES,
    SEQUENCE_LOSSES,
    BOX_LOSSES,
    DISTILLATION_LOSSES,
    FEATURE_LOSSES,
    IMAGE_PRIORS,
    ADVERSARIAL_LOSSES,
    CRITIC_PENALTIES,
    METRICS,
    OPTIMIZERS,
    SCHEDULES,
    SPLITS,
    BALANCING,
    PREPROCESSING,
    AUGMENTATIONS,
    REGULARISERS,
    TRAINING_OPTIONS,
    ENSEMBLES,
    SEARCHES,
)

__all__ = ["CORE_TABLES", "Part", "PartTable"]
