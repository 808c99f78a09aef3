"""What the on-the-fly log-mel spectrogram costs in a training step of the smallest models; goal: below 15 %.

The whole step and the front end alone take turns, so that both see the same machine; medians are compared. CPU time of
the process is measured, not the wall clock, which other programs share.

Run: OMP_NUM_THREADS=1 python benchmarks/spectrogram.py
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import zoo
from audio.data.clips import ClipBatch

RATE_HZ, SECONDS, BATCH = 8000, 1.0, 32
MODELS = ("logmel_cnn", "panns_cnn6", "panns_cnn10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="measurements of each contestant")
    parser.add_argument("--models", nargs="+", default=MODELS[:1], help=f"such as {', '.join(MODELS)}")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    lengths = torch.randint(int(0.3 * RATE_HZ * SECONDS), int(RATE_HZ * SECONDS) + 1, (BATCH,))
    clips = ClipBatch(0.1 * torch.randn(BATCH, int(lengths.max())), lengths)
    targets = torch.randint(0, 10, (BATCH,))
    print(f"batch of {BATCH} clips of {SECONDS} s or less at {RATE_HZ} Hz, {torch.get_num_threads()} threads")
    for name in arguments.models:
        model = zoo.create_model(name, num_classes=10, sample_rate_hz=RATE_HZ)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        frontend = model.get_submodule("frontend")
        whole, part = taking_turns(
            [lambda m=model, o=optimizer: step(m, o, clips, targets), lambda f=frontend: f(clips)], arguments.turns
        )
        share = part / whole
        verdict = "met" if share < 0.15 else "missed"
        print(
            f"{name:12} step {whole * 1e3:7.1f} ms, log-mel {part * 1e3:6.2f} ms: {share:.1%} (goal < 15 % {verdict})"
        )


def step(model: nn.Module, optimizer: torch.optim.Optimizer, clips: ClipBatch, targets: torch.Tensor) -> None:
    """One training step."""
    loss = nn.functional.cross_entropy(model(clips), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def taking_turns(contestants: list[Callable[[], object]], turns: int) -> list[float]:
    """Median CPU seconds of each, after two turns that do not count."""
    times: list[list[float]] = [[] for _ in contestants]
    for turn in range(turns + 2):
        for contestant, found in zip(contestants, times, strict=True):
            start = time.process_time()
            contestant()
            if turn >= 2:
                found.append(time.process_time() - start)
    return [statistics.median(found) for found in times]


if __name__ == "__main__":
    main()
