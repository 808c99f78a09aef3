"""Studies of speed: frozen features, precision and memory layout, gradient checkpointing."""

import time
from pathlib import Path
from typing import Any

from docs.toolkit.setting import Result, Setting, spread

PRETRAINED = "efficientnet_lite0"
SIZE = 64  # pixels, at which ImageNet's weights still see something


def frozen_features(setting: Setting, images: Path) -> Result:
    """A new head on a frozen body, the body run at every epoch or once."""
    import zoo

    rows, seconds = [], {}
    for title, cached in (("body at every epoch", False), ("features computed once", True)):
        accuracies, taken = [], []
        for seed in setting.seeds[:1]:
            out = setting.folder / f"frozen/{'cached' if cached else 'plain'}-{seed}"
            if (out / "results.json").is_file():
                accuracies.append(setting.test(zoo.load_run(out)))
                taken.append(float((out / "seconds.txt").read_text()))
                continue
            start = time.perf_counter()
            run = zoo.fine_tune(
                PRETRAINED, setting.data, strategy="head", epochs=setting.epochs, cache_features=cached, seed=seed,
                out=out, data_options={"size": SIZE, "augment": "none"},
            )  # fmt: skip
            taken.append(time.perf_counter() - start)
            (out / "seconds.txt").write_text(str(taken[-1]))
            accuracies.append(setting.test(run))
        seconds[title] = min(taken)
        rows.append((title, spread(accuracies), f"{min(taken):.0f} s"))
    slow, quick = seconds.values()
    text = f"{slow / quick:.1f} times faster over {setting.epochs} epochs, reading and judging included."
    return Result(("head of EfficientNet-Lite0", "test accuracy", "whole run"), rows, text)


WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"precision": "bf16-mixed"},
    "channels last": {"channels_last": True},
    "bf16 and channels last": {"precision": "bf16-mixed", "channels_last": True},
}


def precision(setting: Setting, images: Path) -> Result:
    """Time of a step of ResNet-18 at 64 pixels, by precision and layout."""
    import zoo

    taken: dict[str, list[float]] = {title: [] for title in WAYS}
    for turn in range(3):  # the contestants take turns
        for title, options in WAYS.items():
            out = setting.folder / f"precision/{title.replace(' ', '_')}-{turn}"
            run = zoo.load_run(out) if (out / "results.json").is_file() else zoo.train(
                "resnet18", setting.data, epochs=1, max_steps=30, batch_size=32, log_every_steps=10, out=out,
                progress=False, data_options={"size": SIZE, "augment": "none"}, **options,
            )  # fmt: skip
            taken[title].append(_step_seconds(run.directory / "metrics.jsonl"))
    base = min(taken["float32"])
    rows = [(title, f"{1000 * min(found):.0f} ms", f"{base / min(found):.2f}x") for title, found in taken.items()]
    best = min(taken, key=lambda title: min(taken[title]))
    return Result(("ResNet-18, batch of 32", "a step", "speed"), rows, f"Fastest here: {best}.")


def _step_seconds(file: Path) -> float:
    """Seconds of a step, from the time stamps of the log, the first ones left out."""
    import json

    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    stamps = [(record["step"], record["time"]) for record in records if record["event"] == "train"]
    (first, start), (last, end) = stamps[0], stamps[-1]
    return (end - start) / (last - first)
