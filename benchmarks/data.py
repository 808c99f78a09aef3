"""How fast batches and photographs are read, as ratios to DataLoader and Pillow in one process on one thread.

The contestants take turns and the medians count. The photographs are scikit-learn's two, resized and saved with
quality 90. Run: python benchmarks/data.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, TensorDataset

from vision.data.jpeg import open_image
from vision.data.transforms import STRENGTHS, evaluation_crop, training_crop
from zoo.data import ArraySource
from zoo.records import ImagePreprocessing

SIZES = {(500, 375): 1.7, (2000, 1500): 3.0}  # width, height: how much faster than Pillow is wanted
BATCHES_WANTED = 20.0
DIFFERENCE_WANTED = 1.5  # grey levels
PREPROCESSING = ImagePreprocessing()


def measure(turns: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each contestant over `rounds`; one round before them warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def pillow_crop(path: Path) -> np.ndarray:
    """The standard evaluation crop as Pillow makes it, uint8 [224, 224, 3]."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    scale = PREPROCESSING.resize / min(image.size)
    image = image.resize((int(image.width * scale + 1e-6), int(image.height * scale + 1e-6)), Image.Resampling.BILINEAR)
    height, width = PREPROCESSING.size
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return np.asarray(image.crop((left, top, left + width, top + height)))


def zoo_crop(path: Path) -> np.ndarray:
    """The same by the zoo."""
    return evaluation_crop(open_image(path), PREPROCESSING).permute(1, 2, 0).numpy()


def zoo_training_crop(path: Path) -> torch.Tensor:
    """A random crop with flip and colours, which Pillow's turn does not do."""
    return training_crop(open_image(path), PREPROCESSING, STRENGTHS["standard"], torch.full((8,), 0.4))


def photographs(folder: Path, size: tuple[int, int]) -> list[Path]:
    """Saves the two photographs at a size."""
    paths = []
    for number, pixels in enumerate(load_sample_images().images):
        paths.append(folder / f"{size[0]}_{number}.jpg")
        Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS).save(paths[-1], quality=90)
    return paths


def measure_photographs(console: Console, *, rounds: int) -> None:
    """One line for each size and photograph."""
    with tempfile.TemporaryDirectory() as folder:
        for size, wanted in SIZES.items():
            for number, path in enumerate(photographs(Path(folder), size)):
                turns: dict[str, Callable[[], object]] = {
                    "pillow": partial(pillow_crop, path),
                    "zoo": partial(zoo_crop, path),
                    "training": partial(zoo_training_crop, path),
                }
                times = measure(turns, rounds=rounds)
                apart = np.abs(pillow_crop(path).astype(float) - zoo_crop(path)).mean()
                console.print(
                    f"photograph {number} of {size[0]} x {size[1]} to a 224 crop: "
                    f"{times['pillow'] / times['zoo']:.2f} times as fast as Pillow ({1e3 * times['pillow']:.2f} ms), "
                    f"at least {wanted} is wanted; {apart:.2f} grey levels apart, at most {DIFFERENCE_WANTED}; "
                    f"with augmentation {times['pillow'] / times['training']:.2f} times"
                )


def measure_batches(console: Console, *, rounds: int) -> None:
    """One line for batches in order, one for shuffled ones."""
    inputs, targets = torch.randn(100_000, 20), torch.randint(0, 10, (100_000,))
    source, dataset = ArraySource(inputs, targets), TensorDataset(inputs, targets)

    def drain_loader(loader: DataLoader) -> None:
        for _ in loader:
            pass

    def drain_source(shuffle: bool) -> None:
        for _ in source.batches(batch_size=1024, shuffle=shuffle):
            pass

    for shuffle in (False, True):
        loader = DataLoader(dataset, batch_size=1024, shuffle=shuffle)
        turns: dict[str, Callable[[], object]] = {
            "loader": partial(drain_loader, loader),
            "zoo": partial(drain_source, shuffle),
        }
        times = measure(turns, rounds=max(3, rounds // 8))
        console.print(
            f"100,000 rows of 20 in batches of 1,024, {'shuffled' if shuffle else 'in order'}: "
            f"{times['loader'] / times['zoo']:.0f} times as fast as DataLoader ({1e3 * times['loader']:.0f} ms), at "
            f"least {BATCHES_WANTED:.0f} is wanted"
        )


def main() -> None:
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    console = Console(width=240)
    measure_batches(console, rounds=arguments.rounds)
    measure_photographs(console, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
