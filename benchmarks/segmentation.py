"""A U-Net on ResNet-34 against segmentation_models_pytorch's: training step and prediction, as ratios on one thread.

Both have the same tensors and get the same images; they take turns, and the medians count.
Run: python -P benchmarks/segmentation.py   (needs `pip install segmentation-models-pytorch`)
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from vision.segmentation.encoder_unet import EncoderUNet

WANTED = 1.05  # of the other's time, at most


def measure(turns: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each contestant in each round; one round before them warms up, and they take turns to begin.

    Processor time, so that other programs of the machine count less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        names = list(turns) if number % 2 else list(turns)[::-1]
        for name in names:
            start = time.process_time()
            turns[name]()
            if number:
                seconds[name].append(time.process_time() - start)
    return seconds


def contestants(images: Tensor, masks: Tensor) -> dict[str, dict[str, Callable[[], object]]]:
    """For each kind of work what the two do."""
    import segmentation_models_pytorch

    torch.manual_seed(0)
    zoo = EncoderUNet(encoder="resnet34", num_classes=2)
    other = segmentation_models_pytorch.Unet("resnet34", encoder_weights=None, classes=2)
    other.load_state_dict(zoo.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(zoo.eval()(images), other.eval()(images), rtol=1e-4, atol=1e-4)

    def step(model: nn.Module) -> Callable[[], object]:
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)

        def turn() -> None:
            model.train()
            optimizer.zero_grad()
            F.cross_entropy(model(images), masks).backward()
            optimizer.step()

        return turn

    def prediction(model: nn.Module) -> Callable[[], object]:
        def turn() -> None:
            model.eval()
            with torch.inference_mode():
                model(images).argmax(1)

        return turn

    return {
        "training step": {"zoo": step(zoo), "other": step(other)},
        "prediction": {"zoo": prediction(zoo), "other": prediction(other)},
    }


def main() -> None:
    """Prints a line for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=128, help="height and width of the images, pixels")
    parser.add_argument("--batch-size", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(arguments.batch_size, 3, arguments.size, arguments.size)
    masks = torch.randint(2, (arguments.batch_size, arguments.size, arguments.size))
    console = Console(width=200)
    for kind, turns in contestants(images, masks).items():
        found = measure(turns, rounds=arguments.rounds)
        own, other = (statistics.median(found[name]) for name in ("zoo", "other"))
        ratio = statistics.median(left / right for left, right in zip(found["zoo"], found["other"], strict=True))
        console.print(
            f"{kind}, {arguments.batch_size} images of {arguments.size} x {arguments.size}: {ratio:.3f} of the time of "
            f"segmentation_models_pytorch ({1e3 * own:.0f} ms to {1e3 * other:.0f} ms), at most {WANTED} is wanted"
        )


if __name__ == "__main__":
    main()
