"""A generator and its discriminator as one module, and noise by number.

Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3; the normal initialisation from Radford et al. 2015,
  arXiv:1511.06434, section 4.
Shapes: B images, D size of the noise, C channels, H, W pixels.
"""

import operator

import torch
from torch import Tensor, nn

from zoo.data.randomness import row_uniforms

INIT_STD = 0.02
_CODE = 0x67616E  # apart from what else is drawn by row number with seed 0


class GAN(nn.Module):
    """Noise [B, D] to images [B, C, H, W] in -1..1; holds the discriminator that judges them beside the generator.

    generator:     noise to images; has the attributes `latent_dim` (D) and `image_shape` (C, H, W).
    discriminator: images to scores [B], larger for more real: logits, or a critic's values.
    """

    def __init__(self, *, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    @property
    def latent_dim(self) -> int:
        """Size of the noise."""
        return int(self.generator.latent_dim)  # type: ignore[arg-type]

    def forward(self, noise: Tensor) -> Tensor:
        """Noise [B, D] to images [B, C, H, W] in -1..1."""
        return self.generator(noise)

    @torch.no_grad()
    def sample(self, num: int, *, seed: int = 0) -> Tensor:
        """`num` images [num, C, H, W] in -1..1, as the module stands: call `eval()` before, as after training it is.

        Image i is that of the seed `seed` + i, so that more images begin with the same ones.
        """
        if operator.index(num) < 1:
            raise ValueError(f"num is {num}; at least 1 image is needed.")
        parameter = next(self.generator.parameters())
        noise = noise_of(torch.arange(seed, seed + num), size=self.latent_dim)
        return self.generator(noise.to(parameter))


def noise_of(seeds: Tensor, *, size: int) -> Tensor:
    """One integer a row [B] to standard normal noise, float32 [B, size] on the CPU, the same for each seed anywhere.

    It is made of 24 random bits a number, so that values end at 5.4 standard deviations.
    """
    uniforms = row_uniforms(seeds, num=size, seed=_CODE, epoch=0)
    return torch.special.ndtri(uniforms.double() + 2.0**-25).float()


@torch.no_grad()
def init_normal(model: nn.Module) -> None:
    """Convolutions from N(0, 0.02), scales of norms from N(1, 0.02), biases at 0."""
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
            nn.init.normal_(module.weight, std=INIT_STD)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, mean=1.0, std=INIT_STD)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
