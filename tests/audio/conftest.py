from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000
PITCHES = {"high": 1500.0, "low": 300.0, "middle": 700.0}


def tone(hertz: float, seconds: float, *, rate: int = RATE, seed: int = 0, level: float = 0.3) -> np.ndarray:
    """A tone with a little noise, [T]."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    return (level * np.sin(2 * np.pi * hertz * time) + 0.01 * noise).astype("float32")


def write_tones(folder: Path, *, classes: Sequence[str] = tuple(PITCHES), number: int = 8, rate: int = RATE) -> Path:
    """`number` clips of 0.2 to 0.4 s for each class, whose name is that of its pitch."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(number):
            pitch = PITCHES[name] * (1 + 0.02 * index)
            clip = tone(pitch, 0.2 + 0.2 * index / number, rate=rate, seed=index)
            soundfile.write(folder / name / f"{index:02}.{'flac' if index % 2 else 'wav'}", clip, rate)
    return folder


@pytest.fixture
def make_tone() -> Callable[..., np.ndarray]:
    """`tone`: one clip."""
    return tone


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """A folder of 8 clips of each of the classes high, low and middle, at 8 kHz."""
    return write_tones(tmp_path / "tones")


@pytest.fixture
def tone_folder() -> Callable[..., Path]:
    """`write_tones`: writes a folder of clips."""
    return write_tones


@pytest.fixture
def spoken(tmp_path: Path, make_tone: Callable[..., np.ndarray]) -> Path:
    """A flat folder of {label}_{speaker}_{index}.wav: 2 classes, 3 speakers, indices 0..5."""
    folder = tmp_path / "spoken"
    folder.mkdir()
    for label, pitch in (("one", 300.0), ("two", 900.0)):
        for number, speaker in enumerate(("ann", "ben", "cid")):
            for index in range(6):
                clip = make_tone(pitch * (1 + 0.05 * number), 0.1 + 0.01 * index, seed=index)
                soundfile.write(folder / f"{label}_{speaker}_{index}.wav", clip, RATE)
    return folder
