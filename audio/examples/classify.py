"""Trains a sound classifier on spoken digits, and compares with logistic regression on cepstra.

The data are the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset): 3,000 clips at 8 kHz of
six speakers, named {digit}_{speaker}_{index}.wav. Its authors' test part is the indices 0 to 4, of the speakers that
are trained on. --leave-one-speaker-out trains a model for each speaker on the other five instead, which says more.

Run: python -m audio.examples.classify --data recordings/   (a folder with a sub-folder per class works too)
"""

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.training import Run, train

PATTERN = "{label}_{speaker}_{index}.wav"
OFFICIAL_TEST: dict[str, Any] = {"test_where": {"index": [0, 1, 2, 3, 4]}}
RECIPES: dict[str, dict[str, Any]] = {"m5": {"lr": 2e-3}, "logmel_cnn": {"lr": 3e-3}}
PUBLISHED = (
    "published: the data set has no official figure; the 2018 notebook that its page names, a CNN on MFCCs of three "
    "speakers with a random tenth held out, reports 97 % (adhishthite.github.io/sound-mnist)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of {digit}_{speaker}_{index}.wav, or of classes"
    )
    parser.add_argument("--model", default="logmel_cnn", help="any name of `zoo list --task audio/classification`")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training data")
    parser.add_argument("--leave-one-speaker-out", action="store_true", help="one model for each speaker")
    parser.add_argument("--quick", action="store_true", help="one epoch, and of the speakers one only: does it run?")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    arguments = parser.parse_args()
    epochs = 1 if arguments.quick else arguments.epochs
    with plain_errors():
        if arguments.leave_one_speaker_out:
            leave_one_out(arguments.data, arguments.model, epochs, arguments.out, quick=arguments.quick)
        else:
            split = {"pattern": PATTERN, **OFFICIAL_TEST} if _is_flat(arguments.data) else {"test": 0.1}
            show(run_once(arguments.data, arguments.model, epochs, arguments.out, split))


def leave_one_out(data: Path, model: str, epochs: int, out: Path | None, *, quick: bool) -> None:
    """Prints the accuracy on each speaker of a model that never heard him, and the mean over speakers."""
    speakers = sorted({path.stem.split("_")[1] for path in data.glob("*_*_*.wav")})
    found = []
    for speaker in speakers[:1] if quick else speakers:
        split = {"pattern": PATTERN, "leave_out": speaker}
        run = run_once(data, model, epochs, None if out is None else out / speaker, split)
        found.append((run.results["test"]["accuracy"], baseline(run, "test")))
        print(f"{speaker}: {found[-1][0]:.1%}, MFCC baseline {found[-1][1]:.1%}", flush=True)
    means = [sum(column) / len(found) for column in zip(*found, strict=True)]
    print(f"mean over {len(found)} speakers left out: {means[0]:.1%}, MFCC baseline {means[1]:.1%}")


def run_once(data: Path, model: str, epochs: int, out: Path | None, split: dict[str, Any]) -> Run:
    """One run, with a tenth of the training clips to validate on."""
    recipe = RECIPES.get(model, {"lr": 1e-3})
    options = {"validation": 0.1, "augment": "light", **split}
    return train(model, data, epochs=epochs, schedule="one_cycle", out=out, data_options=options, **recipe)


def show(run: Run) -> None:
    """Prints what was reached beside what to compare with."""
    split = "test" if "test" in run.results else "validation"
    print(f"{split} accuracy {run.results[split]['accuracy']:.1%}, run in {run.directory}")
    print(f"to compare: logistic regression on the mean and deviation of MFCCs {baseline(run, split):.1%}")
    print(PUBLISHED)


def baseline(run: Run, split: str) -> float:
    """Accuracy of the task's classical model on the same data."""
    return run.task.baselines()["mfcc_logistic_regression"](run.bundle, split)["accuracy"]


def _is_flat(data: Path) -> bool:
    return data.is_dir() and any(data.glob("*_*_*.wav"))


if __name__ == "__main__":
    main()
