"""What the trainer costs over a bare PyTorch loop, as ratios in one process on one thread.

The contestants take turns, a few epochs each, and the median time of an epoch counts; the first of each turn is left
out. Run: python benchmarks/trainer.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from vision.classification.resnet import ResNet
from vision.classification.task import ImageClassification
from zoo.data import ArraySource
from zoo.training import Batch, Callback, Engine, Losses, ProgressBar, Recipe, Stage, Trainer

Turn = Callable[[], list[float]]


class ReadyBatches(ArraySource):
    """The same list of batches in every epoch, as the bare loop has it."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
        self.ready = batches

    def batches(self, **options: Any) -> Iterator[Batch]:
        return iter(self.ready)


class LossOnly(ImageClassification):
    """Computes what the bare loop computes: the loss."""

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        return {"loss": nn.functional.cross_entropy(model(batch[0]), batch[1])}


class EpochTimes(Callback):
    """Seconds of each epoch but the first, validation and checkpoint included."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_log(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        if record["event"] == "epoch":
            self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [end - start for start, end in zip(self.marks, self.marks[1:], strict=False)]


def bare(model: nn.Module, batches: Iterable[Any], optimizer: torch.optim.Optimizer, *, epochs: int) -> Turn:
    """The loop of PyTorch's tutorials."""

    def turn() -> list[float]:
        seconds = []
        model.train()
        for _ in range(epochs):
            start = time.perf_counter()
            for x, y in batches:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            seconds.append(time.perf_counter() - start)
        return seconds[1:]

    return turn


def ours(
    model: nn.Module, source: ArraySource, *, task: ImageClassification, batch_size: int, epochs: int,
    fused: bool | None, full: bool = False,
) -> Turn:  # fmt: skip
    """The zoo's trainer; `full` with accuracy, progress bar, log files and a checkpoint after every epoch."""
    recipe = Recipe(
        stages=(Stage(epochs=epochs, schedule="constant"),), batch_size=batch_size, weight_decay=0.0,
        optimizer_options={"fused": fused}, accelerator="cpu",
    )  # fmt: skip
    engine = Engine(recipe)
    console = Console(force_terminal=True, file=open("/dev/null", "w")) if full else None  # noqa: SIM115

    def turn() -> list[float]:
        with tempfile.TemporaryDirectory() as directory:
            times = EpochTimes()
            trainer = Trainer(
                model=model, task=task, train=source, recipe=recipe, engine=engine, progress=False,
                directory=Path(directory) if full else None,
                callbacks=[ProgressBar(console=console), times] if full else [times],
            )  # fmt: skip
            trainer.fit()
            return times.seconds()

    return turn


def compare(contestants: dict[str, Turn], *, turns: int) -> dict[str, float]:
    """Median seconds of an epoch of each contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, turn in contestants.items():
            seconds[name] += turn()
    return {name: statistics.median(found) for name, found in seconds.items()}


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def small_steps(*, turns: int, epochs: int) -> None:
    """MLP 64-128-10 on the digits, batch 64: here the step is short and every microsecond shows."""
    data = load_digits()
    x, y = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    ready = list(zip(x.split(64), y.split(64), strict=True))
    classes = [str(number) for number in range(10)]
    plain, usual = LossOnly(classes=classes), ImageClassification(classes=classes)
    loaded, kept = mlp(), mlp()
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    source = ArraySource(x, y)
    found = compare(
        {
            "bare": bare(kept, ready, torch.optim.AdamW(kept.parameters(), weight_decay=0.0), epochs=epochs),
            "step": ours(mlp(), ReadyBatches(ready), task=plain, batch_size=64, epochs=epochs, fused=False),
            "full": ours(mlp(), ReadyBatches(ready), task=usual, batch_size=64, epochs=epochs, fused=False, full=True),
            "loader": bare(loaded, loader, torch.optim.AdamW(loaded.parameters()), epochs=epochs),
            "zoo": ours(mlp(), source, task=plain, batch_size=64, epochs=epochs, fused=None),
        },
        turns=turns,
    )
    steps = len(ready)
    print(f"MLP 64-128-10, batch 64, bare step {found['bare'] / steps * 1e6:.0f} us")
    print(f"  trainer on the same batches                         {found['step'] / found['bare']:.2f} x bare")
    print(f"  with accuracy, progress bar, logs and checkpoints   {found['full'] / found['bare']:.2f} x bare")
    print(
        f"  own batches, fused AdamW                            {found['zoo'] / found['loader']:.2f} x DataLoader loop"
    )


def large_steps(*, turns: int) -> None:
    """ResNet-18 at 64 pixels, batch 16: here the trainer must vanish."""
    torch.manual_seed(0)
    batches = [(torch.randn(16, 3, 64, 64), torch.randint(10, (16,))) for _ in range(4)]
    build = {"block": "basic", "depths": (2, 2, 2, 2), "num_classes": 10}
    first, second = ResNet(**build), ResNet(**build)
    task = ImageClassification(classes=[str(number) for number in range(10)])
    optimizer = torch.optim.AdamW(first.parameters(), weight_decay=0.0)
    found = compare(
        {
            "bare": bare(first, batches, optimizer, epochs=3),
            "step": ours(second, ReadyBatches(batches), task=task, batch_size=16, epochs=3, fused=False),
        },
        turns=turns,
    )
    print(f"ResNet-18 at 64 pixels, batch 16, bare step {found['bare'] / 4 * 1e3:.0f} ms")
    print(f"  trainer                                             {found['step'] / found['bare']:.3f} x bare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each contestant")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of a turn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    small_steps(turns=arguments.turns, epochs=arguments.epochs)
    large_steps(turns=arguments.turns)


if __name__ == "__main__":
    main()
