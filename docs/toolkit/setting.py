"""What all studies share: the images, the network, and runs that are kept, so that an interrupted page goes on."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from zoo.training import Run

RESNET = "resnet20_cifar"
# -- A fifteenth of its arithmetic, for studies of many runs: three layers of convolution.
SMALL = "cnn_linear"
SMALL_OPTIONS = {"widths": (16, 32, 64), "depths": (1, 1, 1)}
# -- What a ResNet-20 is trained with on small images, He et al. 2015, section 4.2, but for the schedule.
USUAL = {"optimizer": "nesterov", "weight_decay": 5e-4, "batch_size": 64, "lr": 0.1, "schedule": "one_cycle"}


@dataclass(frozen=True)
class Setting:
    """Where studies work and on what.

    folder: of all runs.
    data:   .npz with images, labels, classes and split.
    epochs: of a run of usual length.
    seeds:  of the runs of each contestant.
    """

    folder: Path
    data: Path
    epochs: int
    seeds: tuple[int, ...]

    def train(self, name: str, *, model: str = SMALL, augment: str = "none", **options: Any) -> Run:
        """The run `name`, trained unless it was before."""
        out = self.folder / name
        if (out / "results.json").is_file():
            return zoo.load_run(out)
        if (out / "checkpoints" / "last.pt").is_file():
            return zoo.load_run(out).resume()
        data_options = {"size": 28, "augment": augment, **options.pop("data_options", {})}
        chosen = {**USUAL, "epochs": self.epochs, **options}
        if model == SMALL:
            chosen["model_options"] = SMALL_OPTIONS
        if "schedule" in options and options["schedule"] != USUAL["schedule"]:
            chosen.setdefault("schedule_options", {})
        return zoo.train(model, self.data, data_options=data_options, out=out, **chosen)

    def test(self, run: Run, metric: str = "accuracy", **how: Any) -> float:
        """A figure of the run's best weights on the test part."""
        return run.results["test"][metric] if not how else run.evaluate(split="test", **how)[metric]


@dataclass(frozen=True)
class Result:
    """What a study found, as the page shows it.

    columns, rows: of its table.
    found:         what the figures say, in sentences.
    pictures:      file names under docs/images.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    found: str
    pictures: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Study:
    """One question to the data: `run` answers it, given the setting and the folder for pictures."""

    name: str
    title: str
    question: str
    run: Callable[[Setting, Path], Result]


def spread(values: Sequence[float], *, percent: bool = True) -> str:
    """Mean and standard error, "91.20 ± 0.14 %"; of one value the value alone."""
    scale, unit = (100, " %") if percent else (1, "")
    mean = f"{scale * statistics.fmean(values):.{2 if percent else 4}f}"
    if len(values) < 2:
        return mean + unit
    return f"{mean} ± {scale * standard_error(values):.{2 if percent else 4}f}{unit}"


def standard_error(values: Sequence[float]) -> float:
    """Of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values))


def verdict(base: Sequence[float], other: Sequence[float], *, higher_is_better: bool = True) -> str:
    """ "helps", "hurts" or "no difference seen": a difference counts from twice its standard error on.

    With one seed each there is no error to go by, and "better" or "worse" only says which figure is larger.
    """
    difference = statistics.fmean(other) - statistics.fmean(base)
    difference = difference if higher_is_better else -difference
    if min(len(base), len(other)) < 2:
        return "better" if difference > 0 else "worse" if difference < 0 else "equal"
    error = math.hypot(standard_error(base), standard_error(other))
    if abs(difference) <= 2 * error:
        return "no difference seen"
    return "helps" if difference > 0 else "hurts"


def subset(source: Path, out: Path, *, train: int, validation: int = 1000, test: int = 2000, seed: int = 0) -> Path:
    """A part of the images at `source`, IDX files or an .npz with a split, as an .npz; one that is there is kept."""
    if out.is_file():
        return out
    from vision.data.idx import find_idx, read_idx

    rng = np.random.default_rng(seed)
    if source.is_dir():
        pairs = {part: (read_idx(files.images), read_idx(files.labels)) for part, files in find_idx(source).items()}
        classes = np.array([f"class {number}" for number in range(int(pairs["train"][1].max()) + 1)])
        order = rng.permutation(len(pairs["train"][1]))
        held = {"train": order[:train], "validation": order[train : train + validation]}
        rows = [(pairs["train"][0][index], pairs["train"][1][index], part) for part, index in held.items()]
        index = rng.permutation(len(pairs["test"][1]))[:test]
        rows.append((pairs["test"][0][index], pairs["test"][1][index], "test"))
        images, labels = (np.concatenate([row[place] for row in rows]) for place in (0, 1))
        split = np.concatenate([np.full(len(row[1]), row[2]) for row in rows])
    else:
        with np.load(source) as held:
            images, labels, classes, split = (held[name] for name in ("images", "labels", "classes", "split"))
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, images=images, labels=labels, classes=classes, split=split)
    return out
