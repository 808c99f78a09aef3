"""The residual players of WGAN-GP for images of 32 x 32 pixels.

Source: Gulrajani et al. 2017, arXiv:1704.00028, the CIFAR-10 ResNet of section 5 and the appendix; blocks, biases and
  initialisation as in the authors' igul222/improved_wgan_training, gan_cifar_resnet.py.
Differs from the paper: no class labels; no norm in the critic unless asked for, as in the authors' code; the recipe
  holds the rate, which falls to 0 over 100,000 steps there.
Shapes: B images, D size of the noise, C channels, W width, H x H pixels.
"""

import math
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from vision.classification.arguments import check_choice, check_counts
from vision.generation.dcgan import Norm, pyramid
from vision.generation.gan import GAN
from zoo.layers import make_normalisation

Resample = Literal["up", "down", "none"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch norm, layer norm over channels and pixels of an image with a scale for each channel, or nothing."""
    options = {"over": "sample"} if norm == "layer" else {}
    return make_normalisation(norm, channels, **options)


class ResidualBlock(nn.Module):
    """Maps [B, channels_in, H, H] to [B, channels_out, H', H'], H' twice or half of H, or the same.

    first: for the raw image: no norms, no activation before the first convolution, and the shortcut pools first.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, resample: Resample, norm: Norm, first: bool = False
    ) -> None:
        super().__init__()
        hidden = channels_in if resample == "down" and not first else channels_out
        self.resample = resample
        self.first = first
        self.norm1 = norm_layer("none" if first else norm, channels_in)
        self.conv1 = conv(channels_in, hidden, 3)
        self.norm2 = norm_layer("none" if first else norm, hidden)
        self.conv2 = conv(hidden, channels_out, 3)
        changed = resample != "none" or channels_in != channels_out
        self.shortcut = conv(channels_in, channels_out, 1, relu=False) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Shortcut plus two convolutions."""
        y = x if self.first else F.relu(self.norm1(x))
        y = self.conv1(_double(y) if self.resample == "up" else y)
        y = self.conv2(F.relu(self.norm2(y)))
        if self.resample == "down":
            return F.avg_pool2d(y, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return y + self.shortcut(_double(x) if self.resample == "up" else x)


class ResNetGenerator(nn.Module):
    """Noise [B, D] to images [B, C, H, H] in -1..1."""

    def __init__(self, *, image_size: int = 32, channels: int = 3, latent_dim: int = 128, width: int = 128) -> None:
        super().__init__()
        start, doublings = pyramid(image_size)
        check_counts(channels=channels, latent_dim=latent_dim, width=width)
        self.latent_dim = latent_dim
        self.image_shape = (channels, image_size, image_size)
        self.start_shape = (width, start, start)
        self.stem = nn.Linear(latent_dim, math.prod(self.start_shape))
        _init_glorot(self.stem)
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, width, resample="up", norm="batch") for _ in range(doublings))
        )
        self.norm = nn.BatchNorm2d(width)
        self.head = conv(width, channels, 3, relu=False)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise [B, D] to images."""
        x = self.stem(noise.reshape(len(noise), self.latent_dim)).unflatten(1, self.start_shape)  # [B, W, 4, 4]
        return self.head(F.relu(self.norm(self.blocks(x)))).tanh()


class ResNetCritic(nn.Module):
    """Images [B, C, H, H] to scores [B]: two blocks that halve, two that do not, and the mean over the map."""

    def __init__(self, *, channels: int = 3, width: int = 128, norm: Norm = "none") -> None:
        super().__init__()
        check_counts(channels=channels, width=width)
        check_choice("norm", norm, get_args(Norm))
        self.blocks = nn.Sequential(
            ResidualBlock(channels, width, resample="down", norm=norm, first=True),
            ResidualBlock(width, width, resample="down", norm=norm),
            ResidualBlock(width, width, resample="none", norm=norm),
            ResidualBlock(width, width, resample="none", norm=norm),
        )
        self.head = nn.Linear(width, 1)
        _init_glorot(self.head)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, H, H] to scores [B]."""
        return self.head(F.relu(self.blocks(images)).mean((2, 3))).reshape(len(images))


def wgan_gp_resnet(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 128,
    generator_width: int = 128,
    discriminator_width: int = 128,
    discriminator_norm: Norm = "none",
) -> GAN:
    """Both residual players; arguments as theirs. Batch norm in the critic contradicts the gradient penalty."""
    return GAN(
        generator=ResNetGenerator(
            image_size=image_size, channels=channels, latent_dim=latent_dim, width=generator_width
        ),
        discriminator=ResNetCritic(channels=channels, width=discriminator_width, norm=discriminator_norm),
    )


def conv(channels_in: int, channels_out: int, kernel_size: int, *, relu: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size; `relu` says whether its weights start larger, as for inputs behind a ReLU."""
    layer = nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2)
    _init_glorot(layer, gain=math.sqrt(2.0) if relu else 1.0)
    return layer


def _init_glorot(layer: nn.Linear | nn.Conv2d, *, gain: float = 1.0) -> None:
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _double(x: Tensor) -> Tensor:
    """Each pixel four times: nearest-neighbour upsampling by 2."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
