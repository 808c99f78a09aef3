"""The example, run as a newcomer runs it: in an empty folder, without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vision.data.masks import read_masks


@pytest.mark.slow
def test_the_example_beats_a_forest_on_filtered_pixels(tmp_path):
    """Form alone tells the classes apart: fails if the network sees no farther than the filters."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vision.examples.segment", "--quick", "--out", "runs"],
        cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures = next(line for line in done.stdout.splitlines() if line.startswith("fold 0: "))
    own, forest = (float(part.split()[0]) for part in figures.split("mean_iou ")[1:])
    assert own > forest + 0.1
    assert (tmp_path / "runs" / "fold-0" / "overlays_validation.png").is_file()


def test_a_wrong_folder_says_what_was_expected(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vision.examples.segment", "--data", "nothing"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "There is nothing at" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_membranes_of_the_papers_data_are_read():
    root = Path(os.environ.get("ZOO_DATA", "")) / "isbi_membrane"
    if not root.is_dir():
        pytest.skip("ZOO_DATA does not hold isbi_membrane")
    bundle = read_masks(root, input_shape=(1, 572, 572), classes=["membrane", "cell"], fold=0, split="blocks")
    assert [len(part) for part in bundle.parts.values()] == [24, 6]
    image, mask = bundle.validation[0]
    assert image.shape == (1, 512, 512)
    assert sorted(mask.unique().tolist()) == [0, 1]
    assert 0.7 < mask.float().mean() < 0.85
