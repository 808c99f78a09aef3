"""Observations that users type or keep in files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rl.environments.spec import EnvironmentSpec
from zoo.errors import DataError
from zoo.training import Inputs, Item

SUFFIXES = (".npy", ".csv")


def read_observations(items: Sequence[Item], spec: EnvironmentSpec) -> Inputs:
    """Texts and files to a batch of observations, in the type that the environment gives them.

    items:  "0.1,0.2,0,0" is one observation; a .csv file has one in each line, with a line of names above if it likes;
            a .npy file holds one, or a batch [B, *].
    Raises: DataError naming the text, file or line at fault.
    """
    rows: list[np.ndarray] = []
    names: list[str] = []
    for item in items:
        path = Path(item)
        if isinstance(item, Path) or path.suffix.lower() in SUFFIXES:
            found = _read_file(path, spec)
            rows += [row for _, row in found]
            names += [name for name, _ in found]
        else:
            rows.append(_checked(_numbers(str(item).split(","), str(item)), spec, str(item)))
            names.append(str(item))
    if not rows:
        given = ", ".join(map(str, items)) or "nothing"
        raise DataError(f"There are no observations in {given}. Expected a row such as {_example(spec)}.")
    return Inputs(rows=torch.from_numpy(np.stack(rows)), names=names)


def _read_file(path: Path, spec: EnvironmentSpec) -> list[tuple[str, np.ndarray]]:
    """Name and observation of each row of a file."""
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give a .npy or .csv file, or an observation: {_example(spec)}.")
    if path.suffix.lower() == ".csv":
        try:
            with open(path, newline="", encoding="utf-8") as file:
                lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if line]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table: {error}") from error
        if lines and not _is_number(lines[0][1][0]):
            lines = lines[1:]
        places = [(f"{path.name}:{number}", line) for number, line in lines]
        return [(place, _checked(_numbers(line, place), spec, place)) for place, line in places]
    if path.suffix.lower() != ".npy":
        raise DataError(f"{path} is neither a .npy nor a .csv file.")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds {array.dtype}; numbers are needed.")
    if array.ndim <= len(spec.observation_shape):
        return [(path.name, _checked(array, spec, path.name))]
    return [(f"{path.name}:{index}", _checked(row, spec, f"{path.name}:{index}")) for index, row in enumerate(array)]


def _numbers(texts: Sequence[str], place: str) -> np.ndarray:
    try:
        return np.array([float(text) for text in texts])
    except ValueError as error:
        raise DataError(f"{place!r} is no observation: {error}.") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked(values: np.ndarray, spec: EnvironmentSpec, place: str) -> np.ndarray:
    """The observation in its shape and type."""
    wanted = int(np.prod(spec.observation_shape))
    if values.size != wanted or (values.ndim > 1 and values.shape != spec.observation_shape):
        raise DataError(
            f"{place}: an observation of {spec.id} has the shape {list(spec.observation_shape)}, this one "
            f"{list(values.shape)}. Expected something like {_example(spec)}."
        )
    if not np.isfinite(values).all():
        raise DataError(f"{place}: an observation must be finite, got {values.tolist()}.")
    states = spec.num_states
    if states is not None and (values.item() != int(values.item()) or not 0 <= values.item() < states):
        raise DataError(f"{place}: the states of {spec.id} are 0..{states - 1}, got {values.item():g}.")
    return values.reshape(spec.observation_shape).astype(spec.observation_dtype)


def _example(spec: EnvironmentSpec) -> str:
    if spec.is_image:
        return f"a .npy file with frames {list(spec.observation_shape)}"
    return ",".join(["0"] * int(np.prod(spec.observation_shape)))
