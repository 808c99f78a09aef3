"""Studies of what keeps a network from learning its training rows by heart: penalties, averages of weights, views."""

from pathlib import Path
from typing import Any

from docs.toolkit.contests import compared, contest
from docs.toolkit.setting import Result, Setting

REGULARISERS: dict[str, dict[str, Any]] = {
    "none": {"weight_decay": 0.0},
    "weight decay 5e-4 (in the optimizer)": {},
    "L2 5e-4": {"weight_decay": 0.0, "l2": 5e-4},
    "L1 1e-5": {"weight_decay": 0.0, "l1": 1e-5},
    "label smoothing 0.1": {"weight_decay": 0.0, "task_options": {"label_smoothing": 0.1}},
    "EMA 0.99": {"weight_decay": 0.0, "ema": 0.99},
    "SWA from 75 %": {"weight_decay": 0.0, "swa": 0.75},
    "early stopping, patience 3": {"weight_decay": 0.0, "patience": 3},
}


def regularisation(setting: Setting, images: Path) -> Result:
    """Penalties and averages of weights."""
    # Long enough for the network to know its training rows by heart.
    result, _ = contest(setting, "regularisation", REGULARISERS, shared={"epochs": 3 * setting.epochs})
    return result


def test_time(setting: Setting, images: Path) -> Result:
    """One look at a test image, or the mean over several views of it."""
    runs = [setting.train(f"views/run-{seed}", seed=seed, augment="light") for seed in setting.seeds]
    values = {"one look": [setting.test(run) for run in runs]}
    for view in ("flip", "five_crop", "ten_crop"):
        values[view] = [setting.test(run, tta=view) for run in runs]
    values["flip, logits averaged"] = [setting.test(run, tta="flip", average="logits") for run in runs]
    return compared(values, figure="test accuracy")
