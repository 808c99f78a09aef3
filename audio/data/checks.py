"""A look at every sound file before training begins, so that a bad one does not stop it hours later."""

import os
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from torch import Tensor

from audio.data.clips import SILENCE, Header, read_clip, read_header
from zoo.errors import DataError
from zoo.records import AudioPreprocessing

TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Inspection:
    """size: bytes. tail: checksum of the last 4 KB. fault: what is wrong with the file, or None.

    waveform: [T], where it was asked for.
    """

    size: int = 0
    tail: int = 0
    header: Header | None = None
    fault: str | None = None
    waveform: Tensor | None = None


def inspect_headers(
    paths: Sequence[str], *, shortest_seconds: float, longest_seconds: float | None
) -> list[Inspection]:
    """Looks at the headers of sound files in parallel: whether they can be read, and how long they are."""

    def inspect(path: str) -> Inspection:
        try:
            size, tail = _tail(path)
        except OSError as error:
            return Inspection(fault=f"cannot be read: {error.strerror or error}")
        if size == 0:
            return Inspection(size, tail, fault="is empty")
        try:
            header = read_header(path)
        except DataError as error:
            return Inspection(size, tail, fault=str(error).removeprefix(path).strip())
        return Inspection(size, tail, header, _length_fault(header, shortest_seconds, longest_seconds))

    with _pool() as pool:
        return list(pool.map(inspect, paths))


def inspect_samples(
    paths: Sequence[str], inspections: Sequence[Inspection], *, preprocessing: AudioPreprocessing, keep: bool
) -> list[Inspection]:
    """Reads all samples of the files that have no fault so far, in parallel, and finds silent and damaged ones.

    keep: whether the inspections are to hold the waveforms.
    """

    def inspect(path: str, before: Inspection) -> Inspection:
        if before.fault is not None:
            return before
        try:
            waveform = read_clip(path, preprocessing=preprocessing)
        except DataError as error:
            return replace(before, fault=str(error).removeprefix(path).strip())
        if waveform.abs().amax() < SILENCE:
            return replace(before, fault="is silent: no sample is above -80 dB of full scale")
        return replace(before, waveform=waveform) if keep else before

    with _pool() as pool:
        return list(pool.map(inspect, paths, inspections))


def most_frequent_rate(inspections: Sequence[Inspection]) -> int:
    """The sample rate that most files have, the higher one of two, Hz; one file at least must have no fault."""
    rates = Counter(found.header.sample_rate_hz for found in inspections if found.header is not None)
    return max(rates, key=lambda rate: (rates[rate], rate))


def conversions(inspections: Sequence[Inspection], rate_hz: int) -> str:
    """What reading changes, in words: rates that differ from `rate_hz`, and several channels; empty if nothing."""
    headers = [found.header for found in inspections if found.header is not None and found.fault is None]
    rates = Counter(header.sample_rate_hz for header in headers if header.sample_rate_hz != rate_hz)
    mixed = sum(header.channels > 1 for header in headers)
    words = [f"{_files(count)} resampled from {rate} Hz to {rate_hz} Hz" for rate, count in sorted(rates.items())]
    return "; ".join(words + ([f"{_files(mixed)} with several channels mixed to one"] if mixed else []))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _length_fault(header: Header, shortest: float, longest: float | None) -> str | None:
    if header.frames == 0:
        return "holds no samples"
    if header.seconds < shortest:
        return f"is too short: {header.seconds:.3f} s, and {shortest:g} s are needed (shortest_seconds)"
    if longest is not None and header.seconds > longest:
        return (
            f"is too long: {header.seconds:.1f} s, and {longest:g} s are allowed (longest_seconds); give seconds= to "
            "take a part of such clips, or cut the file up"
        )
    return None


def _tail(path: str) -> tuple[int, int]:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return size, zlib.crc32(file.read())


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1)))
