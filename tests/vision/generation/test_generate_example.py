"""The example of generation, run as a newcomer runs it: in an empty folder, without a network."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_example_measures_and_compares(tmp_path):
    """Fails if it does not run, or what it compares with is not in order."""
    command = [sys.executable, "-m", "vision.examples.generate", "--quick", "--size", "28", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = dict(line.strip().rsplit(" ", 1) for line in done.stdout.splitlines() if line.startswith("  "))
    values = {name: float(value) for name, value in figures.items()}
    assert values["training images"] < values["normal pixels"] < values["uniform noise"]
    assert "fid_own_classifier of dcgan" in done.stdout
    assert list((tmp_path / "out" / "dcgan" / "pictures").glob("samples-*.png"))


def test_a_misspelt_model_gets_the_nearest_names(tmp_path):
    """Fails if a classifier is trained before the name of the generator is looked at."""
    command = [sys.executable, "-m", "vision.examples.generate", "--model", "dcgam"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "dcgan" in done.stderr
    assert not list(tmp_path.iterdir())
