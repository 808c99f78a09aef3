"""The example, run as a newcomer runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(os.environ.get("ZOO_DATA", "")) / "free_spoken_digit" / "recordings"


def run(*arguments: object, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "audio.examples.classify", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_folder_of_classes(tones, tmp_path):
    """Fails if the example needs the digits' names of files, or does not say what to compare with."""
    printed = run("--data", tones, "--quick", "--out", "run", folder=tmp_path)
    assert "test accuracy" in printed
    assert "mean and deviation of MFCCs" in printed
    assert (tmp_path / "run" / "config.json").is_file()


@pytest.mark.slow
def test_one_speaker_is_left_out(spoken, tmp_path):
    printed = run("--data", spoken, "--quick", "--leave-one-speaker-out", "--out", "runs", folder=tmp_path)
    assert "\nann: " in printed
    assert "mean over 1 speakers left out" in printed


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.skipif(not DIGITS.is_dir(), reason="ZOO_DATA does not hold the spoken digits")
def test_spoken_digits_beat_the_baseline(tmp_path):
    printed = run("--data", DIGITS, "--out", "run", folder=tmp_path)
    accuracy = float(printed.split("test accuracy ")[1].split("%")[0])
    baseline = float(printed.split("MFCCs ")[1].split("%")[0])
    assert accuracy > max(95.0, baseline)
