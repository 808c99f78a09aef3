"""Losses of images: their difference pixel by pixel, the style of their features, and how rough they are.

Source: "pixel", Isola et al. 2017, arXiv:1611.07004, equation 3, for the absolute one, Johnson et al. 2016,
arXiv:1603.08155, section 3.2, for the squared one and Lai et al. 2017, arXiv:1704.03915, for Charbonnier's; "gram",
Gatys et al. 2015, arXiv:1508.06576, scaled as Johnson et al. 2016, section 3.1; "total_variation", Rudin et al. 1992,
doi:10.1016/0167-2789(92)90242-F.
Differs from the paper: means over the batch; the variation is a mean over pixels, so that it does not depend on the
size of the image.
Shapes: B images, C channels, H x W pixels, * any dimensions.
"""

from typing import Literal

import torch
from torch import Tensor

from zoo.losses.common import Reduction, check_floating, precise, reduced, shape_of
from zoo.losses.regression import charbonnier, mae, mse

PixelDistance = Literal["absolute", "squared", "charbonnier"]


def pixel(
    prediction: Tensor,
    target: Tensor,
    *,
    distance: PixelDistance = "absolute",
    epsilon: float = 1e-3,
    reduction: Reduction = "mean",
) -> Tensor:
    """Difference of two images pixel by pixel, computed in float32 at least.

    prediction, target: [B, C, *] of one shape, in one unit, such as 0..1.
    distance:           "absolute" leaves edges sharper than "squared"; "charbonnier" is absolute with a round corner.
    epsilon:            width of that corner, in the unit of the images; for "charbonnier" alone.
    Returns:            [], or [B, C, *] for "none". The mean over no pixel at all is NaN.
    Raises:             ValueError or TypeError if shapes or dtypes do not fit.
    """
    if distance == "absolute":
        return mae(prediction, target, reduction=reduction)
    if distance == "squared":
        return mse(prediction, target, reduction=reduction)
    if distance == "charbonnier":
        return charbonnier(prediction, target, epsilon=epsilon, reduction=reduction)
    raise ValueError(f'distance must be "absolute", "squared" or "charbonnier"; got {distance!r}.')


def gram_matrix(features: Tensor) -> Tensor:
    """Products of all pairs of channels, mean over positions and channels: [B, C, *] to [B, C, C], float32 at least."""
    check_floating("Features", features)
    if features.ndim < 3:
        raise ValueError(f"Feature maps must be [B, C, *]; got {shape_of(features)}.")
    maps = features.to(precise(features)).flatten(2)  # [B, C, P]
    # Scaled before the product, which would overflow in the sum of large features.
    maps = maps / max(maps.shape[1] * maps.shape[2], 1) ** 0.5
    return maps @ maps.transpose(1, 2)


def gram(prediction: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Squared Frobenius distance of Gram matrices, which tells textures apart and not where they are.

    prediction, target: feature maps [B, C, *] of as many channels; the maps may differ in size. A target of one image
                        [1, C, *] is the style of the whole batch.
    Returns:            [], or [B] for "none". The mean over no image at all is NaN.
    Raises:             ValueError or TypeError if shapes or dtypes do not fit.
    """
    found, wanted = gram_matrix(prediction), gram_matrix(target)
    if found.shape[1] != wanted.shape[1] or len(wanted) not in (1, len(found)):
        raise ValueError(
            f"Feature maps need as many channels, and one target for each image or for all; got {shape_of(prediction)} "
            f"and {shape_of(target)}."
        )
    return reduced((found - wanted.to(found.dtype)).square().sum((1, 2)), reduction)


def total_variation(
    images: Tensor, *, form: Literal["anisotropic", "isotropic"] = "anisotropic", reduction: Reduction = "mean"
) -> Tensor:
    """How much neighbouring pixels differ, in the unit of the images, computed in float32 at least.

    images:    [B, C, H, W]
    form:      "anisotropic" adds the absolute differences to the right and downwards, "isotropic" has the length of
               the gradient, which favours no direction.
    reduction: of the means over C, H and W of each image.
    Returns:   [], or [B] for "none"; a difference at the border is 0. The mean over no image or pixel is NaN.
    Raises:    ValueError or TypeError if the shape or dtype does not fit.
    """
    check_floating("Images", images)
    if images.ndim != 4:
        raise ValueError(f"Images must be [B, C, H, W]; got {shape_of(images)}.")
    images = images.to(precise(images))
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    down[:, :, :-1] = images[:, :, 1:] - images[:, :, :-1]
    right[..., :-1] = images[..., 1:] - images[..., :-1]
    if form == "anisotropic":
        steps = down.abs() + right.abs()
    elif form == "isotropic":
        steps = torch.linalg.vector_norm(torch.stack([down, right]), dim=0)  # its gradient is 0 where nothing changes
    else:
        raise ValueError(f'form must be "anisotropic" or "isotropic"; got {form!r}.')
    return reduced(steps.mean((1, 2, 3)), reduction)
