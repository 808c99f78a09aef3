"""What commands print: JSON for programs, tables for people, and the other way round the options they read."""

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

SPACE = "  "
WORDS = {"none": None, "null": None, "true": True, "false": False}


def show_json(value: Any) -> None:
    """Prints `value` as valid JSON: NaN and infinities, which JSON lacks, become null."""
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Dataclasses and mappings to dicts, sequences to lists, and what JSON does not know to its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints aligned columns: whole where the output is a file or a pipe, cut at the edge of a terminal."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        SPACE.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        lines = [line if len(line) <= columns else f"{line[: columns - 1]}…" for line in lines]
        lines[0] = typer.style(lines[0], bold=True)
    typer.echo("\n".join(lines))


def count(number: int | None) -> str:
    """A number of parameters for people: "11.7 M"; "-" for None."""
    if number is None:
        return "-"
    if number < 1_000:
        return str(number)
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.1f} k"


def plural(number: int, thing: str) -> str:
    """(1, "model") to "1 model", (2, "model") to "2 models"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def size(num_bytes: int) -> str:
    """Bytes for people: "46.8 MB"."""
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"


def describe(value: Any) -> str:
    """A record or value on one line: fields by name, a tuple of integers as "224 x 224"."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{field.name} {describe(getattr(value, field.name))}" for field in dataclasses.fields(value))
    if isinstance(value, tuple | list):
        return (" x " if all(isinstance(item, int) for item in value) else " ").join(map(str, value))
    return str(value)


def read_options(options: Sequence[str] | None) -> dict[str, Any]:
    """["lr=0.1", "ema=none"] to {"lr": 0.1, "ema": None}: values are JSON where they can be, else text."""
    pairs: dict[str, Any] = {}
    for option in options or ():
        name, separator, text = option.partition("=")
        if not separator or not name:
            raise ValueError(f"{option!r} is not of the form name=value.")
        if name in pairs:
            raise ValueError(f"{name} is given twice: {pairs[name]!r} and {text!r}.")
        try:
            pairs[name] = WORDS[text.lower()] if text.lower() in WORDS else json.loads(text)
        except json.JSONDecodeError:
            pairs[name] = text
    return pairs
