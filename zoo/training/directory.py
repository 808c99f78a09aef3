"""The directory of a run: made once and never overwritten, its configuration and other JSON files."""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.training.checkpoint import write_atomically

FORMAT = 1
CONFIG = "config.json"
PARTS = ("model", "task", "data", "recipe")

PathLike = str | Path


def create_directory(out: PathLike | None, *, name: str) -> Path:
    """A new run directory: `out`, or the first free "runs/<name>-<number>".

    Raises: RunError if `out` holds a run already, or is not an empty directory.
    """
    if out is None:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
        number = 1
        while True:
            path = Path("runs") / f"{stem}-{number}"
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                number += 1
    path = Path(out)
    if (path / CONFIG).exists():
        raise RunError(f"{path} holds a run already. Go on with it (zoo resume {path}), or choose another directory.")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists and is not an empty directory. Choose another for the run.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Writes `config.json`, with the versions that matter."""
    import torch

    import zoo

    about = {"format": FORMAT, "zoo": zoo.__version__, "torch": torch.__version__, "python": platform.python_version()}
    write_json(directory / CONFIG, {**about, **config})


def read_config(directory: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises: RunError if the directory holds none, or one of another format.
    """
    path = directory / CONFIG
    if not path.is_file():
        runs = sorted(str(found.parent) for found in Path("runs").glob(f"*/{CONFIG}"))
        hint = f" Runs here: {', '.join(runs[-5:])}." if runs else ""
        raise RunError(f"{directory} is not a run directory: it has no {CONFIG}.{hint}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}. Restore it, or train anew.") from error
    if isinstance(config, dict) and config.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{path} is of format {config['format']}; this version reads {FORMAT}. Use the version of the zoo that "
            f"wrote it ({config.get('zoo', 'unknown')})."
        )
    missing = [part for part in PARTS if not isinstance(config, dict) or not isinstance(config.get(part), dict)]
    if missing or "format" not in config:
        raise RunError(f"{path} is damaged: it lacks {', '.join(missing) or 'its format'}. Restore it, or train anew.")
    return config  # type: ignore[no-any-return]


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    text = as_json(value, name=path.name)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def as_json(value: Any, *, name: str) -> str:
    """JSON in which dataclasses are objects and paths strings.

    name:   of the file it is for.
    Raises: TypeError for a value that JSON has nothing for.
    """

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        if isinstance(item, Path):
            return str(item)
        raise TypeError(f"{item!r} of type {type(item).__name__} cannot be kept in {name}: give numbers and texts.")

    return json.dumps(value, indent=2, default=plain) + "\n"
