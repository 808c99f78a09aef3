"""How near drawn, restored or coded images are to the true ones: PSNR, SSIM and multi-scale SSIM.

Source: PSNR as in Huynh-Thu and Ghanbari 2008, doi:10.1049/el:20080522; SSIM from Wang et al. 2004,
  doi:10.1109/TIP.2003.819861, equation 13 with the window and constants of section III; multi-scale SSIM from Wang et
  al. 2003, doi:10.1109/ACSSC.2003.1292216, equation 7 with the exponents of its section 4.
Differs from the papers: images of several channels are judged channel by channel, and the values averaged; a negative
  factor of multi-scale SSIM, which has no real power, counts as 0; images are halved by means of 2 x 2 pixels.
Shapes: B images, C channels, H, W pixels.

Each image has a value of its own; the metric is the mean over images. The range of pixels is told, never guessed.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.base import Metric, undefined
from zoo.metrics.regression import check_values

WINDOW, SIGMA = 11, 1.5  # pixels, Wang et al. 2004, section III
K1, K2 = 0.01, 0.03
SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the full size to a sixteenth, Wang et al. 2003


class _ImageMean(Metric):
    """The mean over images [B, C, H, W] of how near each comes to the true one.

    data_range: largest less smallest possible value of a pixel: 1 for 0..1, 2 for -1..1, 255 for 8 bits.
    """

    higher_is_better = True

    def __init__(self, *, data_range: float) -> None:
        if not data_range > 0:
            raise ValueError(f"data_range is {data_range}; the width of the range of pixels is needed, such as 1.")
        super().__init__({"total": torch.zeros((), dtype=torch.float64)})
        self.data_range = data_range

    def update(self, outputs: Tensor, target: Tensor) -> None:
        check_values(outputs, target)
        if outputs.ndim != 4:
            raise ValueError(f"Images [B, C, H, W] are needed; got {list(outputs.shape)}.")
        total = self._open(outputs.device)["total"]
        dtype = torch.float64 if outputs.dtype == torch.float64 else torch.float32
        values = self._nearness(outputs.detach().to(dtype), target.detach().to(dtype))  # [B]
        total.add_(values.sum(dtype=total.dtype))
        self._count += len(target)

    def compute(self) -> float:
        if not self._count:
            return undefined(self, "no image was seen")
        return self._sums["total"].item() / self._count

    @abstractmethod
    def _nearness(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The value of each image [B]."""


class PSNR(_ImageMean):
    """Mean over images of the peak signal-to-noise ratio, in dB; infinite where an image is exact."""

    def _nearness(self, outputs: Tensor, target: Tensor) -> Tensor:
        return 10 * torch.log10(self.data_range**2 / (outputs - target).square().mean((1, 2, 3)))


class SSIM(_ImageMean):
    """Mean over images of the structural similarity, 1 for equal ones; windows lie wholly inside."""

    def _nearness(self, outputs: Tensor, target: Tensor) -> Tensor:
        luminance, structure = similarity_maps(outputs, target, data_range=self.data_range)
        return (luminance * structure).mean((1, 2, 3))


class MSSSIM(_ImageMean):
    """Mean over images of the structural similarity at five scales, 0..1; the shorter side needs 176 pixels."""

    def _nearness(self, outputs: Tensor, target: Tensor) -> Tensor:
        smallest = WINDOW * 2 ** (len(SCALE_EXPONENTS) - 1)
        if min(outputs.shape[-2:]) < smallest:
            raise ValueError(
                f"Multi-scale SSIM needs {smallest} pixels a side; got {list(outputs.shape[-2:])}. "
                f"Choose 'ssim', which needs {WINDOW}."
            )
        factors = []
        for scale, exponent in enumerate(SCALE_EXPONENTS):
            if scale:
                outputs, target = F.avg_pool2d(outputs, 2), F.avg_pool2d(target, 2)
            luminance, structure = similarity_maps(outputs, target, data_range=self.data_range)
            factor = luminance * structure if scale == len(SCALE_EXPONENTS) - 1 else structure
            factors.append(factor.mean((2, 3)).clamp(min=0) ** exponent)  # [B, C]
        return torch.stack(factors).prod(0).mean(1)


def similarity_maps(outputs: Tensor, target: Tensor, *, data_range: float) -> tuple[Tensor, Tensor]:
    """Likeness of the mean, and of contrast and structure, in each window [B, C, H - 10, W - 10].

    Raises: ValueError if a side is shorter than the window.
    """
    if min(outputs.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of {WINDOW} pixels a side or more; got {list(outputs.shape[-2:])}.")
    # Variances do not change with what is taken off, but keep their digits where pixels lie far from 0.
    center = target.mean((2, 3), keepdim=True)
    x, y = outputs - center, target - center
    means = _blurred(torch.stack([x, y, x * x, y * y, x * y]))  # [5, B, C, H - 10, W - 10]
    mean_x, mean_y = means[:2]
    variances = means[2] - mean_x.square() + means[3] - mean_y.square()
    covariance = means[4] - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y = mean_x + center, mean_y + center
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _blurred(maps: Tensor) -> Tensor:
    """Means [..., H - 10, W - 10] under the Gaussian window, of maps [..., H, W]."""
    places = torch.arange(WINDOW, device=maps.device, dtype=maps.dtype) - WINDOW // 2
    window = torch.exp(-places.square() / (2 * SIGMA**2))
    window = window / window.sum()
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.reshape(*maps.shape[:-2], *flat.shape[-2:])


def psnr(outputs: Tensor, target: Tensor, *, data_range: float) -> float:
    """`PSNR` of one batch."""
    metric = PSNR(data_range=data_range)
    metric.update(outputs, target)
    return metric.compute()


def ssim(outputs: Tensor, target: Tensor, *, data_range: float) -> float:
    """`SSIM` of one batch."""
    metric = SSIM(data_range=data_range)
    metric.update(outputs, target)
    return metric.compute()


def ms_ssim(outputs: Tensor, target: Tensor, *, data_range: float) -> float:
    """`MSSSIM` of one batch."""
    metric = MSSSIM(data_range=data_range)
    metric.update(outputs, target)
    return metric.compute()
