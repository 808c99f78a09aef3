"""Studies of several models together: averages, votes, soups, stacks, and the search for one good model."""

import statistics
from pathlib import Path
from typing import Any

import zoo
from docs.toolkit.setting import SMALL, SMALL_OPTIONS, USUAL, Result, Setting
from zoo.ensembles import Ensemble, greedy_soup, stack, uniform_soup
from zoo.searching import search as run_search

MEMBERS = 5


def ensembles(setting: Setting, images: Path) -> Result:
    """Several runs that differ in their seed, together in four ways."""
    runs = [setting.train(f"ensembles/run-{seed}", seed=seed) for seed in range(MEMBERS)]
    accuracies = [setting.test(run) for run in runs]
    rows = [
        ("one run, mean and best", f"{100 * statistics.fmean(accuracies):.2f} and {100 * max(accuracies):.2f} %", "1")
    ]
    for method, title in (("averaging", "probabilities averaged"), ("voting", "votes")):
        out = setting.folder / f"ensembles/{method}"
        found = Ensemble.load(out) if out.is_dir() else Ensemble.of(runs, method=method, out=out)
        rows.append((title, f"{100 * found.evaluate(split='test')['accuracy']:.2f} %", str(MEMBERS)))
    starts = [
        setting.train(
            f"ensembles/goes_on-{seed}", seed=seed, lr=(0.02, 0.03, 0.05)[seed % 3], epochs=max(2, setting.epochs // 3),
            weights=runs[0].directory / "model.safetensors",
        )
        for seed in range(MEMBERS)
    ]  # fmt: skip
    later = [setting.test(run) for run in starts]
    shown = f"{100 * statistics.fmean(later):.2f} and {100 * max(later):.2f} %"
    rows.append((f"{MEMBERS} runs that go on from the first, mean and best", shown, "1"))
    soups = ((uniform_soup, starts, "their weights averaged"), (greedy_soup, starts, "their weights, greedily"),
             (uniform_soup, runs, "weights of runs that started apart, averaged"))  # fmt: skip
    for number, (cook, ingredients, title) in enumerate(soups):
        out = setting.folder / f"ensembles/soup-{number}"
        soup = zoo.load_run(out) if out.is_dir() else cook(ingredients, batch_norm="recompute", out=out)
        rows.append((title, f"{100 * soup.evaluate(split='test')['accuracy']:.2f} %", "1"))
    gain = float(rows[1][1].removesuffix(" %")) - 100 * statistics.fmean(accuracies)
    text = (
        f"Averaging the probabilities of {MEMBERS} runs gives {gain:+.2f} points over their mean. Weights can only be "
        "averaged of runs that share a start (Wortsman et al. 2022); the last row shows what happens otherwise."
    )
    return Result((f"{MEMBERS} runs", "test accuracy", "predictions for each image"), rows, text)


BASES: tuple[tuple[str, dict[str, Any]], ...] = (
    (SMALL, {"model_options": SMALL_OPTIONS}),
    ("lenet5", {"lr": 3e-3, "optimizer": "adamw"}),
    (SMALL, {"model_options": {"widths": (32, 64), "depths": (1, 1)}}),
)


def stacking(setting: Setting, images: Path) -> Result:
    """Three different networks: each alone, averaged, and stacked by logistic regression on out-of-fold answers."""
    out = setting.folder / "stacking"
    shared = {**USUAL, "epochs": setting.epochs, "data_options": {"size": 32, "augment": "none"}}
    found = stack(list(BASES), setting.data, k=5, out=out / "stack", **shared)
    members = [member.evaluate(split="test")["accuracy"] for member in found.members]
    place = out / "average"
    runs = [member.directory for member in found.members]
    average = Ensemble.load(place) if place.is_dir() else Ensemble.of(runs, out=place)
    names = ("three layers of convolution", "LeNet-5", "two wider layers")
    rows = [(name, f"{100 * value:.2f} %") for name, value in zip(names, members, strict=True)]
    together = {"averaged": average.evaluate(split="test"), "stacked, 5 folds": found.evaluate(split="test")}
    rows += [(title, f"{100 * values['accuracy']:.2f} %") for title, values in together.items()]
    better = together["stacked, 5 folds"]["accuracy"] - together["averaged"]["accuracy"]
    text = f"Stacking against plain averaging: {100 * better:+.2f} points, one seed."
    return Result(("", "test accuracy"), rows, text)


def search(setting: Setting, images: Path) -> Result:
    """Optuna over rate, decay and optimizer, pruned by validation, against the options that the page uses."""
    space = {
        "lr": "1e-3..1:log",
        "weight_decay": "1e-5..1e-2:log",
        "optimizer": ["nesterov", "adamw", "lamb"],
        "batch_size": [32, 64, 128],
    }
    found = run_search(
        SMALL, setting.data, space=space, trials=15, out=setting.folder / "search", epochs=setting.epochs // 2,
        schedule="one_cycle", model_options=SMALL_OPTIONS, data_options={"size": 28, "augment": "none"},
        progress=False,
    )  # fmt: skip
    usual = setting.train("search_usual/run-0", epochs=setting.epochs // 2, seed=0)
    best = found.best
    pruned = sum(trial.state == "pruned" for trial in found.trials)
    rows = [
        ("the page's options", f"{100 * setting.test(usual):.2f} %"),
        ("the best trial", f"{100 * setting.test(found.best_run):.2f} %"),
    ]
    words = ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in best.parameters.items()
    )
    text = f"15 trials, {pruned} of them pruned early. Best: {words}."
    return Result(("", "test accuracy"), rows, text)
