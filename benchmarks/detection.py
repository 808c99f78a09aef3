"""What a step of training and an inference of the zoo's Faster R-CNN take beside torchvision's with the same weights.

The contestants take turns in one process on one thread, and the median counts; what the random sampling of proposals
costs is the same for both. Run: python benchmarks/detection.py
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from vision.detection.faster_rcnn import FasterRCNN

WANTED = 1.05
Targets = list[dict[str, Tensor]]


def pair(size: int) -> tuple[nn.Module, FasterRCNN]:
    """torchvision's detector with frozen norms, and the zoo's with its weights; scores spread over the classes."""
    torch.manual_seed(0)
    theirs = fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=91, min_size=size, max_size=2 * size
    )
    freeze(theirs.backbone)
    with torch.no_grad():
        theirs.roi_heads.box_predictor.cls_score.weight.normal_(std=0.05)
        for name, buffer in theirs.named_buffers():
            if name.endswith("bn3.weight"):
                buffer.fill_(0.2)  # else signals grow from block to block
    ours = FasterRCNN(min_size=size, max_size=2 * size)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def freeze(module: nn.Module) -> None:
    """The norms as torchvision builds them with trained weights."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features))
        else:
            freeze(child)


def training_step(model: nn.Module, images: list[Tensor], targets: Targets) -> Callable[[], None]:
    def turn() -> None:
        model.train()
        torch.manual_seed(0)
        sum(model(images, targets).values()).backward()
        model.zero_grad(set_to_none=True)

    return turn


def inference(model: nn.Module, images: list[Tensor]) -> Callable[[], None]:
    def turn() -> None:
        model.eval()
        with torch.inference_mode():
            model(images)

    return turn


def measure(turns: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each contestant's turn on this thread's own clock; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            start = time.process_time()
            turn()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def main() -> None:
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant")
    parser.add_argument("--size", type=int, default=320, help="shorter side of the images, pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    theirs, ours = pair(arguments.size)
    images = [torch.rand(3, arguments.size, arguments.size * 4 // 3) for _ in range(2)]
    corners = torch.rand(2, 8, 2) * arguments.size * 0.6
    boxes = torch.cat((corners, corners + 20 + torch.rand(2, 8, 2) * arguments.size * 0.3), dim=2)
    labels = torch.randint(90, (2, 8))
    targets = [{"boxes": box, "labels": label} for box, label in zip(boxes, labels, strict=True)]
    shifted = [{**target, "labels": target["labels"] + 1} for target in targets]
    found = {
        "training step": measure(
            {
                "torchvision": training_step(theirs, images, shifted),
                "zoo": training_step(ours, images, targets),
            },
            rounds=arguments.rounds,
        ),
        "inference": measure(
            {"torchvision": inference(theirs, images), "zoo": inference(ours, images)}, rounds=arguments.rounds
        ),
    }
    for name, seconds in found.items():
        print(
            f"Faster R-CNN, ResNet-50 with a pyramid, 2 images of {arguments.size} pixels, {name}: "
            f"{seconds['zoo'] / seconds['torchvision']:.3f} times torchvision's {seconds['torchvision']:.2f} s, "
            f"{WANTED} at most is wanted"
        )


if __name__ == "__main__":
    main()
