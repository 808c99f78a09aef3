"""DCGAN: strided convolutions and batch norm in both players, no pooling and no dense layers.

Source: Radford, Metz and Chintala 2015, arXiv:1511.06434, sections 3 and 4, figure 1; tensor names and kernels are
  those of pytorch/examples, dcgan/main.py.
Differs from the paper: 4 x 4 kernels (5 x 5 there); noise from a normal distribution (uniform there); widths from 64
  up in both players (128 in the generator there); the discriminator gives logits, its sigmoid is part of the loss.
Shapes: B images, D size of the noise, C channels, S pixels a side.
"""

import itertools
from typing import Literal, get_args

from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts
from vision.generation.gan import GAN, init_normal

Norm = Literal["batch", "layer", "none"]
SMALLEST_START = 4  # pixels a side of the first map; the largest is one less than its double
SLOPE = 0.2  # of leaky ReLUs below 0


class DCGANGenerator(nn.Module):
    """Noise [B, D] to images [B, C, S, S] in -1..1.

    image_size: a number from 4 to 7, doubled at least once: 28, 32, 64 and 128 are such.
    latent_dim: D.
    width:      channels before the last layer; each layer before has twice as many.
    """

    def __init__(self, *, image_size: int = 64, channels: int = 3, latent_dim: int = 100, width: int = 64) -> None:
        super().__init__()
        start, doublings = pyramid(image_size)
        check_counts(channels=channels, latent_dim=latent_dim, width=width)
        self.latent_dim = latent_dim
        self.image_shape = (channels, image_size, image_size)
        widths = [width * 2**index for index in reversed(range(doublings))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim, widths[0], kernel_size=start, bias=False)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), _doubling(before, after)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), _doubling(width, channels), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise [B, D], or [B, D, 1, 1], to images."""
        return self.main(noise.reshape(len(noise), self.latent_dim, 1, 1))


class DCGANDiscriminator(nn.Module):
    """Images [B, C, S, S] to scores [B], larger for more real.

    norm: "batch" as the paper; "layer" over channels and pixels of each image alone, or "none", where the gradient at
          each image must not depend on the others.
    Other arguments as for the generator; `width` are the channels after the first layer.
    """

    def __init__(self, *, image_size: int = 64, channels: int = 3, width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        start, halvings = pyramid(image_size)
        check_counts(channels=channels, width=width)
        check_choice("norm", norm, get_args(Norm))
        layers: list[nn.Module] = []
        before = channels
        for index in range(halvings):
            after = width * 2**index
            layers.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False))
            if index and norm != "none":
                layers.append(nn.BatchNorm2d(after) if norm == "batch" else nn.GroupNorm(1, after))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            before = after
        layers.append(nn.Conv2d(before, 1, kernel_size=start, bias=False))
        self.main = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, S, S] to scores [B]."""
        return self.main(images).reshape(len(images))


def _doubling(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1, bias=False)


def pyramid(image_size: int) -> tuple[int, int]:
    """Pixels a side of the smallest map, from 4 to 7, and how often they double to make `image_size`.

    Raises: ValueError for a size that is no such number.
    """
    start, doublings = image_size, 0
    while start >= 2 * SMALLEST_START and start % 2 == 0:
        start, doublings = start // 2, doublings + 1
    if not doublings or start >= 2 * SMALLEST_START:
        raise ValueError(
            f"image_size is {image_size}; a number from 4 to 7 that is doubled at least once is needed, such as 28, "
            "32, 48, 64, 96 or 128."
        )
    return start, doublings


def dcgan(
    *,
    image_size: int = 64,
    channels: int = 3,
    latent_dim: int = 100,
    generator_width: int = 64,
    discriminator_width: int = 64,
    discriminator_norm: Norm = "batch",
) -> GAN:
    """Both players for images [B, channels, image_size, image_size]; arguments as theirs."""
    return GAN(
        generator=DCGANGenerator(
            image_size=image_size, channels=channels, latent_dim=latent_dim, width=generator_width
        ),
        discriminator=DCGANDiscriminator(
            image_size=image_size, channels=channels, width=discriminator_width, norm=discriminator_norm
        ),
    )
