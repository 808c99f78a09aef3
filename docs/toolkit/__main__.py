"""Runs the studies of the toolkit that have no result yet, and writes docs/toolkit.md from all results.

Run: python -m docs.toolkit --data fashion-mnist/   (the folder of the Debian package dataset-fashion-mnist, or any
other with IDX files; without --data the 2,000 embedded images).  --only NAME runs one study, --again measures anew.
An interrupted call goes on where it was: every run is kept under --work.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from docs.toolkit.page import load, machine, page, save
from docs.toolkit.setting import Setting, subset
from docs.toolkit.studies import STUDIES
from vision.examples.embedded import FASHION_MNIST
from zoo.cli.scripts import plain_errors
from zoo.errors import check_name

DOCS = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder with IDX files")
    parser.add_argument("--rows", type=int, default=3000, help="images to train on, of a folder")
    parser.add_argument("--epochs", type=int, default=8, help="of a run of usual length")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each contestant")
    parser.add_argument("--work", type=Path, default=Path("runs/toolkit"), help="folder that keeps the runs")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(s.name for s in STUDIES)}")
    parser.add_argument("--again", action="store_true", help="measure anew what has a result")
    parser.add_argument("--list", action="store_true", help="only list the studies")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{study.name:14} {study.question}" for study in STUDIES))
        return
    with plain_errors():
        for name in arguments.only or ():
            check_name("study", name, [study.name for study in STUDIES])
        run_studies(arguments)
        (DOCS / "toolkit.md").write_text(page(STUDIES, RESULTS), encoding="utf-8")
        print(DOCS / "toolkit.md")


def run_studies(arguments: argparse.Namespace) -> None:
    """Each study that is asked for and has no result."""
    data = subset(arguments.data, arguments.work / "images.npz", train=arguments.rows)
    setting = Setting(arguments.work, data, arguments.epochs, tuple(range(arguments.seeds)))
    for study in STUDIES:
        if arguments.only and study.name not in arguments.only:
            continue
        if load(RESULTS, study.name) is not None and not arguments.again:
            continue
        print(f"{study.name}: {study.question}", flush=True)
        if arguments.again:
            shutil.rmtree(arguments.work / study.name, ignore_errors=True)
        start = time.perf_counter()
        result = study.run(setting, DOCS / "images")
        minutes = (time.perf_counter() - start) / 60
        save(result, RESULTS, study.name, setting={
            "words": words(arguments), "machine": machine(), "cores": os.cpu_count(), "minutes": round(minutes, 1)
        })  # fmt: skip


def words(arguments: argparse.Namespace) -> str:
    """What the studies work on, in a sentence."""
    if arguments.data == FASHION_MNIST:
        data = "the 2,000 embedded images of Fashion-MNIST"
    else:
        data = f"{arguments.rows:,} images of {arguments.data.name}"
    return f"Trained on {data} at 28 pixels, judged on test images that nothing was chosen by, on two CPU cores."


if __name__ == "__main__":
    main()
