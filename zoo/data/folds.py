"""The folds of a bundle: for each, a bundle that validates on the fold and trains on the rest.

Shapes: N rows, k folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, overload

import torch
from torch import Tensor

from zoo.data.bundle import Bundle, fingerprint_of
from zoo.data.kfolds import Fold, group_k_fold, k_fold, stratified_group_k_fold, stratified_k_fold
from zoo.data.sources import Source
from zoo.data.splits import TEST, TRAIN, VALIDATION, Column
from zoo.errors import DataError, check_name

FoldKind = Literal["random", "stratified", "group", "stratified_group"]


@dataclass(frozen=True, eq=False)
class Folds(Sequence[Bundle]):
    """A sequence of k bundles, each made when it is asked for, so that the rows are in memory twice at most.

    The rows of training and validation are numbered as they stand in `pool`: those of the bundle's training part in
    their order, then those of its validation part. The test part is that of the bundle in every fold.

    pool:  all N rows that are trained and validated on, with the random changes of training.
    parts: the rows of each fold's "train" and "validation" as numbers in the pool, ascending.
    how:   arguments of `fold` beside the index, by which each is made again; None where JSON does not hold them.
    """

    bundle: Bundle
    pool: Source
    parts: tuple[Fold, ...]
    how: Mapping[str, Any] | None = field(default=None)

    def __len__(self) -> int:
        return len(self.parts)

    @overload
    def __getitem__(self, index: int) -> Bundle: ...
    @overload
    def __getitem__(self, index: slice) -> list[Bundle]: ...
    def __getitem__(self, index: int | slice) -> Bundle | list[Bundle]:
        """The bundle of fold `index`."""
        numbers = range(len(self))[index]
        return self._fold(numbers) if isinstance(numbers, int) else [self._fold(number) for number in numbers]

    @property
    def rows(self) -> list[Tensor]:
        """The rows that each fold validates on, in the order of its validation part."""
        return [part[VALIDATION] for part in self.parts]

    def targets(self) -> Tensor:
        """The targets of the pool [N, ...]."""
        return self.pool.targets()

    def in_order(self, outputs: Sequence[Tensor]) -> Tensor:
        """What k models gave for the validation rows of their folds, in the order of the pool.

        outputs: of each fold [rows of the fold, ...], in the order of its validation part.
        Returns: [N, ...].
        Raises:  ValueError for another number of folds or rows.
        """
        rows = self.rows
        if [len(output) for output in outputs] != [len(row) for row in rows]:
            raise ValueError(
                f"Outputs for folds of {[len(row) for row in rows]} rows are needed, got "
                f"{[len(output) for output in outputs]}."
            )
        found = torch.empty(len(self.pool), *outputs[0].shape[1:], dtype=outputs[0].dtype, device=outputs[0].device)
        for row, output in zip(rows, outputs, strict=True):
            found[row.to(found.device)] = output
        return found

    def _fold(self, index: int) -> Bundle:
        part, bundle = self.parts[index], self.bundle
        train, held_out = select(self.pool, part[TRAIN]), select(self.pool, part[VALIDATION]).unaugmented()
        change = {"change": "fold", "index": index, **(self.how or {})}
        groups = {}
        if bundle.groups:
            pooled = _pooled_groups(bundle)
            groups = {name: pooled[rows] for name, rows in part.items()}
            groups |= {TEST: bundle.groups[TEST]} if TEST in bundle.groups else {}
        return replace(
            bundle, train=train, validation=held_out, groups=groups,
            origin={} if self.how is None else bundle.origin, changes=(*bundle.changes, change),
            fingerprint=bundle.fingerprint and fingerprint_of(bundle.fingerprint, part[TRAIN], part[VALIDATION]),
        )  # fmt: skip


def folds(
    bundle: Bundle, k: int, *, kind: FoldKind | None = None, seed: int = 0, groups: Column | None = None
) -> Folds:
    """Cuts the training and validation rows of a bundle into k folds; the test part stays as it is.

    What a reader fitted to the training rows, such as the vocabulary of texts or the scale of a column, stays too: it
    has seen the inputs of every fold, though not their targets.

    kind:    "stratified" by class, "random", "group" (whole groups in one fold), or "stratified_group"; None takes
             "stratified" for classes and "random" for all else.
    groups:  one for each row of the pool [N]: those of training, then those of validation. None: those of the bundle.
    Returns: a sequence of k bundles; its `rows` and `in_order` put predictions for them back into one order.
    Raises:  DataError naming a class with fewer rows than folds, for too few groups, for data without them, and for
             rows that cannot be dealt out.
    """
    kind = kind or ("stratified" if bundle.kind == "classification" else "random")
    check_name("kind of folds", kind, get_args(FoldKind))
    if any(change["change"] == "balance" for change in bundle.changes):
        raise DataError("The rows are balanced, and one could be in two folds: make the folds first, and balance each.")
    if bundle.fitted is not None:
        raise DataError(
            f"{bundle.fitted.name} was fitted to rows that folds would hold out: make the folds first, and fit each."
        )
    pool = bundle.train if bundle.validation is None else joined(bundle.train, bundle.validation)
    grouped = kind in ("group", "stratified_group")
    if groups is not None and not grouped:
        raise ValueError(f'groups are for the kinds "group" and "stratified_group"; this is {kind!r}.')
    how = {"k": k, "kind": kind, "seed": seed} if groups is None else None
    if not grouped:
        parts = _plain_parts(bundle, pool, k, kind, seed)
    else:
        members = _pooled_groups(bundle) if groups is None else groups
        if len(members) != len(pool):
            raise DataError(f"{len(pool)} rows to train and validate on need as many groups, got {len(members)}.")
        if kind == "group":
            parts = group_k_fold(members, k=k, seed=seed)
        else:
            codes = _classes(bundle, pool)
            parts = stratified_group_k_fold(codes, groups=members, k=k, seed=seed, names=bundle.classes)
    return Folds(bundle=bundle, pool=pool, parts=tuple(parts), how=how)


def fold(bundle: Bundle, *, index: int, k: int, kind: FoldKind, seed: int) -> Bundle:
    """The bundle of one fold of `folds`."""
    return folds(bundle, k, kind=kind, seed=seed)[index]


def fold_as_test(bundle: Bundle) -> Bundle:
    """A fold's bundle whose held-out rows are its test part, out of sight of training; its own test part is left out.

    Raises: DataError for a bundle without a validation part.
    """
    if bundle.validation is None:
        raise DataError("There is no validation part that could become the test part.")
    groups = {TRAIN: bundle.groups[TRAIN], TEST: bundle.groups[VALIDATION]} if bundle.groups else {}
    return replace(
        bundle, validation=None, test=bundle.validation, groups=groups,
        changes=(*bundle.changes, {"change": "fold_as_test"}),
    )  # fmt: skip


def select(source: Source, rows: Tensor) -> Source:
    """Some rows of a source, in the order given.

    Raises: DataError for a source that does not know how.
    """
    chosen = getattr(source, "select", None)
    if chosen is None:
        raise DataError(f"{type(source).__name__} cannot be cut into parts: it has no method select(rows).")
    found: Source = chosen(rows)
    return found


def joined(first: Source, second: Source) -> Source:
    """The rows of one source and then those of another, all in batches and changed at random as those of the first.

    Raises: DataError for sources that do not go together.
    """
    own = getattr(first, "joined", None)
    if own is None or type(first) is not type(second):
        raise DataError(
            f"The rows of {type(first).__name__} and {type(second).__name__} cannot be put together. Read the data "
            "with validation=0."
        )
    found: Source = own(second)
    return found


def _plain_parts(bundle: Bundle, pool: Source, k: int, kind: FoldKind, seed: int) -> list[Fold]:
    if kind == "random":
        return k_fold(len(pool), k=k, seed=seed)
    return stratified_k_fold(_classes(bundle, pool), k=k, seed=seed, names=bundle.classes)


def _classes(bundle: Bundle, pool: Source) -> Tensor:
    if bundle.kind != "classification":
        raise DataError(
            f"Folds with the classes' shares need one class a row, which the data of {bundle.task} have not; take the "
            'kind "random" or "group".'
        )
    return pool.targets()


def _pooled_groups(bundle: Bundle) -> Tensor:
    if not bundle.groups:
        raise DataError(
            "The data do not say which rows belong together: read them with group_column=, or pass groups= with one "
            "for each row."
        )
    return torch.cat([bundle.groups[name] for name in (TRAIN, VALIDATION) if name in bundle.groups])
