"""Training, validation and test data with what a model must know about them."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from zoo.data.datasets import DatasetSource
from zoo.data.sources import ArraySource, Augmentation, Source, Transform, as_tensor
from zoo.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    random_split,
    split_fractions,
    stratified_split,
)
from zoo.data.subsets import known_targets, unaugmented
from zoo.data.targets import Kind, check_classes, encode_targets
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.data.preprocessing import Fitted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The data of one problem.

    task:          name of the task, "vision/classification"; the kind itself where no domain is known.
    kind:          None where the targets are neither one class nor numbers (boxes, masks).
    classes:       names in the order of the outputs; None for regression.
    input_shape:   of one input as the model gets it, without the batch dimension.
    preprocessing: how a raw input becomes a row of the sources, for predicting on new ones.
    skipped:       (file, reason) of what was left out on reading.
    origin:        arguments that make the task's reader build this bundle again from disk, fit for JSON; empty for
                   data from memory.
    fingerprint:   hash of what the data are; changes with them.
    groups:        by part the group of each row [N], int64, where the data say which rows belong together.
    fitted:        what was fitted to the training rows and prepares the rows of all parts: `zoo.data.preprocessing`.
    class_weights: of the classes in the loss of a task built for these data; None where it has none of its own.
    changes:       what was done to the bundle after it was read, in order and fit for JSON: `zoo.data.changes`.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None
    task: str
    kind: Kind | None
    classes: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] = ()
    preprocessing: Any = None
    skipped: tuple[tuple[str, str], ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    fitted: "Fitted | None" = None
    class_weights: tuple[float, ...] | None = None
    changes: tuple[Mapping[str, Any], ...] = ()

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None for regression."""
        return None if self.classes is None else len(self.classes)

    @property
    def parts(self) -> dict[str, Source]:
        """The parts that exist, by name."""
        parts = {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}
        return {name: source for name, source in parts.items() if source is not None}

    @staticmethod
    def from_arrays(
        inputs: Any,
        targets: Any,
        *,
        task: str | None = None,
        classes: Sequence[str] | None = None,
        validation: float | tuple[Any, Any] = 0.2,
        test: float | tuple[Any, Any] = 0.0,
        seed: int = 0,
        transform: Transform | None = None,
        augment: Augmentation | None = None,
        preprocessing: Any = None,
    ) -> "Bundle":
        """A bundle of arrays in memory.

        inputs:     tensor or array [N, ...]; float64 becomes float32.
        targets:    [N] integers, booleans or strings for classification, [N] or [N, T] floating point for regression.
        classes:    names of the classes 0, 1, ...; for string targets, their order. None: the sorted values.
        validation: share of the rows, or arrays (inputs, targets). The same for `test`. Shares are split off `inputs`,
                    stratified by class.
        transform:  inputs [B, ...] to inputs [B, ...], for all parts.
        augment:    random changes before it, for the training part only.
        Raises:     DataError for lengths that differ, no rows, one class only, targets that are not finite, and a
                    class that is not among those trained on.
        """
        features, (kind, codes, names) = _features(inputs), encode_targets(targets, classes)
        _check_lengths(features, codes, "inputs")
        given = {name: part for name, part in ((VALIDATION, validation), (TEST, test)) if isinstance(part, tuple)}
        shares = {
            name: part for name, part in ((VALIDATION, validation), (TEST, test)) if isinstance(part, int | float)
        }
        rows = _split(len(codes), codes, kind, shares, seed, names)
        parts = {name: (features[index], codes[index]) for name, index in rows.items()}
        for name, part in given.items():
            parts[name] = _given_part(name, part, kind, names, numbered=classes is not None)
        check_classes({name: part[1] for name, part in parts.items()}, kind, names)
        sources: dict[str, Source] = {
            name: ArraySource(*part, transform=transform, augment=augment if name == TRAIN else None)
            for name, part in parts.items()
        }
        digest = fingerprint_of(*(tensor for name in sorted(parts) for tensor in parts[name]), names)
        return _assembled(sources, task, kind, names, preprocessing, digest)

    @staticmethod
    def from_dataset(
        train: Any,
        validation: Any = None,
        test: Any = None,
        *,
        task: str | None = None,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        num_workers: int = 0,
        transform: Transform | None = None,
        preprocessing: Any = None,
    ) -> "Bundle":
        """A bundle of map-style torch Datasets that give (input, target).

        validation: a Dataset, a share of `train` to split off, or None. The same for `test`. What is split off comes
                    from the dataset's own `unaugmented()`, if it has that.
        classes:    names in the order of the outputs; None: the dataset's own `classes`, else the numbers.
        transform:  inputs [B, ...] to inputs [B, ...] on whole batches, for all parts.
        Raises:     DataError as from_arrays. The fingerprint covers the targets and lengths, not the inputs.
        """
        datasets = {TRAIN: train, VALIDATION: validation, TEST: test}
        shares = {name: part for name, part in datasets.items() if isinstance(part, int | float)}
        known = {name: part for name, part in datasets.items() if part is not None and name not in shares}
        if TRAIN not in known:
            raise DataError(f"A Dataset to train on is needed, got {train!r}.")

        def source(dataset: Any) -> DatasetSource:
            return DatasetSource(dataset, num_workers=num_workers, transform=transform)

        sources: dict[str, Source] = {name: source(dataset) for name, dataset in known.items()}
        kind, targets = _dataset_targets(sources)
        names = _dataset_classes(train, targets, classes) if kind == "classification" else None
        if any(shares.values()):
            codes = targets.get(TRAIN)
            for name, rows in _split(len(train), codes, kind, shares, seed, names).items():
                part = Subset(train, rows.tolist())
                sources[name] = source(part if name == TRAIN else unaugmented(part))
                if codes is not None:
                    targets[name] = codes[rows]
        check_classes(targets, kind, names)
        digest = fingerprint_of(
            *(value for name in sorted(sources) for value in (len(sources[name]), targets.get(name))), names
        )
        names = names or (tuple(classes) if classes is not None else None)
        return _assembled(sources, task, kind, names, preprocessing, digest)


def _assembled(
    sources: Mapping[str, Source],
    task: str | None,
    kind: Kind | None,
    names: tuple[str, ...] | None,
    preprocessing: Any,
    fingerprint: str,
) -> Bundle:
    sample = sources[TRAIN][0][0]
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=task or kind or "custom",
        kind=kind,
        classes=names,
        input_shape=tuple(sample.shape) if isinstance(sample, Tensor) else (),
        preprocessing=preprocessing,
        fingerprint=fingerprint,
    )


def _split(
    num_rows: int,
    codes: Tensor | None,
    kind: Kind | None,
    shares: Mapping[str, float],
    seed: int,
    names: Sequence[str] | None,
) -> dict[str, Any]:
    """Part names to their rows; train alone gets a slice, which copies nothing."""
    fractions = split_fractions(validation=shares.get(VALIDATION, 0.0), test=shares.get(TEST, 0.0))
    if len(fractions) == 1:
        return {TRAIN: slice(None)}
    if kind == "classification" and codes is not None:
        return dict(stratified_split(codes.cpu(), fractions=fractions, seed=seed, names=names))
    return dict(random_split(num_rows, fractions=fractions, seed=seed))


def _features(inputs: Any) -> Tensor:
    tensor = as_tensor(inputs if isinstance(inputs, Tensor | np.ndarray) else np.asarray(inputs))
    if tensor.dim() == 0 or len(tensor) == 0:
        raise DataError("There are no rows: the inputs are empty.")
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _check_lengths(inputs: Tensor, targets: Tensor, name: str) -> None:
    if len(inputs) != len(targets):
        raise DataError(f"{len(inputs)} rows of {name} do not go with {len(targets)} targets.")


def _given_part(
    name: str, part: tuple[Any, Any], kind: Kind, names: tuple[str, ...] | None, *, numbered: bool
) -> tuple[Tensor, Tensor]:
    """`numbered`: integer targets are codes of the classes; else they are the values that the names are made of."""
    if len(part) != 2:
        raise DataError(f"{name} must be a share or (inputs, targets), got a tuple of {len(part)}.")
    features, targets = _features(part[0]), part[1]
    if names is not None and not numbered:
        values = targets.detach().cpu().numpy() if isinstance(targets, Tensor) else np.asarray(targets)
        targets = values.astype(str) if values.dtype.kind in "biu" else targets
    found, codes, _ = encode_targets(targets, names, part=name)
    if found != kind:
        raise DataError(f"The targets of {name} are for {found}, those of train for {kind}.")
    _check_lengths(features, codes, f"{name} inputs")
    return features, codes


def _dataset_targets(sources: Mapping[str, Source]) -> tuple[Kind | None, dict[str, Tensor]]:
    """The kind of the problem and the targets of each part, none if they are neither classes nor numbers."""
    sample = sources[TRAIN][0]
    numbers = Tensor | np.ndarray | np.generic | int | float
    if len(sample) < 2 or not isinstance(sample[-1], numbers):
        return None, {}
    target = torch.as_tensor(sample[-1])
    if target.dim() > 1 or (target.dim() == 1 and not target.is_floating_point()):
        return None, {}
    for name, source in sources.items():
        if isinstance(source, DatasetSource) and known_targets(source.dataset) is None:
            logger.info("Reading all %d samples of %s once for their targets.", len(source), name)
    targets = {name: source.targets() for name, source in sources.items()}
    if target.is_floating_point():
        for name, values in targets.items():
            encode_targets(values, None, part=name)  # for its checks
        return "regression", targets
    return "classification", {name: codes.long() for name, codes in targets.items()}


def _dataset_classes(train: Any, targets: Mapping[str, Tensor], classes: Sequence[str] | None) -> tuple[str, ...]:
    own = classes if classes is not None else getattr(train, "classes", None)
    if own is not None:
        return tuple(str(name) for name in own)
    return tuple(str(code) for code in range(int(targets[TRAIN].max()) + 1))


def fingerprint_of(*values: Any) -> str:
    """SHA-256 over the content, shape and type of tensors and the text of everything else."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            digest.update(f"{array.dtype}{list(array.shape)}".encode())
            digest.update(array.flatten().view(torch.uint8).numpy().data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()
