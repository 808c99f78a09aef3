"""The Frechet distance: closed forms, scipy's square root of a matrix, sums over batches and processes; features."""

import numpy as np
import pytest
import torch
from torch import nn

from vision.generation.features import ClassifierFeatures, RandomFeatures, num_features
from vision.generation.frechet import FrechetDistance, frechet_distance
from zoo.metrics import UndefinedMetricWarning
from zoo.records import ImagePreprocessing


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


# -- Features


class Classifier(nn.Module):
    """Gives the mean colour to a linear head, so that features can be told by hand."""

    classifier = "head"

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        self.seen = images
        return self.head(images.mean((2, 3)))


def test_a_classifiers_features_are_what_its_head_sees():
    """By hand: grey 0.2 in -1..1 is 0.6 in 0..1, and (0.6 - 0.5) / 0.25 = 0.4; fails if the scales are mixed up."""
    preprocessing = ImagePreprocessing(size=(6, 6), resize=6, mean=(0.5, 0.5, 0.1), std=(0.25, 0.5, 0.5))
    network = ClassifierFeatures(Classifier(), preprocessing)
    features = network(torch.full((2, 1, 4, 4), 0.2))
    torch.testing.assert_close(features, torch.tensor([[0.4, 0.2, 1.0]] * 2))
    assert network.classifier.seen.shape == (2, 3, 6, 6)
    assert num_features(network, (1, 4, 4)) == 3
    assert not network.classifier.head._forward_pre_hooks


def test_colour_images_for_a_grey_classifier():
    network = ClassifierFeatures(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), ImagePreprocessing(size=(2, 2), resize=2, mean=(0.0,), std=(1.0,))
    )
    images = torch.tensor([-1.0, 0.0, 1.0])[None, :, None, None].expand(1, 3, 2, 2)
    torch.testing.assert_close(network(images), torch.full((1, 4), 0.5))


def test_random_features_are_always_the_same():
    """Fails if they come from torch's own generator: FIDs of two runs would not compare."""
    state = torch.get_rng_state()
    one, two = RandomFeatures(channels=1), RandomFeatures(channels=1)
    assert torch.equal(torch.get_rng_state(), state)
    images = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(one(images), two(images))
    assert num_features(one, (1, 16, 16)) == 128
    assert one(images).std(0).min() >= 0
    assert (one(images).std(0) > 0.01).float().mean() > 0.9
