"""What all metrics share: batches of unequal size, processes, state, modes and speed."""

import math
import subprocess
import sys

import pytest
import torch

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.metrics import Mean, UndefinedMetricWarning, make_metric

CLASSES = 6
# -- Those of logits [B, C] against one class a row; metrics of other kinds have tests of their own.
NAMES = ("accuracy", "confusion_matrix", "f1", "log_loss", "precision", "recall", "top5", "top_k")
OPTIONS = {
    "top_k": {"k": 2},
    **{name: {"num_classes": CLASSES} for name in ("confusion_matrix", "f1", "precision", "recall")},
}


def build(name):
    return make_metric(name, **OPTIONS.get(name, {}))


def data(rows=50):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(CLASSES, (rows,), generator=generator)
    logits = torch.randn(rows, CLASSES, generator=generator) + 2 * torch.nn.functional.one_hot(target, CLASSES)
    return logits, target


def filled(name, *batches):
    metric = build(name)
    for outputs, target in batches:
        metric.update(outputs, target)
    return metric


def assert_same(left, right):
    torch.testing.assert_close(torch.as_tensor(left), torch.as_tensor(right), rtol=1e-6, atol=1e-9)


class Others:
    """Processes whose sum is what a function says."""

    def __init__(self, total):
        self.sum = total

    def gather_objects(self, value):
        return [value]


def sync_all(metrics):
    """Lets processes that each hold one metric add up: sums in their order, then the count, as in state_dict."""
    states = [list(metric.state_dict().values()) for metric in metrics]
    totals = [sum(parts[1:], parts[0]) for parts in zip(*states, strict=True)]
    for metric in metrics:
        position = iter(totals)

        def total(tensor, position=position):
            total = next(position)
            assert tensor.shape == total.shape
            return total

        metric.sync(Others(total))


@pytest.mark.parametrize("name", NAMES)
def test_unequal_batches_are_one_batch(name):
    """Fails if batch values are averaged rather than samples counted."""
    logits, target = data()
    parts = zip(logits.split([1, 30, 0, 19]), target.split([1, 30, 0, 19]), strict=True)
    assert_same(filled(name, *parts).compute(), filled(name, (logits, target)).compute())


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_are_one(name):
    """Fails if a state is left out of the sum; one process has 7 rows, one 43, one none at all."""
    logits, target = data()
    metrics = [
        filled(name, (logits[:7], target[:7])),
        filled(name, (logits[7:20], target[7:20]), (logits[20:], target[20:])),
        build(name),
    ]
    sync_all(metrics)
    whole = filled(name, (logits, target)).compute()
    for metric in metrics:
        assert_same(metric.compute(), whole)


@pytest.mark.parametrize("name", NAMES)
def test_totals_are_not_added_to(name):
    """Fails if data are counted once for each process after a second sync or a late update."""
    metric = filled(name, data())
    metric.sync(Others(lambda tensor: tensor))
    with pytest.raises(RuntimeError, match="reset"):
        metric.sync(Others(lambda tensor: tensor))
    with pytest.raises(RuntimeError, match="reset"):
        metric.update(*data())
    metric.reset()
    metric.update(*data())
    assert_same(metric.compute(), filled(name, data()).compute())


def test_reduction_in_place_is_harmless():
    """Fails if sync hands out the state itself: an in-place reduction that failed midway would corrupt it."""
    metric = filled("accuracy", data())
    before = metric.state_dict()

    def broken(tensor):
        tensor.fill_(-1)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        metric.sync(Others(broken))
    assert metric.state_dict() == before


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets(name):
    """Fails if a sum or the count survives the reset."""
    metric = filled(name, data())
    metric.reset()
    metric.update(*data(30))
    assert_same(metric.compute(), filled(name, data(30)).compute())


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trip(name):
    """Fails if a state is not saved, or the saved one is changed by later updates."""
    logits, target = data()
    metric = filled(name, (logits[:20], target[:20]))
    saved = metric.state_dict()
    metric.update(logits[20:], target[20:])
    resumed = build(name)
    resumed.load_state_dict(saved)
    resumed.update(logits[20:], target[20:])
    assert_same(resumed.compute(), filled(name, (logits, target)).compute())


def test_foreign_state_is_refused():
    """Fails if counts of another number of classes are broadcast or cut."""
    state = make_metric("f1", num_classes=3).state_dict()
    with pytest.raises(ValueError, match="counts"):
        build("f1").load_state_dict(state)
    with pytest.raises(ValueError, match="correct"):
        build("accuracy").load_state_dict({})


@pytest.mark.parametrize("name", NAMES)
def test_gradients_and_inference_mode(name):
    """Fails if sums keep the graph of the outputs, or become inference tensors that later updates cannot add to."""
    logits, target = data()
    metric = build(name)
    with torch.inference_mode():
        metric.update(logits[:20], target[:20])
    metric.update(logits[20:].clone().requires_grad_(), target[20:])
    assert not any(state.requires_grad for state in metric.state_dict().values())
    assert_same(metric.compute(), filled(name, (logits, target)).compute())


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_outputs(name):
    """Fails if sums are kept in the dtype of the outputs: bf16 cannot count beyond 256."""
    logits, target = data(600)
    logits = logits.bfloat16()
    assert_same(filled(name, (logits, target)).compute(), filled(name, (logits.float(), target)).compute())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "confusion_matrix"])
def test_no_data_is_undefined(name):
    """Fails if nothing seen reads as a score of 0, or as a perfect loss."""
    metric = filled(name, (torch.zeros(0, CLASSES), torch.zeros(0, dtype=torch.long)))
    with pytest.warns(UndefinedMetricWarning):
        assert math.isnan(metric.compute())


@pytest.mark.parametrize("name", NAMES)
def test_targets_must_fit(name):
    """Fails if targets of another size are broadcast, or probabilities pass for labels."""
    logits, target = data()
    with pytest.raises(ValueError, match=r"fit|need"):
        build(name).update(logits, target[:-1])
    with pytest.raises(TypeError, match="integer"):
        build(name).update(logits, target.float())


def test_which_way_is_better():
    """Fails if early stopping would keep the worst epoch."""
    better = {name: build(name).higher_is_better for name in NAMES}
    assert better.pop("log_loss") is False
    assert better.pop("confusion_matrix") is None
    assert set(better.values()) == {True}
    assert Mean().higher_is_better is False


def test_update_reads_nothing_back():
    """Fails if an update of a metric calls `item`, which makes a GPU's host wait: meta tensors have no values."""
    for name in NAMES:
        metric = build(name)
        metric.update(torch.empty(8, CLASSES, device="meta"), torch.empty(8, dtype=torch.long, device="meta"))
        assert all(state.is_meta for key, state in metric.state_dict().items() if key != "count")
    mean = Mean()
    mean.update(torch.empty((), device="meta"), 3)
    mean.update(torch.empty(4, device="meta"), torch.empty(4, device="meta"))


def test_moving_in_inference_mode():
    """Fails if sums that move to the outputs' device in inference mode refuse updates outside of it."""
    metric = build("accuracy")
    batch = torch.empty(8, CLASSES, device="meta"), torch.empty(8, dtype=torch.long, device="meta")
    with torch.inference_mode():
        metric.update(*batch)
    metric.update(*batch)
    assert metric.state_dict()["count"] == 16


def test_make_metric_names_the_nearest():
    """Fails if a misspelt name or option is swallowed."""
    with pytest.raises(UnknownNameError, match="'accuracy'"):
        make_metric("acuracy")
    with pytest.raises(UnknownArgumentError, match="'num_classes'"):
        make_metric("f1", num_clases=3)


def test_mean_is_weighted():
    """Fails if batch means count alike whatever their size: (1 * 2 + 3 * 6) / 8, not 2."""
    mean = Mean()
    mean.update(torch.tensor(1.0, requires_grad=True), 2)
    mean.update(torch.full((6,), 3.0))
    assert mean.compute() == pytest.approx(2.5)
    mean.reset()
    mean.update(1.0, 2)
    mean.update(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 0.5]))
    mean.update(2.0, torch.tensor([0.5]))
    assert mean.compute() == pytest.approx((2 + 3 + 2.5 + 1) / 4)
    mean.update(torch.tensor(1.0), torch.tensor([1.0, 1.0]))
    assert mean.compute() == pytest.approx((2 + 3 + 2.5 + 1 + 2) / 6)


def test_mean_of_many_keeps_its_digits():
    """Fails if the sum is float32, which stops growing at 2**24 and loses digits long before."""
    mean = Mean()
    mean.update(torch.tensor(2.0**24), 1)
    for _ in range(4):
        mean.update(torch.tensor(1.0), 1)
    assert mean.compute() * 5 == pytest.approx(2.0**24 + 4, rel=1e-12)
    mean.reset()
    mean.update(torch.full((1000,), 1.0, dtype=torch.bfloat16))
    assert mean.compute() == 1.0


def test_mean_over_processes():
    """Fails if means are averaged over processes without their weights."""
    left, right = Mean(), Mean()
    left.update(torch.tensor(1.0), 30)
    right.update(torch.tensor(4.0), 10)
    sync_all([left, right])
    assert left.compute() == right.compute() == pytest.approx(1.75)


def test_mean_of_nothing_is_undefined():
    """Fails if an empty epoch reads as loss 0."""
    with pytest.warns(UndefinedMetricWarning):
        assert math.isnan(Mean().compute())


def test_imports_stay_light():
    """Fails if a heavy library is imported at module level."""
    program = (
        "import sys, zoo.losses, zoo.metrics, zoo.metrics.pictures, zoo.optim, zoo.optim.pictures\n"
        "print([name for name in ('sklearn', 'matplotlib', 'torchvision', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
