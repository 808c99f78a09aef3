"""Random changes of one training image by published policies, through torchvision's transforms v2.

Source: with each policy.
Differs from the papers: the operations and the range of their magnitudes are torchvision's, which measures shears as
    slopes and translations in parts of a side; what moves in from outside of the image is black.
All chance comes from torch's global generator, which sources seed for each row.
Shapes: C channels (1 or 3), h x w pixels.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import check_name

Policy = Callable[[Tensor], Tensor]
"""An image uint8 [C, h, w] to another one of the same shape."""

AUTO_AUGMENT = ("imagenet", "cifar10", "svhn")
GREY_VALUES = 256


def rand_augment(*, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31) -> Policy:
    """`num_ops` operations drawn evenly from fourteen, all of one magnitude.

    Source: Cubuk et al. 2019, arXiv:1909.13719, section 3.

    magnitude: 0 (least) to `num_magnitude_bins` - 1 (most).
    """
    from torchvision.transforms import v2

    if num_ops < 1:
        raise ValueError(f"num_ops is {num_ops}; at least 1 operation is needed.")
    if not 0 <= magnitude < num_magnitude_bins:
        raise ValueError(f"magnitude is {magnitude}; expected 0 to num_magnitude_bins - 1, {num_magnitude_bins - 1}.")
    return v2.RandAugment(num_ops=num_ops, magnitude=magnitude, num_magnitude_bins=num_magnitude_bins)


def auto_augment(*, policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet") -> Policy:
    """One of 25 pairs of operations, with the probabilities and magnitudes that were learned for a data set.

    Source: Cubuk et al. 2018, arXiv:1805.09501, section 3.

    policy: the data set that it was learned for.
    """
    from torchvision.transforms import v2

    check_name("policy of AutoAugment", policy, AUTO_AUGMENT)
    return v2.AutoAugment(v2.AutoAugmentPolicy(policy))


def trivial_augment(*, num_magnitude_bins: int = 31) -> Policy:
    """One operation drawn evenly, of a magnitude drawn evenly: the paper's "wide" ranges.

    Source: Müller and Hutter 2021, arXiv:2103.10158, algorithm 1.
    """
    from torchvision.transforms import v2

    if num_magnitude_bins < 2:
        raise ValueError(f"num_magnitude_bins is {num_magnitude_bins}; at least 2 magnitudes are needed.")
    return v2.TrivialAugmentWide(num_magnitude_bins=num_magnitude_bins)


def augmix(*, severity: int = 3, width: int = 3, depth: int = -1, alpha: float = 1.0, all_ops: bool = False) -> Policy:
    """The image mixed with the weighted sum of chains of operations on it.

    Source: Hendrycks et al. 2019, arXiv:1912.02781, algorithm 1.
    Differs from the paper: without its loss of consistency between three versions of an image.

    severity: of each operation, 1 to 10. width: number of chains. depth: operations of a chain; -1 draws 1 to 3.
    alpha:    of the Dirichlet and Beta distributions that the weights are drawn from.
    all_ops:  also colour, contrast, brightness and sharpness, which the paper leaves out as its test set has them.
    """
    from torchvision.transforms import v2

    if not 1 <= severity <= 10 or width < 1 or (depth < 1 and depth != -1) or not alpha > 0:
        raise ValueError(
            "severity must be 1..10, width at least 1, depth at least 1 or -1, and alpha above 0; got "
            f"{severity}, {width}, {depth} and {alpha}."
        )
    return v2.AugMix(severity=severity, mixture_width=width, chain_depth=depth, alpha=alpha, all_ops=all_ops)


def random_erasing(
    *,
    probability: float = 0.5,
    area: Sequence[float] = (0.02, 0.4),
    aspect: Sequence[float] = (0.3, 1 / 0.3),
    fill: Literal["random"] | int = "random",
) -> Policy:
    """A random rectangle of the image erased.

    Source: Zhong et al. 2017, arXiv:1708.04896, algorithm 1.
    Differs from the paper: after ten rectangles that do not fit the image stays as it is.

    area:   least and most share of the image that is erased.
    aspect: least and most height over width.
    fill:   "random" for noise of all values, another in each pixel and channel, or one value 0..255 for all.
    """
    return RandomErasing(probability=probability, area=area, aspect=aspect, fill=fill)


class RandomErasing:
    """See `random_erasing`. torchvision's own noise is for normalised floats; images are 8-bit here."""

    def __init__(
        self, *, probability: float, area: Sequence[float], aspect: Sequence[float], fill: Literal["random"] | int
    ) -> None:
        from torchvision.transforms import v2

        if not 0 <= probability <= 1:
            raise ValueError(f"probability is {probability}; expected a number in 0..1.")
        if len(area) != 2 or not 0 < area[0] <= area[1] <= 1 or len(aspect) != 2 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"area and aspect are a least and a most each, area in 0..1; got {area} and {aspect}.")
        if fill != "random" and not (isinstance(fill, int) and 0 <= fill < GREY_VALUES):
            raise ValueError(f'fill is {fill!r}; expected "random" or a value 0..255.')
        self.fill = fill
        self.erase = v2.RandomErasing(p=probability, scale=tuple(area), ratio=tuple(aspect), value=1)

    def __call__(self, image: Tensor) -> Tensor:
        erased = self.erase(image.new_zeros(1, *image.shape[1:])).bool()  # [1, h, w]
        if self.fill == "random":
            other = torch.randint(GREY_VALUES, image.shape, dtype=torch.uint8).to(image.device)
        else:
            other = image.new_tensor(self.fill)
        return torch.where(erased, other, image)
