"""Small data and models that the tests of ensembles share."""

import numpy as np
import torch
from torch import nn

from zoo.data import Bundle

QUIET = {"progress": False, "accelerator": "cpu"}


def classes_bundle(rows: int = 60, *, classes: int = 3, seed: int = 0, test: float = 0.2) -> Bundle:
    """Rows of 5 numbers in classes that a linear model tells apart, mostly."""
    generator = np.random.default_rng(seed)
    targets = np.arange(rows) % classes
    inputs = generator.normal(size=(rows, 5)).astype("float32")
    inputs[np.arange(rows), targets] += 1.5
    return Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.2, test=test)


def new_model(*, classes: int = 3, width: int = 8, seed: int = 0, norm: bool = False) -> nn.Module:
    """A small perceptron over 5 numbers, of weights that the seed draws."""
    torch.manual_seed(seed)
    middle = [nn.BatchNorm1d(width)] if norm else []
    return nn.Sequential(nn.Linear(5, width), *middle, nn.ReLU(), nn.Linear(width, classes))
