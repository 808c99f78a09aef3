"""Weights of pixels that make a network learn the thin gaps between touching objects.

Source: Ronneberger et al. 2015, arXiv:1505.04597, equation 2.
Differs from the paper: the class weights, which it does not state, are those that make all classes of an image count
  alike, with a mean of 1; objects are the connected parts of a class.
Shapes: H x W pixels.
"""

import numpy as np

REACH = 6.0  # deviations: farther away the second term is below 1e-7 of its height


def border_weights(
    mask: np.ndarray, *, border_weight: float = 10.0, sigma: float = 5.0, ignore: int = 255
) -> np.ndarray:
    """Class numbers [H, W], 0 for the background, to weights float32 [H, W]: class balance, and more between objects.

    border_weight: w0, the height of the second term where two objects touch.
    sigma:         its deviation, pixels, over the sum of the distances to the two nearest objects.
    ignore:        class number of pixels that count nothing; their weight is 0.
    """
    counted = mask != ignore
    weights = np.zeros(mask.shape, dtype=np.float32)
    classes, counts = np.unique(mask[counted], return_counts=True)
    for label, count in zip(classes, counts, strict=True):
        weights[mask == label] = counted.sum() / (len(classes) * count)
    background = counted & (mask == 0)
    if background.any():
        gap = border_weight * np.exp(-(_two_nearest(mask, ignore=ignore, sigma=sigma) ** 2) / (2 * sigma**2))
        weights[background] += gap[background]
    return weights


def _two_nearest(mask: np.ndarray, *, ignore: int, sigma: float) -> np.ndarray:
    """The distances to the nearest and to the second nearest object, added up, pixels [H, W]; infinite out of reach."""
    from scipy import ndimage

    nearest = np.full(mask.shape, np.inf)
    second = np.full(mask.shape, np.inf)
    reach = int(np.ceil(REACH * sigma)) + 1
    for label in np.unique(mask):
        if label in (0, ignore):
            continue
        objects, _ = ndimage.label(mask == label)
        for number, box in enumerate(ndimage.find_objects(objects), 1):
            window = tuple(
                slice(max(0, side.start - reach), min(size, side.stop + reach))
                for side, size in zip(box, mask.shape, strict=True)
            )
            distance = ndimage.distance_transform_edt(objects[window] != number)
            closer = distance < nearest[window]
            second[window] = np.where(closer, nearest[window], np.minimum(second[window], distance))
            nearest[window] = np.minimum(nearest[window], distance)
    return nearest + second
