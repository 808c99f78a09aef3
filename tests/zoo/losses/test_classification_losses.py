"""Losses of classifiers against torch, NumPy in float64 and cases worked by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.losses import LOSSES, binary_cross_entropy, cross_entropy, make_loss, nll


def numpy_cross_entropy(logits, probs, class_weights=None, label_smoothing=0.0):
    """Per-sample loss of [B, C] by the definition, in float64."""
    logits, probs = np.asarray(logits, np.float64), np.asarray(probs, np.float64)
    classes = logits.shape[1]
    shifted = logits - logits.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    probs = probs * (1 - label_smoothing) + label_smoothing / classes
    weights = np.ones(classes) if class_weights is None else np.asarray(class_weights, np.float64)
    return -(weights * probs * log_probs).sum(1)


def test_cross_entropy_by_hand():
    """Fails if the log is not natural or the sign is wrong: two equal logits cost ln 2."""
    assert cross_entropy(torch.zeros(1, 2), torch.tensor([1])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_cross_entropy_is_its_definition(kind, class_weights, label_smoothing):
    """Fails if smoothing spreads over C - 1 classes, or weights leave the smoothed part alone."""
    torch.manual_seed(0)
    logits = torch.randn(7, 4)
    target = torch.randint(4, (7,)) if kind == "indices" else torch.rand(7, 4).softmax(1)
    probs = F.one_hot(target, 4) if kind == "indices" else target
    expected = numpy_cross_entropy(logits, probs, class_weights, label_smoothing)
    options = {"class_weights": class_weights, "label_smoothing": label_smoothing}
    torch.testing.assert_close(
        cross_entropy(logits, target, reduction="none", **options).double(),
        torch.tensor(expected),
        rtol=1e-5,
        atol=1e-6,
    )
    torch.testing.assert_close(
        cross_entropy(logits, target, reduction="sum", **options).item(), expected.sum(), rtol=1e-5, atol=1e-5
    )


def test_weighted_mean_divides_by_the_weights():
    """Fails if the mean divides by the number of samples, or counts ignored ones."""
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 9])
    weights = torch.tensor([1.0, 3.0, 0.5])
    each = cross_entropy(logits, target, class_weights=weights, reduction="none", ignore_index=9)
    assert each[4] == 0
    mean = cross_entropy(logits, target, class_weights=weights, ignore_index=9)
    torch.testing.assert_close(mean, each.sum() / (1 + 3 + 0.5 + 3))


def test_cross_entropy_over_images():
    """Fails if classes are read from the last dimension."""
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    flat = cross_entropy(logits.movedim(1, -1).reshape(-1, 3), target.flatten())
    torch.testing.assert_close(cross_entropy(logits, target), flat)
    torch.testing.assert_close(cross_entropy(logits, target.to(torch.int32)), flat)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(dtype):
    """Fails if the log-sum-exp is rounded to 8 bits: the loss would be off by parts in a hundred."""
    logits = (torch.randn(16, 10) * 8).to(dtype).requires_grad_()
    target = torch.randint(10, (16,))
    loss = cross_entropy(logits, target)
    assert loss.dtype == torch.float32
    expected = numpy_cross_entropy(logits.detach().double(), F.one_hot(target, 10)).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad.dtype == dtype
    binary = binary_cross_entropy(logits, F.one_hot(target, 10))
    assert binary.dtype == torch.float32


def test_float64_stays_float64():
    """Fails if everything is cast to float32, which would break gradient checks."""
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, torch.tensor([0, 1, 2, 0]), label_smoothing=0.1), logits)
    yes = torch.rand(4, 3).round()
    assert torch.autograd.gradcheck(lambda x: binary_cross_entropy(x, yes, positive_weight=3.0), logits)


def test_extreme_logits():
    """Fails if exp is taken without a shift: inf or NaN in place of a finite loss."""
    logits, target = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(cross_entropy(logits + 1e3, target), cross_entropy(logits, target))
    assert cross_entropy(torch.tensor([[1e4, -1e4]]), torch.tensor([1])).item() == pytest.approx(2e4)
    sure = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = binary_cross_entropy(sure, torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert sure.grad.tolist() == [0.5, -0.5]


def test_one_class_and_no_samples():
    """Fails if a single class is refused, or a mean of nothing reads as a perfect loss."""
    assert cross_entropy(torch.randn(3, 1), torch.zeros(3, dtype=torch.long)).item() == 0
    assert cross_entropy(torch.randn(0, 4), torch.zeros(0, dtype=torch.long)).isnan()
    assert cross_entropy(torch.randn(0, 4), torch.zeros(0, dtype=torch.long), reduction="sum").item() == 0
    assert binary_cross_entropy(torch.randn(0), torch.zeros(0)).isnan()
    assert cross_entropy(torch.randn(2, 4), torch.full((2,), -100)).isnan()


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.randn(4, 3), torch.tensor([0, 1, 3, 0]), r"outside 0\.\.2"),
        (torch.randn(4, 3), torch.tensor([0, 1, -1, 0]), r"outside 0\.\.2"),
        (torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), 255), r"outside 0\.\.2"),
        (torch.randn(4, 3), torch.zeros(4, 1, dtype=torch.long), r"squeeze\(1\)"),
        (torch.randn(4, 3), torch.zeros(4, 3, dtype=torch.long), r"target\.float\(\)"),
        (torch.randn(4, 3), torch.zeros(4), r"target\.long\(\)"),
        (torch.randn(4, 3), torch.zeros(5, dtype=torch.long), r"shape \[4\]; got \[5\]"),
        (torch.randn(3), torch.tensor(0), r"unsqueeze\(0\)"),
    ],
)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_cross_entropy_refuses_at_the_door(logits, target, message, label_smoothing):
    """Fails if a shape or index that does not fit is broadcast, wrapped round or left to a bare IndexError."""
    with pytest.raises(ValueError, match=message):
        cross_entropy(logits, target, label_smoothing=label_smoothing)


def test_wrong_types_and_options_raise():
    """Fails if integers pass for logits, bools for indices, or options out of range are taken."""
    target = torch.tensor([0, 1])
    with pytest.raises(TypeError, match="floating point"):
        cross_entropy(torch.zeros(2, 3, dtype=torch.long), target)
    with pytest.raises(TypeError, match="must be integers"):
        cross_entropy(torch.zeros(2, 3), target.bool())
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy(torch.zeros(2, 3), target, label_smoothing=1.5)
    with pytest.raises(ValueError, match="3 numbers"):
        cross_entropy(torch.zeros(2, 3), target, class_weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="not a valid value"):
        cross_entropy(torch.zeros(2, 3), target, reduction="average")


@pytest.mark.parametrize("positive_weight", [None, 3.0, torch.tensor([0.5, 1.0, 4.0])])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_its_definition(positive_weight, label_smoothing):
    """Fails if the weight falls on the negative part, or smoothing pulls to 0 rather than to a half."""
    torch.manual_seed(0)
    logits, target = torch.randn(6, 3), torch.rand(6, 3)
    z, y = logits.double().numpy(), target.double().numpy() * (1 - label_smoothing) + label_smoothing / 2
    w = 1.0 if positive_weight is None else np.asarray(positive_weight, np.float64)
    p = 1 / (1 + np.exp(-z))
    expected = -(w * y * np.log(p) + (1 - y) * np.log(1 - p))
    options = {"positive_weight": positive_weight, "label_smoothing": label_smoothing}
    each = binary_cross_entropy(logits, target, reduction="none", **options)
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-5)
    assert binary_cross_entropy(logits, target, **options).item() == pytest.approx(expected.mean(), rel=1e-5)


def test_binary_targets_of_every_type():
    """Fails if bool or integer masks are refused or read differently."""
    logits, target = torch.randn(5), torch.tensor([0, 1, 1, 0, 1])
    expected = F.binary_cross_entropy_with_logits(logits, target.float())
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float64):
        assert binary_cross_entropy(logits, target.to(dtype)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.zeros(4), "squeeze"),
        (torch.full((4, 1), 255), r"0\.\.1"),
        (torch.full((4, 1), -0.1), r"0\.\.1"),
        (torch.full((4, 1), math.nan), r"0\.\.1"),
    ],
)
def test_binary_cross_entropy_refuses_at_the_door(target, message):
    """Fails if [B] against [B, 1] is broadcast to [B, B], or a mask of 0 and 255 passes for probabilities."""
    with pytest.raises(ValueError, match=message):
        binary_cross_entropy(torch.randn(4, 1), target)


def test_weights_made_in_inference_mode_train_later():
    """Fails if the kept weight tensor is an inference tensor, which autograd refuses."""
    loss = make_loss("cross_entropy", class_weights=[1.0, 7.0])
    with torch.inference_mode():
        loss(torch.randn(2, 2), torch.tensor([0, 1]))
    logits = torch.randn(2, 2, requires_grad=True)
    loss(logits, torch.tensor([0, 1])).backward()
    assert logits.grad.isfinite().all()


def test_make_loss_binds_options():
    """Fails if an option is dropped."""
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    loss = make_loss("cross_entropy", label_smoothing=0.3, reduction="sum")
    assert loss(logits, target) == cross_entropy(logits, target, label_smoothing=0.3, reduction="sum")
    assert set(LOSSES) >= {"cross_entropy", "binary_cross_entropy"}


def test_make_loss_names_the_nearest():
    """Fails if a misspelt name or option is swallowed, or a tensor argument passes for an option."""
    with pytest.raises(UnknownNameError, match="'cross_entropy'"):
        make_loss("cross_entropi")
    with pytest.raises(UnknownArgumentError, match="'label_smoothing'"):
        make_loss("cross_entropy", label_smothing=0.1)
    with pytest.raises(UnknownArgumentError):
        make_loss("cross_entropy", target=torch.zeros(1))


# -- Log-probabilities


@pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_of_log_softmax_is_cross_entropy(class_weights, reduction):
    """Fails if an ignored target counts, weights are left out of the mean, or classes come last."""
    logits, target = torch.randn(3, 4, 5), torch.randint(4, (3, 5))
    target[0, :2] = 255
    options = {"class_weights": class_weights, "reduction": reduction, "ignore_index": 255}
    found = nll(logits.log_softmax(1), target, **options)
    torch.testing.assert_close(found, cross_entropy(logits, target, **options))


def test_nll_by_hand_and_at_extremes():
    """Fails if the target is not picked, or bf16 is summed as such; a probability of 0 costs infinity."""
    log_probs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    assert nll(log_probs, torch.tensor([0, 1])).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert nll(torch.full((300, 2), -1e4).bfloat16(), torch.ones(300, dtype=torch.long)).item() == pytest.approx(9984)
    assert nll(torch.tensor([[0.0, -math.inf]]), torch.tensor([1])).item() == math.inf
    assert nll(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).isnan()
    assert nll(torch.zeros(2, 3), torch.full((2,), -100)).isnan()
    assert nll(torch.full((1, 2), math.nan), torch.tensor([0])).isnan()


def test_nll_refuses_logits_and_other_targets():
    """Fails if logits pass for log-probabilities, which would train to infinite ones."""
    with pytest.raises(ValueError, match="cross_entropy"):
        nll(torch.tensor([[2.0, -1.0]]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        nll(torch.zeros(1, 2), torch.tensor([2]))
    with pytest.raises(TypeError, match="long"):
        nll(torch.zeros(1, 2), torch.zeros(1))
