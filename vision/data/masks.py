"""Folders of images with masks to bundles for segmentation, and image files to a network's input.

A folder holds one of
- images/ and masks/, whose files have equal names: grey levels, palette indices, colours, or black and white;
- masks/<class>/<name>.png or masks/<name>_<class>.png, a black and white mask for each class;
- train/, val/ and test/ with such folders, or images/train/ and masks/train/ and so on;
- multi-page files train-volume.tif and train-labels.tif, or such files in images/ and masks/.

Shapes: B images, C channels, H x W pixels.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from vision.data.jpeg import resize, scaled_size
from vision.data.mask_transforms import (
    MASK_STRENGTHS,
    MaskAugment,
    MaskPreprocessing,
    MaskStrength,
    mask_preprocessing_from,
    training_view,
)
from vision.data.masks_files import IGNORE, MaskCoding, Value, image_size, read_mask, read_pixels
from vision.data.masks_listing import LAYOUT, Pair, list_pairs
from vision.data.masks_scan import Scan, coding_of, expand_pages, fingerprint, scan_pairs
from vision.data.masks_weights import border_weights
from vision.data.transforms import Normalise, chosen_preprocessing
from zoo.data import Bundle, DatasetSource, random_split, split_fractions
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, check_name
from zoo.records import ImagePreprocessing

logger = logging.getLogger(__name__)

TASK = "vision/segmentation"
CROP = 256  # pixels a side of training crops where neither the model nor the user says otherwise
SHOWN = 5  # files that an error lists
OnError = Literal["raise", "skip"]
Split = Literal["random", "blocks"]


class SegmentationInput(NamedTuple):
    """An image as the network sees it, and the size of its file.

    pixels: normalised, float32 [C, H, W].
    size:   height and width of the file, pixels, to which predictions are brought.
    """

    pixels: Tensor
    size: tuple[int, int]


class MaskFiles(Dataset):
    """Images and their masks: (uint8 [C, H, W], int64 [H, W]), and weights of the pixels float32 [H, W] if asked for.

    strength:   how training images are changed, by torch's generator, and cut to crops; None gives them whole.
    weight_map: whether to give `border_weights`; they are computed once for each image and kept.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        coding: MaskCoding,
        preprocessing: MaskPreprocessing,
        strength: MaskStrength | None = None,
        weight_map: bool = False,
    ) -> None:
        self.pairs = list(pairs)
        self.coding = coding
        self.preprocessing = preprocessing
        self.strength = strength
        self.weight_map = weight_map
        self._weights: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        pair = self.pairs[index]
        image = read_pixels(pair, channels=len(self.preprocessing.mean))
        mask = torch.from_numpy(read_mask(pair, self.coding))
        if mask.shape != image.shape[1:]:
            raise DataError(f"{pair.name}: image {list(image.shape[1:])} and mask {list(mask.shape)} differ in size.")
        image, mask = _resized(image, self.preprocessing), _resized_mask(mask, self.preprocessing)
        weights = self._weights_of(index, mask) if self.weight_map else None
        if self.strength is None:
            return (image, mask) if weights is None else (image, mask, weights)
        return training_view(image, mask, self.preprocessing.size, self.strength, weights)

    def _weights_of(self, index: int, mask: Tensor) -> Tensor:
        if index not in self._weights:
            self._weights[index] = torch.from_numpy(border_weights(mask.numpy()))
        return self._weights[index]

    def unaugmented(self) -> "MaskFiles":
        """The same images, whole and as they are."""
        return MaskFiles(self.pairs, coding=self.coding, preprocessing=self.preprocessing)

    @property
    def paths(self) -> list[str]:
        """The file of each image; none where several are in one file, as pages."""
        return [] if any(pair.page is not None for pair in self.pairs) else [pair.image for pair in self.pairs]

    def joined(self, other: "MaskFiles") -> "MaskFiles":
        """These images and then those of `other`, all changed as these are."""
        return MaskFiles(
            [*self.pairs, *other.pairs], coding=self.coding, preprocessing=self.preprocessing, strength=self.strength,
            weight_map=self.weight_map,
        )  # fmt: skip


# fmt: off
def read_masks(
    path: str | PathLike[str], *,
    preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None, input_shape: Sequence[int] | None = None,
    channels: int | None = None, crop: int | Sequence[int] | None = None, shorter_side: int | None = None,
    classes: Sequence[str] | None = None, values: Sequence[int | Sequence[int]] | None = None,
    ignored: int | Sequence[int] | None = IGNORE,
    validation: float = 0.2, test: float = 0.0, fold: int | None = None, folds: int = 5,
    split: Split = "random", seed: int = 0,
    augment: MaskAugment = "standard", weight_map: bool = False, on_error: OnError = "raise", num_workers: int = 0,
) -> Bundle:
    """A folder of images with masks, in one of the layouts that this module's docstring lists, to a bundle.

    preprocessing: of the weights that will be used; None: what `input_shape` asks for. Images are not cropped to it.
    channels:      1 for grey, 3 for colour, in place of what the two say.
    crop:          height and width of random training crops, pixels; None: those of `preprocessing` or `input_shape`.
    shorter_side:  pixels that every image is resized to; None keeps its own size.
    classes:       names in the order of the outputs; None: the values or files found.
    values:        what a pixel of each class holds in the mask, a number or [red, green, blue]; None: those found, and
                   0 and 255 of a black and white mask.
    ignored:       value of pixels that count nothing; None if all count.
    validation:    share of images to split off where the data do not name a validation part; `test` likewise.
    fold:          0 to `folds` - 1: that part of the images validates, the others train; in place of the shares.
    split:         "random", or "blocks" of neighbours in the order of names, for slices of a volume or a film's frames.
    augment:       how much training images are changed at random; "heavy" is for images without an up and down.
    weight_map:    give weights of pixels too, large between touching objects: `vision.data.masks_weights`.
    on_error:      "raise" stops at files that are unusable; "skip" leaves them out: `Bundle.skipped`.
    Returns:       a bundle whose `origin` gives the same bundle again by read_masks(**origin).
    Raises:        DataError naming the file or folder at fault.
    """
    check_name("augmentation", augment, MASK_STRENGTHS)
    check_name("way to treat errors", on_error, get_args(OnError))
    check_name("way to split", split, get_args(Split))
    _check_fold(fold, folds)
    record = _preprocessing(preprocessing, input_shape, channels=channels, crop=crop, shorter_side=shorter_side)
    root = Path(path).absolute()
    found = _inspected(root, classes=classes, values=_values(values), ignored=_value(ignored), on_error=on_error)
    drawing: dict[str, Any] = {
        "validation": validation, "test": test, "fold": fold, "folds": folds, "split": split, "seed": seed,
    }
    reading = {"augment": augment, "weight_map": weight_map, "on_error": on_error, "num_workers": num_workers}
    return _bundle(root, found, record, drawing=drawing, reading=reading)
# fmt: on


def _bundle(
    root: Path,
    found: "_Inspected",
    record: MaskPreprocessing,
    *,
    drawing: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> Bundle:
    """The bundle of what was found; `drawing` and `reading` are the options of `read_masks` for that."""
    sources = {}
    for part, pairs in _parts([scan.pair for scan in found.scans], **drawing).items():
        files = MaskFiles(pairs, coding=found.coding, preprocessing=record)
        if part == TRAIN:
            files.strength, files.weight_map = MASK_STRENGTHS[reading["augment"]], reading["weight_map"]
        sources[part] = DatasetSource(
            files, num_workers=reading["num_workers"], transform=Normalise(record), collate=collate
        )
    coding = {"classes": found.coding.classes, "values": found.coding.values, "ignored": found.coding.ignored}
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=TASK,
        kind=None,
        classes=found.coding.classes,
        input_shape=(len(record.mean), *record.size),
        preprocessing=record,
        skipped=found.skipped,
        origin={"path": str(root), "preprocessing": _plain(asdict(record)), **_plain(coding), **drawing, **reading},
        fingerprint=fingerprint(root, found.scans),
    )


@dataclass(frozen=True)
class _Inspected:
    """What can be used of a folder."""

    scans: list[Scan]
    coding: MaskCoding
    skipped: tuple[tuple[str, str], ...]


def _inspected(
    root: Path,
    *,
    classes: Sequence[str] | None,
    values: tuple[Value, ...] | None,
    ignored: Value | None,
    on_error: OnError,
) -> _Inspected:
    """The pairs of a folder that are whole and fit the classes; raises or logs what does not."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. {LAYOUT}")
    found = list_pairs(root)
    scans = scan_pairs(expand_pages(found))
    problems = [*found.problems, *((scan.pair.name, scan.fault) for scan in scans if scan.fault is not None)]
    good = [scan for scan in scans if scan.fault is None]
    if not good or (problems and on_error == "raise"):
        raise DataError(_report(problems))
    coding = coding_of(good, classes=classes, values=values, ignored=ignored, root=root)
    misfits = {scan.pair.name: fault for scan in good if (fault := scan.misfit(coding)) is not None}
    problems += misfits.items()
    if misfits and on_error == "raise":
        raise DataError(_report(problems))
    for file, reason in problems:
        logger.warning("skipped: %s %s", file, reason)
    kept = [scan for scan in good if scan.pair.name not in misfits]
    return _Inspected(kept, coding, (*problems, *found.ignored))


def read_inputs(
    paths: Sequence[str | PathLike[str]], preprocessing: ImagePreprocessing | Mapping[str, Any]
) -> list[SegmentationInput]:
    """Image files to a network's inputs, each of its own size.

    Raises: DataError naming a file that cannot be read.
    """
    if not paths:
        raise DataError("There are no image files to read.")
    record = mask_preprocessing_from(preprocessing)
    normalise = Normalise(record)
    inputs = []
    for path in paths:
        pair = Pair(str(path), (), None)
        pixels = _resized(read_pixels(pair, channels=len(record.mean)), record)
        inputs.append(SegmentationInput(normalise(pixels[None])[0], image_size(pair)))
    return inputs


def collate(samples: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Samples of one size, or of several, which are filled up at the right and below, with masks that count nothing."""
    height, width = (max(sample[1].shape[axis] for sample in samples) for axis in (0, 1))
    fills = (0, IGNORE, 0)
    columns = []
    for position, parts in enumerate(zip(*samples, strict=True)):
        filled = [
            F.pad(part, (0, width - part.shape[-1], 0, height - part.shape[-2]), value=fills[position])
            for part in parts
        ]
        columns.append(torch.stack(filled))
    return tuple(columns)


def _parts(
    pairs: Sequence[Pair],
    *,
    validation: float,
    test: float,
    fold: int | None,
    folds: int,
    split: Split,
    seed: int,
) -> dict[str, list[Pair]]:
    """The pairs by part: as the folders say, and by a draw from those of train or of none."""
    given = {part: [pair for pair in pairs if pair.part == part] for part in (VALIDATION, TEST)}
    free = [pair for pair in pairs if pair.part in (None, TRAIN)]
    if not free:
        raise DataError("There are no images with masks left to train on.")
    if fold is not None:
        if given[VALIDATION]:
            raise DataError("fold= is for data without a validation part of their own; these have one.")
        order = torch.arange(len(free))
        if split == "random":
            order = torch.randperm(len(free), generator=torch.Generator().manual_seed(seed))
        if len(free) < folds:
            raise DataError(f"{len(free)} images cannot make {folds} folds.")
        held_out = set(order.tensor_split(folds)[fold].tolist())
        parts = {
            TRAIN: [pair for row, pair in enumerate(free) if row not in held_out],
            VALIDATION: [pair for row, pair in enumerate(free) if row in held_out],
        }
        return parts | ({TEST: given[TEST]} if given[TEST] else {})
    fractions = split_fractions(validation=0.0 if given[VALIDATION] else validation, test=0.0 if given[TEST] else test)
    if len(fractions) == 1:
        parts = {TRAIN: free}
    elif split == "blocks":
        ends = [round(len(free) * sum(list(fractions.values())[: index + 1])) for index in range(len(fractions))]
        starts = [0, *ends[:-1]]
        if any(start == end for start, end in zip(starts, ends, strict=True)):
            raise DataError(f"{len(free)} images cannot be split into {' and '.join(fractions)}.")
        parts = {name: free[start:end] for name, start, end in zip(fractions, starts, ends, strict=True)}
    else:
        rows = random_split(len(free), fractions=fractions, seed=seed)
        parts = {name: [free[row] for row in chosen.tolist()] for name, chosen in rows.items()}
    return parts | {part: own for part, own in given.items() if own}


def _preprocessing(
    preprocessing: ImagePreprocessing | Mapping[str, Any] | None,
    input_shape: Sequence[int] | None,
    *,
    channels: int | None,
    crop: int | Sequence[int] | None,
    shorter_side: int | None,
) -> MaskPreprocessing:
    """The record for what was asked."""
    if preprocessing is None:
        shape = tuple(input_shape) if input_shape else (3, CROP, CROP)
        preprocessing = chosen_preprocessing(None, input_shape=shape, size=None)
    record = mask_preprocessing_from(preprocessing)
    if channels is not None and channels != len(record.mean):
        record = mask_preprocessing_from(replace(record, mean=(0.5,) * channels, std=(0.5,) * channels))
    if crop is not None:
        size = (crop, crop) if isinstance(crop, int) else tuple(crop)
        if len(size) != 2 or min(size) < 1:
            raise DataError(f"crop must be a number of pixels, or height and width, got {crop}.")
        record = replace(record, size=(size[0], size[1]))
    if shorter_side is not None:
        if shorter_side < 1:
            raise DataError(f"shorter_side is {shorter_side}; at least 1 pixel is needed.")
        record = replace(record, shorter_side=shorter_side)
    return record


def _resized(image: Tensor, preprocessing: MaskPreprocessing) -> Tensor:
    """An image [C, H, W] with the shorter side asked for."""
    size = _target_size(image, preprocessing)
    return image if size is None else resize(image, size, interpolation=preprocessing.interpolation).contiguous()


def _resized_mask(mask: Tensor, preprocessing: MaskPreprocessing) -> Tensor:
    size = _target_size(mask, preprocessing)
    if size is None:
        return mask
    return F.interpolate(mask[None, None].to(torch.uint8), size=size, mode="nearest-exact")[0, 0].long()


def _target_size(image: Tensor, preprocessing: MaskPreprocessing) -> tuple[int, int] | None:
    height, width = image.shape[-2:]
    side = preprocessing.shorter_side
    if side is None or min(height, width) == side:
        return None
    return scaled_size(height, width, side / min(height, width))


def _check_fold(fold: int | None, folds: int) -> None:
    if folds < 2 or (fold is not None and not 0 <= fold < folds):
        raise DataError(f"fold must be from 0 to folds - 1 and folds 2 at least, got fold={fold} and folds={folds}.")


def _values(values: Sequence[int | Sequence[int]] | None) -> tuple[Value, ...] | None:
    if values is None:
        return None
    found = tuple(_value(value) for value in values)
    if len({type(value) for value in found}) > 1 or len(set(found)) < len(found) or None in found:
        raise DataError(f"values must be different numbers, or different colours, one for each class; got {values}.")
    return tuple(value for value in found if value is not None)


def _value(value: int | Sequence[int] | None) -> Value | None:
    if value is None or isinstance(value, int):
        return value
    colour = tuple(int(part) for part in value)
    if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
        raise DataError(f"A colour is [red, green, blue] with 0 to 255 each, got {value}.")
    return (colour[0], colour[1], colour[2])


def _report(problems: Sequence[tuple[str, str]]) -> str:
    lines = [f"{file} {reason}" for file, reason in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    return f'{count} in the images and masks; on_error="skip" leaves them out:\n  ' + "\n  ".join(lines)


def _plain(value: Any) -> Any:
    """Tuples to lists, as JSON gives them back."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
