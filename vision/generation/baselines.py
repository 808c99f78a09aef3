"""What a generator's distance to the data is to be seen against: real images, and the simplest ways to draw some.

Shapes: N images, B of a batch, P numbers in an image.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.data import Bundle, Source
from zoo.data.randomness import isolated_generators, seed_everything_here
from zoo.errors import DataError
from zoo.metrics.frechet import FrechetDistance

BATCH_SIZE = 250
MOST_ROWS = 10_000  # training images that the normal distribution is fitted to
MOST_COMPONENTS = 256  # of their covariance that are kept
Draw = Callable[[Bundle, int], Tensor]


def training_images(bundle: Bundle, num: int) -> Tensor:
    """`num` images of the training part, every one as often: the least distance that can be hoped for."""
    rows = torch.arange(num) * len(bundle.train) // num if num <= len(bundle.train) else torch.arange(num)
    plain = bundle.train.unaugmented()
    return torch.stack([plain[int(row) % len(plain)][0] for row in rows])


def normal_pixels(bundle: Bundle, num: int) -> Tensor:
    """`num` draws from a normal distribution with the mean and the main components of the training images."""
    known = training_images(bundle, min(MOST_ROWS, len(bundle.train)))
    flat = known.flatten(1)  # [N, P]
    mean = flat.mean(0)
    components = min(MOST_COMPONENTS, *flat.shape)
    with isolated_generators():
        seed_everything_here(0)
        _, scales, directions = torch.svd_lowrank(flat - mean, q=components)
        factors = torch.randn(num, components) * (scales / max(len(flat) - 1, 1) ** 0.5)
    return (mean + factors @ directions.T).clamp(-1, 1).reshape(num, *known.shape[1:])


def uniform_noise(bundle: Bundle, num: int) -> Tensor:
    """`num` images each of whose numbers is drawn from -1..1 alone."""
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(num, *bundle.train[0][0].shape, generator=generator) - 1


DRAWS: dict[str, Draw] = {
    "training images": training_images,
    "normal pixels": normal_pixels,
    "uniform noise": uniform_noise,
}


@torch.no_grad()
def distance_of(draw: Draw, bundle: Bundle, split: str, *, network: nn.Module) -> float:
    """The Frechet distance, in the features of `network`, of images drawn by `draw` to as many of a part of the data.

    Raises: DataError if there is no such part.
    """
    if split not in bundle.parts:
        raise DataError(f"There is no {split!r} part in these data; choose one of {', '.join(bundle.parts)}.")
    source: Source = bundle.parts[split].unaugmented()
    drawn = draw(bundle, len(source))
    device = next(network.parameters()).device
    metric: FrechetDistance | None = None
    batches = source.batches(batch_size=BATCH_SIZE, num_workers=0)
    for (real, *_), images in zip(batches, drawn.split(BATCH_SIZE), strict=True):
        features = network(images.to(device)), network(real.to(device))
        metric = metric or FrechetDistance(num_features=features[0].shape[1])
        metric.update(*features)
    assert metric is not None, "a source has rows"
    return metric.compute()
