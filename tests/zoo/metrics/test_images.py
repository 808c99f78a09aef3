"""PSNR, SSIM and multi-scale SSIM against scikit-image, torchmetrics, and by hand."""

import math

import numpy as np
import pytest
import torch

from zoo.metrics import UndefinedMetricWarning, make_metric, ms_ssim, psnr, ssim

NAMES = ["psnr", "ssim"]


def images(batch=3, channels=3, size=(32, 40), *, offset=0.0, dtype=torch.float32):
    """Smooth images in 0..1 and noisy copies of them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, channels, 8, 8, generator=generator, dtype=torch.float64)
    target = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    noise = torch.randn(target.shape, generator=generator, dtype=torch.float64)
    return (target + 0.1 * noise + offset).to(dtype), (target + offset).to(dtype)


def arrays(*tensors):
    return (tensor.movedim(1, -1).double().numpy() for tensor in tensors)


def reference(name, outputs, target, data_range):
    """The mean over images of scikit-image's value."""
    library = pytest.importorskip("skimage.metrics")
    if name == "psnr":
        values = [
            library.peak_signal_noise_ratio(true, found, data_range=data_range)
            for found, true in zip(*arrays(outputs, target), strict=True)
        ]
    else:
        values = [
            library.structural_similarity(
                true, found, data_range=data_range, channel_axis=-1,
                gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            )
            for found, true in zip(*arrays(outputs, target), strict=True)
        ]  # fmt: skip
    return np.mean(values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data_range", [1.0, 2.0, 255.0])
def test_is_scikit_images(name, data_range):
    """Fails if errors are pooled over images, the window is another, or the range is guessed from the pixels."""
    outputs, target = images()
    metric = make_metric(name, data_range=data_range)
    for rows in (slice(0, 1), slice(1, 3), slice(3, 3)):
        metric.update(outputs[rows], target[rows])
    assert metric.compute() == pytest.approx(reference(name, outputs, target, data_range), rel=1e-4)
    grey = outputs[:, :1], target[:, :1]
    metric.reset()
    metric.update(*grey)
    assert metric.compute() == pytest.approx(reference(name, *grey, data_range), rel=1e-4)


def test_ms_ssim_is_the_papers():
    """Equation 7 with scikit-image's maps of each scale; fails if luminance enters at another scale than the last."""
    library = pytest.importorskip("skimage.metrics")
    size = (192, 176)
    outputs, target = (image[0, 0].numpy() for image in images(1, 1, size, dtype=torch.float64))
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    product = 1.0
    for exponent in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        whole = library.structural_similarity(target, outputs, **options)[1][5:-5, 5:-5]
        if exponent == 0.1333:
            product *= whole.mean() ** exponent
            break
        # With a K2 that drowns contrast and structure, only luminance is left.
        luminance = library.structural_similarity(target, outputs, K2=1e6, **options)[1][5:-5, 5:-5]
        product *= (whole / luminance).mean() ** exponent
        outputs, target = (
            image.reshape(len(image) // 2, 2, image.shape[1] // 2, 2).mean((1, 3)) for image in (outputs, target)
        )
    assert ms_ssim(*images(1, 1, size, dtype=torch.float64), data_range=1.0) == pytest.approx(product, rel=1e-6)
    three = images(2, 3, size)
    each = [ms_ssim(*(image[[row], [channel]][:, None] for image in three), data_range=1.0)
            for row in range(2) for channel in range(3)]  # fmt: skip
    assert ms_ssim(*three, data_range=1.0) == pytest.approx(np.mean(each), rel=1e-4)


def test_psnr_by_hand():
    """Errors of 0.1 are 20 dB; images of 20 and 40 dB have a mean of 30, which is not the dB of the mean error."""
    target = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    outputs = target + torch.tensor([0.1, 0.01]).double().view(2, 1, 1, 1)
    assert psnr(outputs[:1], target[:1], data_range=1.0) == pytest.approx(20)
    assert psnr(outputs, target, data_range=1.0) == pytest.approx(30)
    assert psnr(outputs[:1], target[:1], data_range=10.0) == pytest.approx(40)
    assert psnr(target, target, data_range=1.0) == math.inf


def test_ssim_of_equal_and_of_flat_images():
    """Fails if constants are not scaled by the range: of flat images only the luminance counts."""
    outputs, target = images()
    assert ssim(target, target, data_range=1.0) == pytest.approx(1)
    flat = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.25)
    assert ssim(*flat, data_range=1.0) == pytest.approx((2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4))
    assert ssim(1 - target, target, data_range=1.0) < ssim(outputs, target, data_range=1.0)


def test_far_from_zero():
    """Fails if variances are differences of large squares: float32 would leave nothing of them at 1000."""
    near, far = images(dtype=torch.float64), images(offset=1e3)
    expected = ssim(*images(offset=1e3, dtype=torch.float64), data_range=1.0)
    assert expected < 0.9
    assert ssim(*far, data_range=1.0) == pytest.approx(expected, rel=2e-3)
    assert psnr(*far, data_range=1.0) == pytest.approx(psnr(*near, data_range=1.0), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name):
    """Fails if means are taken in bf16."""
    outputs, target = images(dtype=torch.bfloat16)
    metric, other = make_metric(name, data_range=1.0), make_metric(name, data_range=1.0)
    metric.update(outputs, target)
    other.update(outputs.float(), target.float())
    assert metric.compute() == other.compute()


@pytest.mark.parametrize("name", [*NAMES, "ms_ssim"])
def test_what_does_not_fit_raises(name):
    metric = make_metric(name, data_range=1.0)
    with pytest.raises(TypeError, match="floating"):
        metric.update(torch.zeros(1, 1, 16, 16, dtype=torch.uint8), torch.zeros(1, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\[B, C, H, W\]"):
        metric.update(torch.zeros(1, 16, 16), torch.zeros(1, 16, 16))
    with pytest.raises(ValueError, match="do not fit"):
        metric.update(torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="width of the range"):
        make_metric(name, data_range=0.0)
    with pytest.warns(UndefinedMetricWarning, match="no image"):
        assert math.isnan(metric.compute())
    if name != "psnr":
        with pytest.raises(ValueError, match="pixels a side"):
            metric.update(torch.zeros(1, 1, 10, 400), torch.zeros(1, 1, 10, 400))


def test_update_reads_nothing_back():
    """Fails if an update makes a GPU's host wait: meta tensors have no values."""
    for name in (*NAMES, "ms_ssim"):
        metric = make_metric(name, data_range=1.0)
        metric.update(torch.empty(2, 3, 176, 176, device="meta"), torch.empty(2, 3, 176, 176, device="meta"))
