"""Snapshot ensembles: one training whose rate falls and restarts, and a member from the end of each fall.

Source: Huang et al. 2017, arXiv:1704.00109, equation 2 and section 3; its schedule is "cosine_restarts" with
        num_cycles.
"""

from pathlib import Path
from typing import Any

from torch import nn

from zoo.data import Bundle
from zoo.ensembles.ensemble import FILE, Ensemble
from zoo.errors import RunError
from zoo.series import Plan, Start, claimed
from zoo.training import Callback, Trainer
from zoo.training.checkpoint import save_weights
from zoo.training.directory import PathLike

SETTINGS = "snapshots.json"
FOLDER = "snapshots"


class Snapshots(Callback):
    """Keeps the weights at the end of each cycle of the schedule, in the run's `snapshots/`.

    steps: after which optimizer steps of the run instead; None asks the schedule for its `cycle_ends`, which
           "cosine_restarts" has.
    Raises: ValueError, when training starts, for a schedule without cycles.
    """

    def __init__(self, *, steps: tuple[int, ...] | None = None) -> None:
        if steps is not None and (not steps or min(steps) < 1):
            raise ValueError(f"steps must be step numbers from 1 up, got {list(steps)}.")
        self.steps = steps
        self._stage = -1
        self._ends: frozenset[int] = frozenset()

    def on_step_end(self, trainer: Trainer) -> None:
        if self._stage != trainer.position.stage:
            self._stage, self._ends = trainer.position.stage, self._ends_of(trainer)
        if trainer.position.step in self._ends and trainer.directory is not None and trainer.engine.leads:
            path = trainer.directory / FOLDER / f"{trainer.position.step:08d}.safetensors"
            with trainer.evaluation_weights():
                save_weights(path, trainer.model)

    def _ends_of(self, trainer: Trainer) -> frozenset[int]:
        if self.steps is not None:
            return frozenset(self.steps)
        schedule = trainer.phases[0].schedule
        ends = getattr(getattr(schedule, "shape", None), "cycle_ends", None)
        if schedule is None or ends is None:
            raise ValueError("Snapshots need a schedule with cycles, such as 'cosine_restarts', or steps=.")
        before = trainer.position.step - trainer.position.stage_step
        return frozenset(before + schedule.warmup_steps + end for end in ends())


def snapshot_files(directory: Path) -> list[str]:
    """The snapshots of a run, the oldest first, as paths within its directory. Raises: RunError if it has none."""
    files = sorted(path.relative_to(directory).as_posix() for path in (directory / FOLDER).glob("*.safetensors"))
    if not files:
        raise RunError(f"{directory} has no {FOLDER}/: train it with the callback zoo.ensembles.Snapshots().")
    return files


def snapshot_ensemble(
    model: str | nn.Module,
    data: PathLike | Bundle,
    *,
    cycles: int = 5,
    last: int | None = None,
    start: Start = "train",
    seed: int = 0,
    out: PathLike | None = None,
    progress: bool = True,
    **options: Any,
) -> Ensemble:
    """Trains one run in `cycles` falls of the rate, and returns the average of its last snapshots.

    The same call with the same `out` goes on where it was stopped.

    model, data: as for `zoo.train`. A module of your own is copied.
    last:        how many snapshots to average, the latest; None takes all.
    start:       "train" or "fine_tune", whose options the others are, but for the schedule.
    """
    if cycles < 2 or not 1 <= (last or cycles) <= cycles:
        raise ValueError(f"At least 2 cycles, and 1 to all of them at last, are needed; got {cycles} and {last}.")
    if "schedule" in options or "schedule_options" in options:
        raise ValueError("The schedule of a snapshot ensemble is 'cosine_restarts'; leave schedule out.")
    if start == "fine_tune":
        options.setdefault("strategy", "full")  # one stage, whose steps the cycles divide
    options |= {"schedule": "cosine_restarts", "schedule_options": {"num_cycles": cycles}}
    plan = Plan.make(model, data, start=start, options={**options, "seed": seed})
    plan.check_rows("A snapshot ensemble")
    settings = {**plan.settings(), "cycles": cycles, "last": last, "seed": seed}
    title = model if isinstance(model, str) else type(model).__name__
    with claimed(out, name=f"{title}-snapshots", file=SETTINGS, settings=settings) as directory:
        place = directory / "run"
        callbacks = [Snapshots()]
        run = plan.run(place, callbacks=callbacks, progress=progress)
        chosen = snapshot_files(place)[-(last or cycles) :]
        if not (directory / "ensemble" / FILE).is_file():
            Ensemble.of([run] * len(chosen), weights_files=chosen, out=directory / "ensemble", data=plan.bundle)
        return Ensemble.load(
            directory / "ensemble", data=plan.bundle, model=model if isinstance(model, nn.Module) else None
        )
