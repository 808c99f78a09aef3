"""Metrics that keep their rows."""

import pytest

from zoo.metrics import ListMetric


class Median(ListMetric):
    def update(self, outputs, target):
        self.items += outputs

    def compute(self):
        return float(sorted(self.items)[len(self.items) // 2])


class Two:
    """Two processes, of which the other holds `items`."""

    def __init__(self, items):
        self.items = items

    def sum(self, value):
        raise AssertionError("lists are gathered, not summed")

    def gather_objects(self, value):
        return [value, self.items]


def test_items_of_all_processes_are_seen_once():
    """Fails if a process judges its own rows only, or rows are gathered twice."""
    metric = Median()
    metric.update([1, 2, 3], None)
    metric.sync(Two([10, 11, 12, 13]))
    assert metric.compute() == 10
    with pytest.raises(RuntimeError, match="reset"):
        metric.sync(Two([]))
    metric.reset()
    metric.update([5], None)
    assert metric.compute() == 5


def test_state_goes_into_checkpoints():
    """Fails if the state is shared with the metric it came from."""
    metric, other = Median(), Median()
    metric.update([1], None)
    other.load_state_dict(metric.state_dict())
    other.update([2], None)
    assert (metric.items, other.items) == ([1], [1, 2])
