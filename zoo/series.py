"""Several runs of one kind in one directory: begun once, gone on with by the same call, never overwritten."""

import copy
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from zoo.data import Bundle
from zoo.data.bundle import fingerprint_of
from zoo.errors import DataError, RunError, check_name
from zoo.registry import model_info
from zoo.training import Callback, Run, Task, fine_tune, train
from zoo.training.choices import build_task, read_bundle
from zoo.training.directory import CONFIG, PathLike, create_directory, write_json
from zoo.training.jobs import RECIPE_OPTIONS
from zoo.training.recipe import check_options

Start = Literal["train", "fine_tune"]
STARTS: tuple[Start, ...] = get_args(Start)
LOCK = ".lock"
# -- Arguments of `train` that a series sets itself, and the name of those that `train` hands on.
OURS = ("model", "data", "out", "progress", "recipe_options")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every run of a series has in common, with the data read and checked.

    options: of `zoo.train` or `zoo.fine_tune`, but for what each run has of its own.
    """

    model: str | nn.Module
    bundle: Bundle
    task: Task
    start: Start
    options: Mapping[str, Any]

    @classmethod
    def make(
        cls, model: str | nn.Module, data: PathLike | Bundle, *, start: Start, options: Mapping[str, Any]
    ) -> "Plan":
        """Reads the data and builds the task that is to judge.

        Raises: UnknownArgumentError for an option that a run does not take, or that a series sets itself.
        """
        check_name("way to start a run", start, STARTS)
        check_options(start, options, option_names(start))
        kept = dict(options)
        task, weights = kept.get("task"), kept.get("weights", "default" if start == "fine_tune" else None)
        entry = model_info(model) if isinstance(model, str) else None
        bundle = read_bundle(data, entry, task, weights, kept.pop("data_options", None))
        built = task if isinstance(task, Task) else build_task(task, entry, bundle, kept.get("task_options"))
        return cls(model=model, bundle=bundle, task=built, start=start, options=kept)

    def check_rows(self, what: str) -> None:
        """Raises DataError for a task that has no fixed rows, such as those of reinforcement learning."""
        if self.task.trainer != Task.trainer:
            raise DataError(
                f"{what} needs rows that are the same for every model, and {self.task.name} makes its own by acting. "
                "Train with several seeds instead: zoo train ... --set seed=1."
            )

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON can keep it: two series of equal settings are the same."""
        return {
            "model": _described(self.model),
            "data": {"origin": _described(self.bundle.origin), "fingerprint": self.bundle.fingerprint},
            "start": self.start,
            "options": _described(self.options),
        }

    def run(
        self,
        directory: Path,
        bundle: PathLike | Bundle | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        **changed: Any,
    ) -> Run:
        """The run of `directory`: trained, or gone on with where it was stopped, or opened where it is finished.

        bundle:  what it trains on; None for all data of the plan.
        changed: options that go over the plan's.
        """
        model = copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else self.model
        data = self.bundle if bundle is None else bundle
        callbacks = [*self.options.get("callbacks", ()), *callbacks]
        if (directory / CONFIG).is_file():
            known = data if isinstance(data, Bundle) else None
            return Run(directory, model=model if isinstance(model, nn.Module) else None, bundle=known).resume(
                callbacks=callbacks, progress=progress
            )
        for leftover in directory.glob(f".{CONFIG}.*.tmp"):  # of a kill at the very beginning
            leftover.unlink()
        begin = train if self.start == "train" else fine_tune
        options = {**self.options, **changed, "callbacks": callbacks, "progress": progress}
        return begin(model, data, out=directory, **options)


def option_names(start: Start) -> tuple[str, ...]:
    """What every run of a series can be given."""
    function = train if start == "train" else fine_tune
    own = [name for name in inspect.signature(function).parameters if name not in OURS]
    return (*own, *RECIPE_OPTIONS)


@contextmanager
def claimed(out: PathLike | None, *, name: str, file: str, settings: Mapping[str, Any]) -> Iterator[Path]:
    """The directory of a series, for this process alone: a new one, or that of a call with the same settings.

    out:    None takes the next free one under `runs/`.
    name:   what a new directory under `runs/` is called.
    file:   what the settings are kept as; its presence says that the directory is of this kind.
    Raises: RunError for a directory of other settings, of something else, or in use by another process.
    """
    from filelock import FileLock, Timeout

    wanted = json.loads(json.dumps(settings))
    if out is not None and (Path(out) / file).is_file():
        directory = Path(out)
        _check_settings(directory, read_json(directory / file), wanted)
    else:
        directory = create_directory(out, name=name)
        write_json(directory / file, wanted)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{directory} is in use by another process. Wait for it, or choose another directory.") from None
    try:
        yield directory
    finally:
        lock.release()


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises: RunError if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"There is no {path.name} in {path.parent}: it is not a directory of that kind.") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}. Restore it, or begin anew in another directory.") from error


def _check_settings(directory: Path, held: Any, wanted: Any) -> None:
    found = _difference(held, wanted)
    if found is not None:
        name, before, now = found
        raise RunError(
            f"{directory} was begun with other settings: {name} was {_short(before)} and is now {_short(now)}. Repeat "
            "the call as it was to go on, or choose another directory."
        )


def _difference(held: Any, wanted: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first setting that differs, as "options.epochs", with both values."""
    if held == wanted:
        return None
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in {**held, **wanted}:
            found = _difference(held.get(key), wanted.get(key), f"{name}.{key}" if name else key)
            if found is not None:
                return found
    return name, held, wanted


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _described(value: Any) -> Any:
    """A value as JSON can keep it: what it is, where it cannot be kept itself."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _described(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_described(item) for item in value]
    if isinstance(value, nn.Module):
        return {"class": type(value).__name__, "weights": fingerprint_of(*value.state_dict().values())}
    if isinstance(value, Task):
        return {"task": value.name, "schema": _described(value.schema())}
    return {"class": type(value).__name__}
