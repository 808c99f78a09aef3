"""Data: sources of batches, seeded splits, and the bundle that holds them."""

from zoo.data.balancing import balance
from zoo.data.batches import batch_bounds, count_batches, epoch_order
from zoo.data.bundle import Bundle
from zoo.data.datasets import DatasetSource
from zoo.data.folds import Folds, folds
from zoo.data.leaks import Leak, check_leaks, find_leaks
from zoo.data.load import load_data
from zoo.data.preprocessing import Fitted, fit_preprocessing
from zoo.data.randomness import (
    isolated_generators,
    mix,
    row_uniforms,
    seed_everything_here,
)
from zoo.data.sources import ArraySource, Augmentation, Batch, Source
from zoo.data.splits import (
    column_split,
    group_split,
    make_split,
    random_split,
    split_fractions,
    stratified_split,
    time_split,
)
from zoo.data.targets import Kind
from zoo.parts.balancing import BALANCING
from zoo.parts.preprocessing import PREPROCESSING
from zoo.parts.splits import SPLITS

__all__ = [
    "BALANCING",
    "PREPROCESSING",
    "SPLITS",
    "ArraySource",
    "Augmentation",
    "Batch",
    "Bundle",
    "DatasetSource",
    "Fitted",
    "Folds",
    "Kind",
    "Leak",
    "Source",
    "balance",
    "batch_bounds",
    "check_leaks",
    "column_split",
    "count_batches",
    "epoch_order",
    "find_leaks",
    "fit_preprocessing",
    "folds",
    "group_split",
    "isolated_generators",
    "load_data",
    "make_split",
    "mix",
    "random_split",
    "row_uniforms",
    "seed_everything_here",
    "split_fractions",
    "stratified_split",
    "time_split",
]
