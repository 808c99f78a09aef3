"""Studies of the learning rate: the range test, one cycle, warm restarts with snapshots, optimizers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo
from docs.toolkit.contests import compared, contest
from docs.toolkit.setting import RESNET, USUAL, Result, Setting
from zoo.ensembles import Ensemble, snapshot_ensemble
from zoo.ensembles.snapshots import snapshot_files
from zoo.training import Run

TARGET = 0.8  # validation accuracy to be reached


def super_convergence(setting: Setting, images: Path) -> Result:
    """One cycle against constant rates: steps to a target accuracy, and where both end."""
    contestants: dict[str, dict[str, Any]] = {
        f"constant {rate}": {"schedule": "constant", "lr": rate} for rate in (0.01, 0.03, 0.1)
    }
    whole = setting.epochs
    contestants |= {
        f"one cycle to 0.1, {epochs} epochs": {"schedule": "one_cycle", "lr": 0.1, "epochs": epochs}
        for epochs in (whole // 2, whole)
    }
    result, runs = contest(setting, "one_cycle", contestants, shared={"model": RESNET})
    rows = [
        (title, str(found[0].history[-1]["step"]), _steps_to(found), *row[1:])
        for (title, found), row in zip(runs.items(), result.rows, strict=True)
    ]
    picture = "toolkit_one_cycle.png"
    _curves(runs, images / picture)
    columns = ("schedule", "steps", f"steps to {TARGET:.0%} in validation", *result.columns[1:])
    return replace(result, columns=columns, rows=rows, pictures=(picture,))


def _steps_to(runs: list[Run]) -> str:
    """Optimizer steps at the first epoch whose validation reaches the target, in the median run."""
    reached = []
    for run in runs:
        steps = [record["step"] for record in run.history if record["accuracy"] >= TARGET]
        reached.append(steps[0] if steps else None)
    known = sorted(steps for steps in reached if steps is not None)
    if len(known) * 2 <= len(reached):
        return f"{len(known)} of {len(reached)} runs do"
    return str(known[(len(reached) - 1) // 2])


def _curves(runs: dict[str, list[Run]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for number, (title, found) in enumerate(runs.items()):
        for run in found:
            steps = [record["step"] for record in run.history]
            values = [record["accuracy"] for record in run.history]
            axes.plot(steps, values, color=f"C{number}", label=title if run is found[0] else None)
    axes.axhline(TARGET, color="grey", linestyle=":")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("validation accuracy")
    axes.legend(fontsize=8)
    figure.savefig(file)


def range_test(setting: Setting, images: Path) -> Result:
    """The LR finder's curve, and training at its suggestion, a third of it, and three times it."""
    usual = {name: USUAL[name] for name in ("optimizer", "weight_decay", "batch_size")}
    found = zoo.find_lr(RESNET, setting.data, data_options={"size": 28, "augment": "none"}, progress=False, **usual)
    picture = "toolkit_lr_finder.png"
    found.figure().savefig(images / picture, dpi=110)
    rates = {"suggested": found.suggestion, "a tenth": found.suggestion / 10, "three times": found.suggestion * 3}
    contestants = {f"{word}, {rate:.2g}": {"lr": rate, "epochs": setting.epochs // 2} for word, rate in rates.items()}
    result, _ = contest(setting, "lr_finder", contestants, shared={"model": RESNET})
    text = f"Suggested for one cycle: {found.suggestion:.3g}. {result.found}"
    return replace(result, found=text, pictures=(picture,))


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "nesterov": {"lr": 0.1},
    "sgd": {"lr": 0.3},
    "adam": {"lr": 3e-3},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3},
    "adagrad": {"lr": 3e-2},
    "lamb": {"lr": 1e-2, "weight_decay": 0.02},
    "lion": {"lr": 1e-3, "weight_decay": 0.1},
}
FACTORS = (0.3, 1.0, 3.0)  # on these rates, of which validation chooses


def optimizers(setting: Setting, images: Path) -> Result:
    """Optimizers over a short run on one cycle, each at the best of three rates for the first seed's validation."""
    short = {"epochs": setting.epochs // 2, "schedule_options": {"cycle_momentum": False}}
    contestants: dict[str, dict[str, Any]] = {}
    for name, options in OPTIMIZERS.items():
        tried = {}
        for factor in FACTORS:
            chosen = {**short, **options, "optimizer": name, "lr": options["lr"] * factor}
            run = setting.train(f"optimizers/rates/{name}-{factor}", seed=setting.seeds[0], **chosen)
            tried[run.results["validation"]["accuracy"]] = chosen
        best = tried[max(tried)]
        contestants[f"{name}, {best['lr']:.2g}"] = best
    result, _ = contest(setting, "optimizers", contestants)
    return replace(result, columns=("optimizer, rate", *result.columns[1:]))


CYCLES = 4


def restarts(setting: Setting, images: Path) -> Result:
    """One cosine, the same epochs in cycles with restarts, and the ensembles of the cycles' last weights."""
    epochs = 2 * setting.epochs
    single, whole = "one cosine", f"all {CYCLES} ends together"
    values: dict[str, list[float]] = {single: [], f"SGDR, {CYCLES} cycles": [], whole: [], "the last 2 ends": []}
    for seed in setting.seeds:
        run = setting.train(f"restarts/cosine-{seed}", model=RESNET, epochs=epochs, seed=seed, schedule="cosine")
        found = [setting.test(run)]
        place = setting.folder / f"restarts/snapshots-{seed}"
        every = snapshot_ensemble(
            RESNET, setting.data, cycles=CYCLES, seed=seed, out=place, epochs=epochs,
            data_options={"size": 28, "augment": "none"}, **{key: USUAL[key] for key in USUAL if key != "schedule"},
        )  # fmt: skip
        found.append(setting.test(zoo.load_run(place / "run")))
        found.append(every.evaluate(split="test")["accuracy"])
        out = setting.folder / f"restarts/last-{seed}"
        files = snapshot_files(place / "run")[-2:]
        runs = [place / "run"] * len(files)
        last = Ensemble.load(out) if out.is_dir() else Ensemble.of(runs, weights_files=files, out=out)
        found.append(last.evaluate(split="test")["accuracy"])
        for title, value in zip(values, found, strict=True):
            values[title].append(value)
    result = compared(values, figure="test accuracy")
    text = f"All cost the same {epochs} epochs of training; an ensemble costs that many predictions. {result.found}"
    return replace(result, found=text)
