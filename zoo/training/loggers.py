"""Callbacks that show and write what a run measures: progress bar, JSONL, CSV, TensorBoard."""

import csv
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo.training.callbacks import Callback
from zoo.training.checkpoint import write_atomically

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from zoo.training.trainer import Trainer

POSITION = ("event", "stage", "epoch", "step")


def describe(record: Mapping[str, Any], *, names: tuple[str, ...]) -> str:
    """The values called `names` in a record, with training's in brackets: "loss 1.12 (train 1.48)"."""
    parts = []
    for name in dict.fromkeys(names):
        value, in_training = record.get(name), record.get(f"train_{name}")
        if value is not None:
            parts.append(f"{name} {value:.4g}" + (f" (train {in_training:.4g})" if in_training is not None else ""))
        elif in_training is not None:
            parts.append(f"train {name} {in_training:.4g}")
    return "  ".join(parts)


def shown(batches: Iterable[Any], *, total: int, title: str) -> Iterable[Any]:
    """The batches, with a bar on standard error while they pass, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:
        return batches
    return track(batches, description=title, total=total, console=console, transient=True)


def without_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with None in place of NaN and infinities, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()
    }


class JSONLLogger(Callback):
    """Appends every record to `metrics.jsonl` in the run directory.

    A resumed run cuts off what was written after its checkpoint, so that the file equals an unbroken run's but for
    the times.
    """

    def __init__(self) -> None:
        self._length = 0
        self._file: BinaryIO | None = None

    def on_fit_start(self, trainer: "Trainer") -> None:
        if trainer.directory is not None and trainer.engine.leads:
            self._file = open(trainer.directory / "metrics.jsonl", "ab")  # noqa: SIM115
            self._length = min(self._length, self._file.tell())  # a file that was deleted begins anew
            self._file.truncate(self._length)

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        if self._file is not None:
            line = (json.dumps(without_nan({**record, "time": round(time.time(), 3)})) + "\n").encode()
            self._file.write(line)
            self._file.flush()
            self._length += len(line)

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def state_dict(self) -> dict[str, Any]:
        return {"length": self._length}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._length = state["length"]


class CSVLogger(Callback):
    """Keeps one row for each epoch in `epochs.csv`, for spreadsheets. New columns, of a later stage, rewrite it."""

    def __init__(self) -> None:
        self._columns: list[str] = []

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        if record["event"] != "epoch" or trainer.directory is None or not trainer.engine.leads:
            return
        path, row = trainer.directory / "epochs.csv", trainer.history[-1]
        if self._columns and row.keys() <= set(self._columns):
            with open(path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
            return
        self._columns = list(dict.fromkeys(name for row in trainer.history for name in row))
        write_atomically(path, lambda temporary: self._write_all(temporary, trainer.history), flush=False)

    def _write_all(self, path: Path, history: Sequence[Mapping[str, Any]]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(history)


class TensorBoardLogger(Callback):
    """Writes every number for TensorBoard into the run's `tensorboard/`."""

    def __init__(self) -> None:
        self._writer: Any = None

    def on_fit_start(self, trainer: "Trainer") -> None:
        if trainer.directory is not None and trainer.engine.leads:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(trainer.directory / "tensorboard"), purge_step=trainer.position.step)

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        if self._writer is not None:
            for name, value in record.items():
                if name not in POSITION and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{record['event']}/{name}", value, record["step"])

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._writer is not None:
            self._writer.close()


class ProgressBar(Callback):
    """A progress bar on a terminal, and a line for each epoch everywhere.

    refresh: least seconds between two drawings of the bar. Lines come twice as often at most, so that epochs of
             milliseconds do not flood the screen; the last of a stage is always printed.
    """

    def __init__(self, *, console: "Console | None" = None, refresh: float = 0.2) -> None:
        self._console = console
        self._refresh = refresh
        self._bar: Progress | None = None
        self._row: Any = None
        self._due = 0.0
        self._line_due = 0.0
        self._shown = ""

    def on_fit_start(self, trainer: "Trainer") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        if not trainer.engine.leads:
            return
        self._console = self._console or Console()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(), TextColumn("{task.fields[shown]}"),
                console=self._console, auto_refresh=False, transient=True,
            )  # fmt: skip
            self._row = self._bar.add_task("", total=None, shown="")
            self._bar.start()

    def on_step_end(self, trainer: "Trainer") -> None:
        if self._bar is not None and (now := time.monotonic()) >= self._due:
            self._due = now + self._refresh
            self._bar.update(
                self._row,
                completed=trainer.position.batch,
                total=trainer.stage.batches_per_epoch,
                description=trainer.describe_position(),
                shown=self._shown,
            )
            self._bar.refresh()

    def on_log(self, trainer: "Trainer", record: Mapping[str, Any]) -> None:
        self._shown = describe(record, names=("loss", trainer.task.monitor))
        if record["event"] == "epoch" and self._console is not None:
            now = time.monotonic()
            if now < self._line_due and not trainer.stage_is_over():
                return
            self._line_due = now + self._refresh / 2
            self._console.print(f"{trainer.describe_position()}  {self._shown}", highlight=False)
        elif record["event"] == "stage" and self._console is not None:
            self._console.print(f"{record['message']}", highlight=False)

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
