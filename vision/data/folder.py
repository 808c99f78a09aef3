"""Folders, tables and arrays of labelled images to bundles for classification, and files to a network's input."""

import copy
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vision.data.arrays import read_npz
from vision.data.augment import ImageChanges, Names, Options, chosen_changes
from vision.data.checks import Inspection, inspect_files
from vision.data.idx import find_idx, read_idx_folder
from vision.data.jpeg import open_image
from vision.data.listing import IMAGES
from vision.data.transforms import Normalise, chosen_preprocessing, evaluation_crop, preprocessing_from
from zoo.data import Bundle, DatasetSource, split_fractions, stratified_split
from zoo.data.listing import Listing, Record, list_folder, list_table
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.data.targets import check_classes
from zoo.errors import DataError, check_name, nearest
from zoo.records import ImagePreprocessing

logger = logging.getLogger(__name__)

TASK = "vision/classification"
OnError = Literal["raise", "skip"]
SHOWN = 5  # files that an error lists


class ImageFiles(Dataset):
    """Image files and their classes: crops uint8 [C, h, w] and class numbers.

    changes: how training images are changed, by torch's generator; None gives the evaluation crop.
    """

    def __init__(
        self,
        paths: Sequence[str],
        targets: Tensor,
        *,
        preprocessing: ImagePreprocessing,
        changes: ImageChanges | None = None,
    ) -> None:
        self.paths = list(paths)
        self.targets = targets
        self.preprocessing = preprocessing
        self.changes = changes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = open_image(self.paths[index])
        if self.changes is None:
            crop = evaluation_crop(image, self.preprocessing)
        else:
            crop = self.changes.of_file(image, self.preprocessing)
        return crop, int(self.targets[index])

    def unaugmented(self) -> "ImageFiles":
        """The same files, as they are evaluated."""
        return ImageFiles(self.paths, self.targets, preprocessing=self.preprocessing)

    def joined(self, other: "ImageFiles") -> "ImageFiles":
        """These files and then those of `other`, all changed as these are."""
        found = copy.copy(self)
        found.paths = [*self.paths, *other.paths]
        found.targets = torch.cat([self.targets, other.targets])
        return found


def read_images(
    path: str | PathLike[str],
    *,
    preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    size: int | None = None,
    classes: Sequence[str] | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    augment: Names = "standard",
    augment_options: Options | None = None,
    on_error: OnError = "raise",
    num_workers: int = 0,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
) -> Bundle:
    """Labelled images to a bundle. `path` is one of

    - a folder with one sub-folder of images per class;
    - a folder with train/, val/ (or validation/) and test/, each with such class folders;
    - a .csv file with the columns path and label, and split if it is to decide; paths are relative to the file;
    - an .npz file with `images` [N, H, W] or [N, H, W, C] and `labels` [N], and `classes` and `split` [N] if wanted;
    - a folder with the IDX files of MNIST or its like: train-images-idx3-ubyte.gz and so on.

    preprocessing: of the weights that will be used, as a record or a mapping; None: what `input_shape` asks for, or
                   ImageNet's at 224 pixels.
    input_shape:   [C, H, W] of a model without weights.
    size:          height and width of the crop, pixels, in place of what `preprocessing` says.
    classes:       names in the order of the outputs, to fit a trained model; None: the names found, sorted.
    validation:    share of images to split off where the data do not name a validation part; `test` likewise.
    augment:       how training images are changed at random: "none", or a name or several of `zoo list-parts --kind
                   "image augmentation"`: "light" or "standard" first, which crop, mirror and recolour, then policies
                   such as "rand_augment", in the order in which they act.
    augment_options: of these names, such as {"rand_augment": {"magnitude": 5}}.
    on_error:      "raise" stops at files that are unusable; "skip" reads every file once beforehand, leaves the bad
                   ones out and reports them in `Bundle.skipped`.
    num_workers:   processes that read files during training.
    Returns:       a bundle whose `origin` gives the same bundle again by read_images(**origin), and whose
                   `fingerprint` tells whether the files have changed since: names, classes, sizes and last 4 KB.
    Raises:        DataError naming the file, folder or line at fault.
    """
    changes = chosen_changes(augment, augment_options)
    check_name("way to treat errors", on_error, ("raise", "skip"))
    record = chosen_preprocessing(preprocessing, input_shape=input_shape, size=size)
    split_fractions(validation=validation, test=test)  # for its checks
    root = Path(os.path.abspath(path))
    columns = {"path_column": path_column, "label_column": label_column, "split_column": split_column}
    options: dict[str, Any] = {"validation": validation, "test": test, "seed": seed}
    options["classes"] = None if classes is None else list(classes)
    reading: dict[str, Any] = {"on_error": on_error, "num_workers": num_workers}
    chosen = {
        "augment": augment if isinstance(augment, str) else list(augment),
        "augment_options": {name: _plain(given) for name, given in (augment_options or {}).items()},
    }
    origin = {"path": str(root), "preprocessing": _plain(asdict(record)), **options, **chosen, **reading, **columns}
    return _read(root, record, columns, reading, {**options, "changes": changes, "origin": origin})


def _read(
    root: Path,
    record: ImagePreprocessing,
    columns: Mapping[str, str],
    reading: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Bundle:
    """The bundle of whatever lies at `root`; `reading` is for files, and `options` for arrays as well."""
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {IMAGES.layout}")
    if root.suffix.lower() == ".npz":
        return read_npz(root, preprocessing=record, **options)
    if not root.is_dir() and root.suffix.lower() != ".csv":
        raise DataError(f"{root} is neither a folder nor a .csv or .npz file. {IMAGES.layout}")
    if root.is_dir() and find_idx(root):
        return read_idx_folder(root, preprocessing=record, **options)
    listing = list_folder(root, IMAGES) if root.is_dir() else list_table(root, **columns)
    return _bundle(listing, root, record, **reading, **options)


def read_inputs(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]], preprocessing: ImagePreprocessing | Mapping[str, Any]
) -> Tensor:
    """Image files to a network's input, float32 [B, C, h, w]; one path gives a batch of one.

    Raises: DataError naming a file that cannot be read.
    """
    names = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not names:
        raise DataError("There are no image files to read.")
    record = preprocessing_from(preprocessing)
    return Normalise(record)(torch.stack([evaluation_crop(open_image(name), record) for name in names]))


def _bundle(
    listing: Listing,
    root: Path,
    preprocessing: ImagePreprocessing,
    *,
    classes: Sequence[str] | None,
    validation: float,
    test: float,
    seed: int,
    changes: ImageChanges | None,
    on_error: OnError,
    num_workers: int,
    origin: Mapping[str, Any],
) -> Bundle:
    found = inspect_files([record.path for record in listing.records], decode=on_error == "skip")
    inspections = dict(zip(listing.records, found, strict=True))
    problems = list(listing.problems)
    problems += [(record.path, check.fault) for record, check in inspections.items() if check.fault is not None]
    records = [record for record, check in inspections.items() if check.fault is None]
    given = {record.part for record in records} - {None}
    fractions = split_fractions(
        validation=0.0 if VALIDATION in given else validation, test=0.0 if TEST in given else test
    )
    splittable = [record for record in records if record.part in (None, TRAIN)]
    names, faults = _classes(splittable, records, classes, several=len(fractions) > 1)
    faulty = {path for path, _ in faults}
    problems += faults
    if problems and on_error == "raise":
        raise DataError(_report(problems))
    for file, reason in problems:
        logger.warning("skipped: %s %s", file, reason)
    records = [record for record in records if record.path not in faulty]
    parts = _parts(records, names, fractions, seed)
    sources = _sources(parts, names, preprocessing, changes, num_workers)
    check_classes({part: source.targets() for part, source in sources.items()}, "classification", names)
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=TASK,
        kind="classification",
        classes=names,
        input_shape=(len(preprocessing.mean), *preprocessing.size),
        preprocessing=preprocessing,
        skipped=(*problems, *listing.ignored),
        origin=origin,
        fingerprint=_fingerprint(root, {record: inspections[record] for record in records}),
    )


def _sources(
    parts: Mapping[str, Sequence[Record]],
    names: Sequence[str],
    preprocessing: ImagePreprocessing,
    changes: ImageChanges | None,
    num_workers: int,
) -> dict[str, DatasetSource]:
    codes = {name: code for code, name in enumerate(names)}
    sources = {}
    for part, records in parts.items():
        files = ImageFiles(
            [record.path for record in records],
            torch.tensor([codes[record.label] for record in records], dtype=torch.int64),
            preprocessing=preprocessing,
            changes=changes if part == TRAIN else None,
        )
        sources[part] = DatasetSource(files, num_workers=num_workers, transform=Normalise(preprocessing))
    return sources


def _classes(
    splittable: Sequence[Record], records: Sequence[Record], classes: Sequence[str] | None, *, several: bool
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """The class names in the order of the outputs, and the files that cannot be used for their class's sake."""
    faults = []
    if classes is not None:
        known = set(classes)
        faults += [
            (
                record.path,
                f"is of the class {record.label!r}, which is not among those asked for. {nearest(record.label, known)}",
            )
            for record in records
            if record.label not in known
        ]
    counts = Counter(record.label for record in splittable)
    if several:
        faults += [
            (record.path, f"is the only image of the class {record.label!r}, which needs two to be split into parts")
            for record in splittable
            if counts[record.label] == 1 and (classes is None or record.label in known)
        ]
    if classes is not None:
        return tuple(classes), faults
    faulty = {path for path, _ in faults}
    return tuple(sorted({record.label for record in records if record.path not in faulty})), faults


def _parts(
    records: Sequence[Record], names: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, list[Record]]:
    """Records by part: as they say themselves, and by a stratified draw from those of train or of none."""
    splittable = [record for record in records if record.part in (None, TRAIN)]
    if not splittable:
        raise DataError("There are no images left to train on.")
    parts = {TRAIN: splittable}
    if len(fractions) > 1:
        codes = {name: code for code, name in enumerate(names)}
        labels = [codes[record.label] for record in splittable]
        rows = stratified_split(labels, fractions=fractions, seed=seed, names=names)
        parts = {part: [splittable[row] for row in indices.tolist()] for part, indices in rows.items()}
    for part in (VALIDATION, TEST):
        own = [record for record in records if record.part == part]
        if own:
            parts[part] = own
    return parts


def _report(problems: Sequence[tuple[str, str]]) -> str:
    lines = [f"{file} {reason}" for file, reason in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    return f'{count} in the images; on_error="skip" leaves them out:\n  ' + "\n  ".join(lines)


def _fingerprint(root: Path, inspections: Mapping[Record, Inspection]) -> str:
    folder = root if root.is_dir() else root.parent
    rows = (
        f"{os.path.relpath(record.path, folder)}|{record.label}|{record.part}|{check.size}|{check.tail}"
        for record, check in inspections.items()
    )
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Tuples to lists, as JSON gives them back."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
