"""Images with boxes to bundles for detection: Pascal VOC folders and COCO JSON; and image files to a detector's input.

Shapes: N boxes (x1, y1, x2, y2) in pixels of the upright image, from its top left corner; h x w pixels.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vision.data.box_checks import checked_records
from vision.data.box_listing import BoxListing, ImageRecord
from vision.data.box_transforms import BOX_STRENGTHS, BoxStrength, augment_boxes
from vision.data.jpeg import open_image, planes
from zoo.data import Bundle, DatasetSource, random_split, split_fractions
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, check_name

logger = logging.getLogger(__name__)

TASK = "vision/detection"
Augment = Literal["none", "light", "standard"]
OnError = Literal["raise", "skip"]
Target = dict[str, Tensor]
Sample = tuple[Tensor, Target]
SHOWN = 5  # faults that an error lists
LAYOUT = (
    "Expected a Pascal VOC folder (JPEGImages/, Annotations/ and, to name the parts, ImageSets/Main/train.txt), a "
    "folder of images with an .xml beside each, a COCO .json file, or a folder with COCO annotations for each part."
)


class BoxFiles(Dataset):
    """Image files with their boxes: uint8 [3, h, w] and a target.

    A target holds "boxes" float32 [N, 4], "labels" int64 [N] counted from 0, "difficult" and "iscrowd" bool [N], and
    "image_id" int64 [].
    strength: how training images are changed, by torch's global generator; None leaves them as they are.
    """

    def __init__(
        self, records: Sequence[ImageRecord], classes: Sequence[str], *, strength: BoxStrength | None = None
    ) -> None:
        self.records = list(records)
        self.classes = tuple(classes)
        self.strength = strength
        self._codes = {name: code for code, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        image = planes(open_image(record.path).decode(channels=3))
        target = {
            "boxes": torch.tensor([box.corners for box in record.boxes], dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor([self._codes[box.label] for box in record.boxes], dtype=torch.int64),
            "difficult": torch.tensor([box.difficult for box in record.boxes], dtype=torch.bool),
            "iscrowd": torch.tensor([box.crowd for box in record.boxes], dtype=torch.bool),
            "image_id": torch.tensor(index),
        }
        return (image, target) if self.strength is None else augment_boxes(image, target, self.strength)

    def unaugmented(self) -> "BoxFiles":
        """The same files, as they are evaluated."""
        return BoxFiles(self.records, self.classes)

    @property
    def paths(self) -> list[str]:
        """The file of each image."""
        return [record.path for record in self.records]

    def joined(self, other: "BoxFiles") -> "BoxFiles":
        """These files and then those of `other`, all changed as these are."""
        return BoxFiles([*self.records, *other.records], self.classes, strength=self.strength)


def read_boxes(
    path: str | PathLike[str],
    *,
    images: str | PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    augment: Augment = "standard",
    on_error: OnError = "raise",
    num_workers: int = 0,
) -> Bundle:
    """Images with boxes to a bundle. `path` is one of

    - a Pascal VOC folder: JPEGImages/, Annotations/<name>.xml, and the names of each part in
      ImageSets/Main/train.txt, val.txt and test.txt;
    - the same without ImageSets/, or a folder in which each image lies beside its .xml;
    - a COCO .json file, with the images in its folder, in images/ beside it, or in `images`;
    - a folder with annotations/instances_train2017.json (and val, test) and the images in train2017/ or
      images/train2017/; or with train/_annotations.coco.json (and valid/, test/) and the images beside it; or with
      train.json (and val.json, test.json) and images/.

    images:      folder of the images of a COCO file, where it is none of these.
    classes:     names in the order of the outputs, to fit a trained model; None: the names found, those of Pascal VOC
                 sorted, those of COCO in the order of their numbers.
    validation:  share of images to split off at random where the data do not name a validation part; `test` likewise.
    augment:     how much training images are changed at random: "none", "light" (mirrored, larger or smaller) or
                 "standard" (more of it, crops around boxes, colours).
    on_error:    "raise" stops at whatever is unusable; "skip" drops boxes that cannot be, leaves out files that cannot
                 be read, and reports both in `Bundle.skipped`.
    num_workers: processes that read files during training.
    Returns:     a bundle whose `origin` gives the same bundle again by read_boxes(**origin), and whose `fingerprint`
                 tells whether annotations or images have changed since. Rows are (image uint8 [3, h, w], target), a
                 batch is (images, targets): a list of float32 [3, h, w] on the scale 0..1 and one of `BoxFiles`'
                 targets.
    Raises:      DataError naming the files at fault.
    """
    check_name("augmentation", augment, ("none", *BOX_STRENGTHS))
    check_name("way to treat errors", on_error, ("raise", "skip"))
    split_fractions(validation=validation, test=test)  # for its checks
    root = Path(os.path.abspath(path))
    folder = None if images is None else Path(os.path.abspath(images))
    choices: dict[str, Any] = {"validation": validation, "test": test, "seed": seed}
    reading: dict[str, Any] = {"augment": augment, "on_error": on_error, "num_workers": num_workers}
    origin = {
        "path": str(root), "images": None if folder is None else str(folder),
        "classes": None if classes is None else list(classes), **choices, **reading,
    }  # fmt: skip
    return _bundle(_listing(root, folder), root, classes=classes, origin=origin, choices=choices, **reading)


def _bundle(
    listing: BoxListing,
    root: Path,
    *,
    classes: Sequence[str] | None,
    augment: Augment,
    on_error: OnError,
    num_workers: int,
    origin: Mapping[str, Any],
    choices: Mapping[str, Any],
) -> Bundle:
    """`choices`: how parts are drawn that the data do not name."""
    records, faults = checked_records(listing.records, classes=classes, decode=on_error == "skip")
    problems = [*listing.problems, *faults]
    if problems and on_error == "raise":
        raise DataError(_report(problems))
    for file, reason in problems:
        logger.warning("skipped: %s %s", file, reason)
    names = tuple(classes) if classes is not None else _names(listing, records)
    parts = _parts(records, root, **choices)
    strengths = {TRAIN: BOX_STRENGTHS.get(augment)}
    sources = {
        part: source_of(BoxFiles(chosen, names, strength=strengths.get(part)), num_workers)
        for part, chosen in parts.items()
    }
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=TASK,
        kind=None,
        classes=names,
        skipped=(*problems, *listing.ignored),
        origin=origin,
        fingerprint=_fingerprint(root, parts, names),
    )


def read_detector_inputs(paths: Sequence[str | PathLike[str]]) -> list[Tensor]:
    """Image files to a detector's input: of each float32 [3, h, w] on the scale 0..1, in the file's own size.

    Raises: DataError naming a file that cannot be read.
    """
    return as_floats([planes(open_image(path).decode(channels=3)) for path in paths])


def source_of(files: Dataset, num_workers: int = 0) -> DatasetSource:
    """Batches (list of images, list of targets) of a dataset that gives (image uint8 [3, h, w], target)."""
    return DatasetSource(files, num_workers=num_workers, transform=as_floats, collate=side_by_side)


def side_by_side(samples: Sequence[Sample]) -> tuple[list[Tensor], list[Target]]:
    """Samples to a batch of lists, as images of different sizes do not stack."""
    return [image for image, _ in samples], [target for _, target in samples]


def as_floats(images: Sequence[Tensor]) -> list[Tensor]:
    """Images uint8 [3, h, w] to float32 on the scale 0..1."""
    return [image.to(torch.float32) / 255 for image in images]


def _listing(root: Path, images: Path | None) -> BoxListing:
    from vision.data.coco import find_coco_files, list_coco
    from vision.data.voc import is_voc, list_voc

    if not root.exists():
        raise DataError(f"There is nothing at {root}. {LAYOUT}")
    if root.is_dir() and images is None and is_voc(root):
        return list_voc(root)
    found = find_coco_files(root)
    if not found:
        raise DataError(f"{root} holds no boxes in a layout known here. {LAYOUT}")
    return list_coco(found, root=root, images=images)


def _names(listing: BoxListing, records: Sequence[ImageRecord]) -> tuple[str, ...]:
    if listing.classes is not None:
        return listing.classes
    names = sorted({box.label for record in records for box in record.boxes})
    if not names:
        raise DataError("The annotations hold no box that could be used.")
    return tuple(names)


def _parts(
    records: Sequence[ImageRecord], root: Path, *, validation: float, test: float, seed: int
) -> dict[str, list[ImageRecord]]:
    """Records by part: as the data say, and by a random draw from those of train or of none."""
    own = {part: [record for record in records if record.part == part] for part in (VALIDATION, TEST)}
    rest = [record for record in records if record.part in (None, TRAIN)]
    if not rest:
        raise DataError(f"{root} holds no images to train on.")
    fractions = split_fractions(validation=0.0 if own[VALIDATION] else validation, test=0.0 if own[TEST] else test)
    rows = random_split(len(rest), fractions=fractions, seed=seed)
    drawn = {part: [rest[row] for row in indices.tolist()] for part, indices in rows.items()}
    return drawn | {part: chosen for part, chosen in own.items() if chosen}


def _report(problems: Sequence[tuple[str, str]]) -> str:
    lines = [f"{file} {reason}" for file, reason in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    return f'{count} in the images and boxes; on_error="skip" leaves them out:\n  ' + "\n  ".join(lines)


def _fingerprint(root: Path, parts: Mapping[str, Sequence[ImageRecord]], names: Sequence[str]) -> str:
    folder = root if root.is_dir() else root.parent
    digest = hashlib.sha256(repr(tuple(names)).encode())
    rows: list[Any] = [
        (os.path.relpath(record.path, folder), part, record.size, record.check, record.boxes)
        for part, records in parts.items()
        for record in records
    ]
    for row in sorted(rows, key=lambda row: row[0]):
        digest.update(repr(row).encode())
    return digest.hexdigest()
