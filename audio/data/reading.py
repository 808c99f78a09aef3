"""Folders and tables of labelled sound files to bundles for classification."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from audio.data.checks import Inspection, conversions, inspect_headers, inspect_samples, most_frequent_rate
from audio.data.clips import STRENGTHS, Augment, collate_clips, preprocessing_from
from audio.data.files import ClipFiles
from audio.data.listing import SOUNDS
from audio.data.options import OnError, ReadingOptions
from audio.data.splitting import Split, draw_parts, with_test_part
from zoo.data import Bundle, DatasetSource, split_fractions
from zoo.data.listing import Listing, Record, list_folder, list_pattern, list_table
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.data.targets import check_classes
from zoo.errors import DataError, nearest
from zoo.records import AudioPreprocessing

logger = logging.getLogger(__name__)

TASK = "audio/classification"
SHOWN = 5  # files that an error lists
IN_MEMORY_BYTES = 512 * 2**20  # data sets up to this size are kept in memory: 2 hours and 20 minutes at 16 kHz
Inspections = Mapping[Record, Inspection]


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
    augment: Augment | None = "standard",
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

    preprocessing: of the model that will be used; `sample_rate_hz` and `seconds` go over it.
    All others:    see `audio.data.options.ReadingOptions`.
    Returns:       a bundle whose `origin` gives the same bundle again by read_clips(**origin), and whose
                   `fingerprint` tells whether the files have changed since: names, classes, sizes and last 4 KB.
    Raises:        DataError naming the file, folder or line at fault; UnknownNameError for a choice that is none.
    """
    options = ReadingOptions(
        sample_rate_hz=sample_rate_hz, seconds=seconds, classes=classes, validation=validation, test=test, seed=seed,
        split=split, pattern=pattern, group_column=group_column, leave_out=leave_out, test_where=test_where,
        augment=augment or "none", on_error=on_error, shortest_seconds=shortest_seconds,
        longest_seconds=longest_seconds, by_length=by_length, in_memory=in_memory, num_workers=num_workers,
        path_column=path_column, label_column=label_column, split_column=split_column,
    )  # fmt: skip
    return _read(
        Path(os.path.abspath(path)), None if preprocessing is None else preprocessing_from(preprocessing), options
    )


def _read(root: Path, own: AudioPreprocessing | None, options: ReadingOptions) -> Bundle:
    """The bundle; `own` is what the model wants."""
    listing = _list(root, options.pattern, options.columns)
    records = with_test_part(
        listing, group_column=options.group_column, leave_out=options.groups_left_out, test_where=options.test_where
    )
    whole = options.seconds is None and (own is None or own.seconds is None)
    headers = inspect_headers(
        [record.path for record in records], shortest_seconds=options.shortest_seconds,
        longest_seconds=options.longest_seconds if whole else None,
    )  # fmt: skip
    if all(found.fault is not None for found in headers):
        faults = [(r.path, found.fault) for r, found in zip(records, headers, strict=True) if found.fault]
        raise DataError(_report([*listing.problems, *faults]))
    record = _preprocessing(own, options, headers)
    options = replace(options, sample_rate_hz=record.sample_rate_hz, seconds=record.seconds)
    inspections, options = _inspected(records, headers, record, options)
    problems = [*listing.problems, *((r.path, found.fault) for r, found in inspections.items() if found.fault)]
    usable = [r for r, found in inspections.items() if found.fault is None]
    parts, names = _parts(usable, listing, options, problems=problems)
    sources = _sources(parts, inspections, names, record, options)
    check_classes({part: source.targets() for part, source in sources.items()}, "classification", names)
    used = {r: inspections[r] for part in parts.values() for r in part}
    said = conversions(list(used.values()), record.sample_rate_hz)
    if said:
        logger.info("%s: %s", root, said)
    return Bundle(
        train=sources[TRAIN], validation=sources.get(VALIDATION), test=sources.get(TEST), task=TASK,
        kind="classification", classes=names, preprocessing=record, skipped=(*problems, *listing.ignored),
        origin={"path": str(root), **options.as_plain()}, fingerprint=_fingerprint(root, used),
        groups=_groups(parts, options.group_column) if options.group_column in listing.fields else {},
    )  # fmt: skip


def _groups(parts: Mapping[str, Sequence[Record]], column: str) -> dict[str, torch.Tensor]:
    """By part the number of the group of each clip [N], such as its speaker."""
    names = sorted({record.fields[column] for records in parts.values() for record in records})
    numbers = {name: number for number, name in enumerate(names)}
    return {
        part: torch.tensor([numbers[record.fields[column]] for record in records]) for part, records in parts.items()
    }


def _list(root: Path, pattern: str | None, columns: Mapping[str, str]) -> Listing:
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {SOUNDS.layout}")
    if pattern is not None:
        if not root.is_dir():
            raise DataError(f"pattern= is for a folder of files; {root} is none.")
        return list_pattern(root, pattern, SOUNDS)
    if root.is_dir():
        return list_folder(root, SOUNDS)
    if root.suffix.lower() != ".csv":
        raise DataError(f"{root} is neither a folder nor a .csv file. {SOUNDS.layout}")
    return list_table(root, **columns)


def _preprocessing(
    own: AudioPreprocessing | None, options: ReadingOptions, headers: Sequence[Inspection]
) -> AudioPreprocessing:
    """The rate and the length of the clips: as the user says, else as the model's, else as the files'."""
    rate = options.sample_rate_hz or (own.sample_rate_hz if own is not None else most_frequent_rate(headers))
    longest = options.seconds if options.seconds is not None else None if own is None else own.seconds
    return preprocessing_from(AudioPreprocessing(sample_rate_hz=rate, seconds=longest))


def _inspected(
    records: Sequence[Record],
    headers: Sequence[Inspection],
    preprocessing: AudioPreprocessing,
    options: ReadingOptions,
) -> tuple[dict[Record, Inspection], ReadingOptions]:
    """What was found of each record, with its whole waveform if clips are kept in memory; options with that decided."""
    keep = options.in_memory
    if keep is None:
        total = sum(found.header.seconds for found in headers if found.header is not None)
        keep = 4 * total * preprocessing.sample_rate_hz <= IN_MEMORY_BYTES
    found = list(headers)
    if keep or options.on_error == "skip":
        whole = replace(preprocessing, seconds=None)
        found = inspect_samples([record.path for record in records], headers, preprocessing=whole, keep=keep)
    by_length = not keep if options.by_length is None else options.by_length
    return dict(zip(records, found, strict=True)), replace(options, in_memory=keep, by_length=by_length)


def _parts(
    records: Sequence[Record], listing: Listing, options: ReadingOptions, *, problems: list[tuple[str, str]]
) -> tuple[dict[str, list[Record]], tuple[str, ...]]:
    """The records of each part and the class names; faults are added to `problems`, and raised or logged."""
    given = {record.part for record in records} - {None}
    fractions = split_fractions(
        validation=0.0 if VALIDATION in given else options.validation, test=0.0 if TEST in given else options.test
    )
    several = len(fractions) > 1 and options.split == "stratified"
    names, faults = _classes(records, options.classes, several=several)
    problems += faults
    if problems and options.on_error == "raise":
        raise DataError(_report(problems))
    for file, reason in problems:
        logger.warning("skipped: %s %s", file, reason)
    faulty = {path for path, _ in faults}
    parts = draw_parts(
        [record for record in records if record.path not in faulty], listing, names=names, fractions=fractions,
        split=options.split, group_column=options.group_column, seed=options.seed,
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
    options: ReadingOptions,
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
            strength=STRENGTHS.get(options.augment) if part == TRAIN else None,
            waveforms=[each.waveform for each in found if each.waveform is not None] if options.in_memory else None,
        )
        sources[part] = DatasetSource(
            files, num_workers=options.num_workers, collate=collate_clips,
            lengths=torch.tensor(seconds) if options.by_length else None,
        )  # fmt: skip
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
