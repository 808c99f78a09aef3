"""Folders and tables of labelled sound files to bundles for classification."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from audio.data.checks import Inspection, conversions, inspect_headers, inspect_samples, most_frequent_rate
from audio.data.clips import (
    STRENGTHS,
    Augment,
    AugmentStrength,
    augmented,
    collate_clips,
    cut,
    preprocessing_from,
    read_clip,
)
from audio.data.listing import LAYOUT, Listing, Record, list_folder, list_pattern, list_table
from audio.data.splitting import Split, draw_parts, with_test_part
from zoo.data import Bundle, DatasetSource, split_fractions
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.data.targets import check_classes
from zoo.errors import DataError, check_name, nearest
from zoo.records import AudioPreprocessing

logger = logging.getLogger(__name__)

TASK = "audio/classification"
OnError = Literal["raise", "skip"]
SHOWN = 5  # files that an error lists
IN_MEMORY_BYTES = 512 * 2**20  # data sets up to this size are kept in memory: an hour and 2 minutes at 16 kHz is 229 MB
Inspections = Mapping[Record, Inspection]


class ClipFiles(Dataset):
    """Sound files and their classes: waveforms float32 [T], of lengths that differ, and class numbers.

    strength:  how training clips are changed, by torch's generator; None changes nothing, and takes the middle of clips
               that are longer than `preprocessing.seconds`.
    seconds:   of each file, whole.
    waveforms: of the files, whole, if they are in memory.
    """

    def __init__(
        self,
        paths: Sequence[str],
        targets: Tensor,
        *,
        preprocessing: AudioPreprocessing,
        seconds: Sequence[float],
        strength: AugmentStrength | None = None,
        waveforms: Sequence[Tensor] | None = None,
    ) -> None:
        self.paths = list(paths)
        self.targets = targets
        self.preprocessing = preprocessing
        self.seconds = seconds
        self.strength = strength
        self.waveforms = waveforms

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        seconds, rate = self.preprocessing.seconds, self.preprocessing.sample_rate_hz
        longest = None if seconds is None else round(seconds * rate)
        position = 0.5 if self.strength is None else float(torch.rand(()))
        if self.waveforms is not None:
            waveform = cut(self.waveforms[index], longest, position)
        else:
            waveform = read_clip(self.paths[index], preprocessing=self.preprocessing, position=position)
        if self.strength is not None:
            waveform = augmented(waveform, self.strength, sample_rate_hz=rate)
            waveform = cut(waveform, longest, 0.5)
        return waveform, int(self.targets[index])

    def unaugmented(self) -> "ClipFiles":
        """The same files, as they are evaluated."""
        return ClipFiles(
            self.paths, self.targets, preprocessing=self.preprocessing, seconds=self.seconds, waveforms=self.waveforms
        )

    @property
    def longest_seconds(self) -> float:
        """The length of the longest clip, as it is read."""
        longest = max(self.seconds)
        return longest if self.preprocessing.seconds is None else min(longest, self.preprocessing.seconds)


def read_clips(
    path: str | PathLike[str],
    *,
    preprocessing: AudioPreprocessing | Mapping[str, Any] | None = None,
    sample_rate_hz: int | None = None,
    seconds: float | None = None,
    classes: Sequence[str] | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    split: Split = "stratified",
    pattern: str | None = None,
    group_column: str = "speaker",
    leave_out: str | Sequence[str] | None = None,
    test_where: Mapping[str, Any] | None = None,
    augment: Augment = "standard",
    on_error: OnError = "raise",
    shortest_seconds: float = 0.02,
    longest_seconds: float = 60.0,
    by_length: bool | None = None,
    in_memory: bool | None = None,
    num_workers: int = 0,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
) -> Bundle:
    """Labelled sound files to a bundle of clips of unequal length. `path` is one of

    - a folder with one sub-folder of sound files per class;
    - a folder with train/, val/ (or validation/) and test/, each with such class folders;
    - a .csv file with the columns path and label, and split if it is to decide; paths are relative to the file;
    - a folder of files whose names say their class: `pattern` "{label}_{speaker}_{index}.wav".

    Channels are mixed to one, and files of another rate are resampled; the log says how many.

    preprocessing:  of the model that will be used. `sample_rate_hz` and `seconds` go over it.
    sample_rate_hz: rate of the clips; None: the model's, else that of most files.
    seconds:        longest clip: of longer ones a part is taken, at random for training, else the middle. None: whole.
    classes:        names in the order of the outputs, to fit a trained model; None: the names found, sorted.
    validation:     share of clips to split off where the data do not name a validation part; `test` likewise.
    split:          "stratified" by class, or "grouped": no value of `group_column` is in two parts.
    group_column:   field of the pattern, or column of the table, that says what belongs together.
    leave_out:      groups that are the test part: "jackson" leaves out one speaker.
    test_where:     values that make a clip part of the test part, by field or column: {"index": [0, 1, 2, 3, 4]}.
    augment:        how much training clips are changed at random: cut, shifted, made louder or softer, noise.
    on_error:       "raise" stops at files that are unusable; "skip" reads every file once beforehand, leaves the bad
                    ones out and reports them in `Bundle.skipped`. Silent clips are found where files are read.
    shortest_seconds, longest_seconds: of a usable file; the second does not count where `seconds` is given.
    by_length:      makes training batches of clips of like length, which need little padding; None does so for clips
                    that are not in memory. Where length goes with class or speaker, as it does in small data sets,
                    mixed batches learn more from each epoch.
    in_memory:      keeps all clips in memory; None does so up to 512 MB. Otherwise files are read as they are needed.
    num_workers:    processes that read files during training.
    Returns:        a bundle whose `origin` gives the same bundle again by read_clips(**origin), and whose
                    `fingerprint` tells whether the files have changed since: names, classes, sizes and last 4 KB.
    Raises:         DataError naming the file, folder or line at fault.
    """
    check_name("augmentation", augment, ("none", *STRENGTHS))
    check_name("way to treat errors", on_error, ("raise", "skip"))
    check_name("way to split", split, ("stratified", "grouped"))
    split_fractions(validation=validation, test=test)  # for its checks
    root = Path(os.path.abspath(path))
    columns = {"path_column": path_column, "label_column": label_column, "split_column": split_column}
    listing = _list(root, pattern, columns)
    groups = [leave_out] if isinstance(leave_out, str) else leave_out
    records = with_test_part(listing, group_column=group_column, leave_out=groups, test_where=test_where)
    whole = seconds is None and (preprocessing is None or preprocessing_from(preprocessing).seconds is None)
    limits = {"shortest_seconds": shortest_seconds, "longest_seconds": longest_seconds}
    headers = inspect_headers(
        [record.path for record in records], shortest_seconds=shortest_seconds,
        longest_seconds=longest_seconds if whole else None,
    )  # fmt: skip
    record = _preprocessing(preprocessing, sample_rate_hz, seconds, headers)
    inspections, kept = _inspected(records, headers, record, in_memory=in_memory, decode=on_error == "skip")
    bucketed = not kept if by_length is None else by_length
    problems = [*listing.problems, *((r.path, found.fault) for r, found in inspections.items() if found.fault)]
    drawing = {"validation": validation, "test": test, "seed": seed, "split": split, "group_column": group_column}
    origin = {
        "path": str(root), "sample_rate_hz": record.sample_rate_hz, "seconds": record.seconds,
        "classes": None if classes is None else list(classes), **drawing, "pattern": pattern,
        "leave_out": None if groups is None else list(groups),
        "test_where": None if test_where is None else {name: _plain(values) for name, values in test_where.items()},
        "augment": augment, "on_error": on_error, **limits, "by_length": bucketed,
        "in_memory": kept, "num_workers": num_workers, **columns,
    }  # fmt: skip
    usable = [r for r, found in inspections.items() if found.fault is None]
    parts, names = _parts(usable, listing, classes, drawing, problems=problems, on_error=on_error)
    sources = _sources(
        parts, inspections, names, record, augment=augment, by_length=bucketed, in_memory=kept, num_workers=num_workers
    )
    check_classes({part: source.targets() for part, source in sources.items()}, "classification", names)
    used = {r: inspections[r] for part in parts.values() for r in part}
    said = conversions(list(used.values()), record.sample_rate_hz)
    if said:
        logger.info("%s: %s", root, said)
    return Bundle(
        train=sources[TRAIN], validation=sources.get(VALIDATION), test=sources.get(TEST), task=TASK,
        kind="classification", classes=names, preprocessing=record, skipped=(*problems, *listing.ignored),
        origin=origin, fingerprint=_fingerprint(root, used),
    )  # fmt: skip


def _list(root: Path, pattern: str | None, columns: Mapping[str, str]) -> Listing:
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {LAYOUT}")
    if pattern is not None:
        if not root.is_dir():
            raise DataError(f"pattern= is for a folder of files; {root} is none.")
        return list_pattern(root, pattern)
    if root.is_dir():
        return list_folder(root)
    if root.suffix.lower() != ".csv":
        raise DataError(f"{root} is neither a folder nor a .csv file. {LAYOUT}")
    return list_table(root, **columns)


def _preprocessing(
    given: AudioPreprocessing | Mapping[str, Any] | None,
    sample_rate_hz: int | None,
    seconds: float | None,
    headers: Sequence[Inspection],
) -> AudioPreprocessing:
    """The rate and the length of the clips: as the user says, else as the model's, else as the files'."""
    own = None if given is None else preprocessing_from(given)
    rate = sample_rate_hz or (own.sample_rate_hz if own is not None else most_frequent_rate(headers))
    longest = seconds if seconds is not None else None if own is None else own.seconds
    return preprocessing_from(AudioPreprocessing(sample_rate_hz=rate, seconds=longest))


def _inspected(
    records: Sequence[Record],
    headers: Sequence[Inspection],
    preprocessing: AudioPreprocessing,
    *,
    in_memory: bool | None,
    decode: bool,
) -> tuple[dict[Record, Inspection], bool]:
    """What was found of each record, with its whole waveform where the data are kept in memory, and whether they are."""
    if in_memory is None:
        total = sum(found.header.seconds for found in headers if found.header is not None)
        in_memory = 4 * total * preprocessing.sample_rate_hz <= IN_MEMORY_BYTES
    found = list(headers)
    if in_memory or decode:
        whole = replace(preprocessing, seconds=None)
        paths = [record.path for record in records]
        found = inspect_samples(paths, headers, preprocessing=whole, keep=in_memory)
    return dict(zip(records, found, strict=True)), in_memory


def _parts(
    records: Sequence[Record],
    listing: Listing,
    classes: Sequence[str] | None,
    drawing: Mapping[str, Any],
    *,
    problems: list[tuple[str, str]],
    on_error: OnError,
) -> tuple[dict[str, list[Record]], tuple[str, ...]]:
    """The records of each part and the class names; faults are added to `problems`, and raised or logged."""
    given = {record.part for record in records} - {None}
    shares = {part: 0.0 if part in given else drawing[part] for part in (VALIDATION, TEST)}
    fractions = split_fractions(validation=shares[VALIDATION], test=shares[TEST])
    stratified = drawing["split"] == "stratified"
    names, faults = _classes(records, classes, several=len(fractions) > 1 and stratified)
    problems += faults
    if problems and on_error == "raise":
        raise DataError(_report(problems))
    for file, reason in problems:
        logger.warning("skipped: %s %s", file, reason)
    faulty = {path for path, _ in faults}
    parts = draw_parts(
        [record for record in records if record.path not in faulty], listing, names=names, fractions=fractions,
        split=drawing["split"], group_column=drawing["group_column"], seed=drawing["seed"],
    )  # fmt: skip
    return parts, names


def _classes(
    records: Sequence[Record], classes: Sequence[str] | None, *, several: bool
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """The class names in the order of the outputs, and the files that cannot be used for their class's sake."""
    known = {record.label for record in records} if classes is None else set(classes)
    faults = [
        (
            record.path,
            f"is of the class {record.label!r}, which is not among those asked for. {nearest(record.label, known)}",
        )
        for record in records
        if record.label not in known
    ]
    counts = Counter(record.label for record in records if record.part in (None, TRAIN))
    if several:
        faults += [
            (record.path, f"is the only clip of the class {record.label!r}, which needs two to be split into parts")
            for record in records
            if record.part in (None, TRAIN) and counts[record.label] == 1 and record.label in known
        ]
    if classes is not None:
        return tuple(str(name) for name in classes), faults
    faulty = {path for path, _ in faults}
    return tuple(sorted({record.label for record in records if record.path not in faulty})), faults


def _sources(
    parts: Mapping[str, Sequence[Record]],
    inspections: Inspections,
    names: Sequence[str],
    preprocessing: AudioPreprocessing,
    *,
    augment: Augment,
    by_length: bool,
    in_memory: bool,
    num_workers: int,
) -> dict[str, DatasetSource]:
    codes = {name: code for code, name in enumerate(names)}
    sources = {}
    for part, records in parts.items():
        found = [inspections[record] for record in records]
        seconds = [each.header.seconds for each in found if each.header is not None]
        files = ClipFiles(
            [record.path for record in records],
            torch.tensor([codes[record.label] for record in records], dtype=torch.int64),
            preprocessing=preprocessing,
            seconds=seconds,
            strength=STRENGTHS.get(augment) if part == TRAIN else None,
            waveforms=[each.waveform for each in found if each.waveform is not None] if in_memory else None,
        )
        lengths = torch.tensor(seconds) if by_length else None
        sources[part] = DatasetSource(files, num_workers=num_workers, collate=collate_clips, lengths=lengths)
    return sources


def _report(problems: Sequence[tuple[str, str]]) -> str:
    lines = [f"{file} {reason}" for file, reason in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    return f'{count} in the sound files; on_error="skip" leaves them out:\n  ' + "\n  ".join(lines)


def _fingerprint(root: Path, inspections: Inspections) -> str:
    folder = root if root.is_dir() else root.parent
    rows = (
        f"{os.path.relpath(record.path, folder)}|{record.label}|{record.part}|{found.size}|{found.tail}"
        for record, found in inspections.items()
    )
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def _plain(values: Any) -> Any:
    """What JSON gives back as it was."""
    return values if isinstance(values, str | int) else [str(value) for value in values]
