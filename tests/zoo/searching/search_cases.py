"""Small data and a model that the tests of searches share, in this process and in others."""

import numpy as np
import torch
from torch import nn

from zoo.data import Bundle

QUIET = {"progress": False, "accelerator": "cpu"}
SPACE = {"lr": "1e-3..1:log", "optimizer": ["adam", "sgd"], "batch_size": (8, 32)}


def new_bundle() -> Bundle:
    """60 rows of 5 numbers in 3 classes."""
    generator = np.random.default_rng(0)
    targets = np.arange(60) % 3
    inputs = generator.normal(size=(60, 5)).astype("float32")
    inputs[np.arange(60), targets] += 1.5
    return Bundle.from_arrays(inputs, targets, task="vision/classification", validation=0.4)


def new_model() -> nn.Module:
    """A perceptron of one hidden layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
