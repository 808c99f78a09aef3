"""What Grad-CAM costs over one forward and backward pass of the same network, as ratios in one process on one thread.

The contestants take turns and the median counts. Both passes get the same batch; the plain one computes the gradients
of all parameters, as a training step does. Run: python benchmarks/explain.py
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from torch import nn
from torchvision.models import get_model

from zoo.explanation import explain

CNN, VIT = "resnet18", "vit_b_16"


def contestants(name: str, *, batch_size: int) -> dict[str, Callable[[], object]]:
    """By name, what takes turns: the plain pass and Grad-CAM, which finds its layer anew in each call."""
    model = get_model(name).eval()
    for head in (module for module in model.modules() if isinstance(module, nn.Linear)):
        nn.init.normal_(head.weight, std=0.02)  # torchvision's ViT starts with a head of zeros: no gradient at all
    images = torch.randn(batch_size, 3, 224, 224)

    def forward_backward() -> None:
        model.zero_grad(set_to_none=True)
        model(images).amax(dim=1).sum().backward()

    return {"plain": forward_backward, "grad_cam": lambda: explain(model, images)}


def measure(turns: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each contestant over `rounds`; one round before them warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def main() -> None:
    """Prints one line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--vit", action="store_true", help=f"measure {VIT} too")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in (CNN, VIT) if arguments.vit else (CNN,):
        times = measure(contestants(name, batch_size=arguments.batch_size), rounds=arguments.rounds)
        Console(width=160).print(
            f"{name} at 224, batch {arguments.batch_size}: Grad-CAM takes {times['grad_cam'] / times['plain']:.2f}x "
            f"of a forward and backward pass ({1e3 * times['plain']:.0f} ms); at most 1.10x is wanted"
        )


if __name__ == "__main__":
    main()
