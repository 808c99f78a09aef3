"""Torch Datasets as people have them: what they say of their targets, their rows without random changes, and some of
their rows or those of two together.

Shapes: N rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from zoo.errors import DataError


class PlainSubset(Subset[Any]):
    """Rows without random changes, which remembers the dataset that makes the changes.

    augmented: the dataset whose `unaugmented()` the rows come from.
    """

    def __init__(self, augmented: Any, plain: Any, indices: Sequence[int]) -> None:
        super().__init__(plain, indices)
        self.augmented = augmented


def part_of(dataset: Any, rows: Sequence[int]) -> Subset[Any]:
    """Some rows of a dataset, in the order given; of what a part is of, if it is one itself."""
    if type(dataset) is Subset:
        return Subset(dataset.dataset, [dataset.indices[row] for row in rows])
    return Subset(dataset, rows)


def unaugmented(dataset: Any) -> Any:
    """What a dataset's own `unaugmented()` gives, inside a Subset too; the dataset itself if it has none."""
    if isinstance(dataset, Subset):
        plain = unaugmented(dataset.dataset)
        return dataset if plain is dataset.dataset else PlainSubset(dataset.dataset, plain, dataset.indices)
    own = getattr(dataset, "unaugmented", None)
    return dataset if own is None else own()


def whole_dataset(source: Any) -> Any:
    """The dataset that a source reads, also below parts of it and draws from it; None for a source without one."""
    dataset = getattr(getattr(source, "source", source), "dataset", None)
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def known_targets(dataset: Any) -> Tensor | None:
    """The targets [N, ...] that a dataset holds as `targets` or `labels`, or None; those of torch's own kinds too."""
    if isinstance(dataset, Subset):
        known = known_targets(dataset.dataset)
        return None if known is None else known[torch.as_tensor(dataset.indices)]
    if isinstance(dataset, ConcatDataset):
        each = [known_targets(part) for part in dataset.datasets]
        found = [targets for targets in each if targets is not None]
        return torch.cat(found) if len(found) == len(each) else None
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[-1] if len(dataset.tensors) > 1 else None
    for name in ("targets", "labels"):
        values = getattr(dataset, name, None)
        if isinstance(values, Tensor):
            return values if len(values) == len(dataset) else None
        if isinstance(values, np.ndarray | list | tuple) and len(values) == len(dataset):
            array = np.asarray(values)
            return torch.from_numpy(array) if array.dtype.kind in "biuf" else None
    return None


def joined_datasets(first: Any, second: Any) -> Any:
    """The rows of `first` and then those of `second`, all changed at random as `first` changes its own.

    A dataset that changes its rows must have a method `joined(other)`, unless both are parts of one dataset.
    Raises: DataError where the rows of `second` could not be changed as those of `first`.
    """
    if isinstance(first, Subset) and isinstance(second, Subset) and _whole(first) is _whole(second):
        return Subset(_whole(first), [*first.indices, *second.indices])
    own = getattr(first, "joined", None)
    if own is not None and type(first) is type(second):
        return own(second)
    if unaugmented(first) is not first:
        raise DataError(
            f"The rows of {type(second).__name__} cannot be changed at random as those of {type(first).__name__} are, "
            "so the validation part cannot be trained on. Give the dataset a method joined(other), or read the data "
            "with validation=0."
        )
    return ConcatDataset([first, second])


def _whole(part: Subset[Any]) -> Any:
    """The dataset that a part is of, with its random changes."""
    return part.augmented if isinstance(part, PlainSubset) else part.dataset
