"""The Frechet distance: closed forms, scipy's square root of a matrix, sums over batches and processes."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.metrics import UndefinedMetricWarning, make_metric
from zoo.metrics.frechet import FrechetDistance, frechet_distance


def distance(drawn, real):
    metric = FrechetDistance(num_features=drawn.shape[1])
    metric.update(drawn, real)
    return metric.compute()


def by_scipy(drawn, real):
    """The formula as it is written, with scipy's square root of the product."""
    scipy_linalg = pytest.importorskip("scipy.linalg")
    drawn, real = drawn.double().numpy(), real.double().numpy()
    covariances = np.cov(drawn, rowvar=False), np.cov(real, rowvar=False)
    root = scipy_linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((drawn.mean(0) - real.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_normal_distributions_with_diagonal_covariances():
    """By hand: the sum of (m1 - m2)^2 + (s1 - s2)^2 over the dimensions, here 9 + (2 - 1)^2 + (3 - 5)^2."""
    mean = torch.tensor([0.0, 3.0])
    found = frechet_distance(
        torch.zeros(2), torch.diag(torch.tensor([4.0, 9.0])), mean, torch.diag(torch.tensor([1.0, 25.0]))
    )
    assert found == pytest.approx(14.0)


def test_one_feature_by_hand():
    """Values 0, 2 and 5, 5.5, 6.5, 7: means 1 and 6, variances 2 and 5 / 6 (over n - 1)."""
    drawn, real = torch.tensor([[0.0], [2.0], [0.0], [2.0]]), torch.tensor([[5.0], [5.5], [6.5], [7.0]])
    one, two = 4 / 3, 2.5 / 3
    assert distance(drawn, real) == pytest.approx(25 + one + two - 2 * (one * two) ** 0.5)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_scipys_square_root(offset):
    """An independent reference, for correlated features; an offset must not cost digits."""
    torch.manual_seed(0)
    mix1, mix2 = torch.randn(8, 8, dtype=torch.float64), torch.randn(8, 8, dtype=torch.float64)
    drawn, real = torch.randn(300, 8).double() @ mix1 + offset, torch.randn(300, 8).double() @ mix2 + offset + 0.3
    assert distance(drawn, real) == pytest.approx(by_scipy(drawn, real), rel=1e-6)


def test_fewer_samples_than_features():
    """Fails if a singular covariance gives NaN, a complex number, or something below 0."""
    torch.manual_seed(0)
    drawn, real = torch.randn(5, 20), torch.randn(5, 20)
    assert distance(drawn, real) == pytest.approx(by_scipy(drawn, real), rel=1e-3)
    assert distance(drawn, drawn) == pytest.approx(0, abs=1e-6)
    assert distance(torch.ones(4, 3), torch.ones(4, 3)) == 0


def test_symmetry_and_order():
    """Fails if drawn and real are not treated alike, or worse samples do not score higher."""
    torch.manual_seed(0)
    real = torch.randn(500, 4)
    near, far = torch.randn(500, 4) * 1.1, torch.randn(500, 4) * 2 + 1
    assert distance(near, real) == pytest.approx(distance(real, near), rel=1e-9)
    assert distance(near, real) < distance(far, real)


def test_batches_and_processes_add_up():
    """Fails if covariances are averaged over batches, or a sum is left out when processes add up."""
    torch.manual_seed(0)
    drawn, real = torch.randn(50, 3), torch.randn(50, 3) + 1
    halves = []
    for rows in (slice(0, 13), slice(13, 50)):
        metric = FrechetDistance(num_features=3)
        for part in (slice(0, 5), slice(5, None)):
            metric.update(drawn[rows][part], real[rows][part])
        halves.append(metric)
    totals = iter([first.clone() + second for first, second in zip(*(m._sums.values() for m in halves), strict=True)])

    class Both:
        def sum(self, value):
            return next(totals) if value.ndim else torch.tensor(50)

    assert halves[0].sync(Both()).compute() == pytest.approx(distance(drawn, real), rel=1e-9)


def test_low_precision_features():
    """Fails if the products are added up in bf16."""
    torch.manual_seed(0)
    drawn, real = torch.randn(2000, 4).bfloat16() + 3, torch.randn(2000, 4).bfloat16() + 3
    assert distance(drawn, real) == pytest.approx(by_scipy(drawn.float(), real.float()), rel=1e-4)


def test_undefined_for_one_sample():
    metric = FrechetDistance(num_features=2)
    metric.update(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.warns(UndefinedMetricWarning, match="two samples"):
        assert np.isnan(metric.compute())


@pytest.mark.parametrize(("drawn", "real"), [((4, 3), (5, 3)), ((4, 2), (4, 2)), ((4,), (4,)), ((4, 3, 1), (4, 3, 1))])
def test_shapes_that_do_not_fit(drawn, real):
    with pytest.raises(ValueError, match=r"\[B, 3\]"):
        FrechetDistance(num_features=3).update(torch.zeros(drawn), torch.zeros(real))


class Brightness(nn.Module):
    """Images to their mean of each channel; in training mode to noise."""

    def forward(self, images):
        return torch.randn(len(images), 3) if self.training else images.mean((2, 3))


def test_features_are_the_extractors():
    """Fails if the extractor runs in training mode, is left in evaluation mode, or its gradients are kept."""
    torch.manual_seed(0)
    drawn, real = torch.rand(40, 3, 4, 4), torch.rand(40, 3, 4, 4) + 0.2
    extractor = Brightness()
    metric = make_metric("fid", num_features=3, extractor=extractor)
    metric.update(drawn.requires_grad_(), real)
    assert extractor.training
    assert not any(state.requires_grad for state in metric.state_dict().values())
    expected = distance(drawn.detach().mean((2, 3)), real.mean((2, 3)))
    assert metric.compute() == pytest.approx(expected, rel=1e-9)
    called = make_metric("fid", num_features=3, extractor=lambda images: images.mean((2, 3)))
    called.update(drawn, real)
    assert called.compute() == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match=r"\[B, 2\]"):
        make_metric("fid", num_features=2, extractor=extractor).update(drawn, real)
