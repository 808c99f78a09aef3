"""MSE, RMSE, MAE, RMSPE and R2 against scikit-learn and NumPy, by hand, over batches and processes, far from zero."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from zoo.metrics import MAE, MSE, R2, RMSE, RMSPE, UndefinedMetricWarning, mae, make_metric, mse, r2, rmse, rmspe

NAMES = ("rmse", "mae", "r2", "mse", "rmspe")
REFERENCES = {
    "mse": lambda outputs, target: mean_squared_error(target, outputs),
    "rmspe": lambda outputs, target: np.sqrt(np.mean(np.square((target - outputs) / target))),
    "rmse": lambda outputs, target: math.sqrt(mean_squared_error(target, outputs)),
    "mae": lambda outputs, target: mean_absolute_error(target, outputs),
    "r2": lambda outputs, target: r2_score(target, outputs),
}


class Two:
    """Two processes, of which the other one's state is known."""

    def __init__(self, other):
        self.other = iter(other.state_dict().values())

    def sum(self, value):
        return value + next(self.other)

    def gather_objects(self, value):
        raise AssertionError("sums are enough")


def data(rows=57, offset=0.0):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(rows, generator=generator, dtype=torch.float64) * 3 + offset
    return target + torch.randn(rows, generator=generator, dtype=torch.float64), target


def filled(name, *batches, **options):
    metric = make_metric(name, **options)
    for outputs, target in batches:
        metric.update(outputs, target)
    return metric


@pytest.mark.parametrize("name", NAMES)
def test_equals_scikit_learn_over_uneven_batches_and_processes(name):
    """Fails if roots or means of batches are averaged, or a sum is left out when processes add up."""
    outputs, target = data()
    expected = REFERENCES[name](outputs.numpy(), target.numpy())
    parts = list(zip(outputs.split([1, 30, 0, 26]), target.split([1, 30, 0, 26]), strict=True))
    assert filled(name, *parts).compute() == pytest.approx(expected, rel=1e-12)
    left, right = filled(name, *parts[:2]), filled(name, *parts[2:])
    assert left.sync(Two(right)).compute() == pytest.approx(expected, rel=1e-12)


def test_by_hand():
    """Errors 1 and -3 of the targets 0 and 4: fails if MAE is signed, RMSE has no root, or R2 divides by n - 1."""
    outputs, target = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 4.0])
    assert mae(outputs, target) == 2
    assert mse(outputs, target) == 5
    assert rmse(outputs, target) == pytest.approx(math.sqrt(5))
    with pytest.warns(UndefinedMetricWarning):
        assert rmspe(outputs, target) == 3 / 4
    assert r2(outputs, target) == pytest.approx(1 - 10 / 8)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_keeps_its_digits_far_from_zero(offset):
    """Fails if sums are float32, or `center` is not taken off: squares of 1e6 would swallow a spread of 3."""
    outputs, target = data(5000, offset)
    metric = filled("r2", (outputs, target), center=offset)
    assert metric.compute() == pytest.approx(r2_score(target.numpy(), outputs.numpy()), rel=1e-9)
    assert filled("r2", (outputs, target), center=0.0).compute() == pytest.approx(metric.compute(), rel=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_and_gradients(name):
    """Fails if sums are kept in the dtype of the outputs, or keep their graph."""
    outputs, target = (values.bfloat16() for values in data(600))
    metric = filled(name, (outputs.clone().requires_grad_(), target))
    assert not any(state.requires_grad for state in metric.state_dict().values())
    assert metric.compute() == pytest.approx(REFERENCES[name](outputs.double().numpy(), target.double().numpy()))


@pytest.mark.parametrize("metric", [RMSE, MAE, R2, MSE, RMSPE])
def test_what_is_undefined(metric):
    """Fails if nothing seen reads as a perfect score."""
    with pytest.warns(UndefinedMetricWarning, match="value"):
        assert math.isnan(metric().compute())


def test_r2_of_equal_targets_is_undefined():
    """Fails if a spread that is only rounding is divided by."""
    with pytest.warns(UndefinedMetricWarning, match="all equal"):
        assert math.isnan(r2(torch.rand(10), torch.full((10,), 1e6 + 0.1)))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_not_broadcast(name):
    """Fails if [B, 1] against [B] is averaged over all B x B pairs."""
    with pytest.raises(ValueError, match="squeeze"):
        make_metric(name).update(torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(TypeError, match="floating"):
        make_metric(name).update(torch.zeros(3, dtype=torch.long), torch.zeros(3))


def test_which_way_is_better():
    """Fails if early stopping would keep the worst epoch."""
    assert [make_metric(name).higher_is_better for name in NAMES] == [False, False, True, False, False]


def test_update_reads_nothing_back():
    """Fails if an update makes a GPU's host wait: meta tensors have no values."""
    for name in NAMES:
        make_metric(name).update(torch.empty(8, device="meta"), torch.empty(8, device="meta"))


def test_relative_errors_of_zeros_are_left_out_and_told():
    """Fails if a target of 0 makes the value infinite, counts as right, or is left out in silence."""
    outputs, target = torch.tensor([1.1, 1.8, 5.0, -3.3]), torch.tensor([1.0, 2.0, 0.0, -3.0])
    expected = pytest.approx(math.sqrt((0.01 + 0.01 + 0.01) / 3), rel=1e-6)
    with pytest.warns(UndefinedMetricWarning, match="1 of 4 targets, which are 0"):
        assert rmspe(outputs, target) == expected
    with pytest.warns(UndefinedMetricWarning, match="every target is 0"):
        assert math.isnan(rmspe(outputs[2:3], target[2:3]))
