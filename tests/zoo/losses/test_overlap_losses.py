"""Overlap losses against cases worked by hand, another library, and extreme values."""

import pytest
import torch

from zoo.errors import UnknownArgumentError
from zoo.losses import cross_entropy, cross_entropy_dice_loss, dice_loss, make_loss, tversky_loss

NAMES = ["dice", "tversky", "cross_entropy_dice"]


def case(classes=3, *, size=(2, 6, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], classes, *size[1:], generator=generator)
    return logits, torch.randint(classes, size, generator=generator)


def sure(labels, classes):
    """Logits that are sure of `labels`."""
    return 200.0 * torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


def test_dice_of_a_case_by_hand():
    """Four pixels, p(1) = 3/4 at two of them and 1/4 at two, three of class 1.

    |P n T| = 3/4 + 3/4 + 1/4 = 7/4, |P| = 2, |T| = 3: Dice 7/10; class 0: 3/4, 2, 1: Dice 1/2. Loss 1 - 6/10.
    """
    odds = torch.tensor(3.0).log()
    logits = torch.stack([torch.zeros(4), torch.tensor([1.0, 1, -1, -1]) * odds])[None]
    target = torch.tensor([[1, 1, 1, 0]])
    assert float(dice_loss(logits, target, smooth=0.0)) == pytest.approx(0.4)
    # With 2 pixels of smoothing: (2 * 7/4 + 2) / 7 and (2 * 3/4 + 2) / 5.
    expected = 1 - (5.5 / 7 + 3.5 / 5) / 2
    assert float(dice_loss(logits, target, smooth=2.0)) == pytest.approx(expected)


def test_tversky_of_a_case_by_hand():
    """Of the case above: TP 7/4, FP 1/4, FN 5/4 for class 1, and TP 3/4, FP 5/4, FN 1/4 for class 0.

    Fails if a and b are swapped.
    """
    odds = torch.tensor(3.0).log()
    logits = torch.stack([torch.zeros(4), torch.tensor([1.0, 1, -1, -1]) * odds])[None]
    target = torch.tensor([[1, 1, 1, 0]])
    found = tversky_loss(logits, target, false_positives=0.2, false_negatives=0.8, smooth=0.0)
    expected = 1 - (1.75 / (1.75 + 0.05 + 1.0) + 0.75 / (0.75 + 0.25 + 0.2)) / 2
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("ignored", [False, True])
def test_dice_and_tversky_are_those_of_segmentation_models(smooth, ignored):
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = case()
    if ignored:
        target[0, :3] = 255
    kind = {"mode": "multiclass", "from_logits": True, "ignore_index": 255}
    torch.testing.assert_close(
        dice_loss(logits, target, smooth=smooth), losses.DiceLoss(**kind, smooth=smooth / 2)(logits, target)
    )
    reference = losses.TverskyLoss(**kind, smooth=smooth, alpha=0.3, beta=0.7)(logits, target)
    torch.testing.assert_close(tversky_loss(logits, target, smooth=smooth), reference)


def test_yes_or_no_is_class_one_of_two():
    """Fails if the yes-or-no form counts class 0 as well; its smoothing is half of ours in the other library."""
    logits, target = case(2)
    difference = logits[:, 1] - logits[:, 0]
    pair = dice_loss(logits, target), dice_loss(torch.stack([-difference, difference * 0], 1), target)
    torch.testing.assert_close(*pair)
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    reference = losses.DiceLoss("binary", smooth=0.5)(difference[:, None], target[:, None].float())
    torch.testing.assert_close(dice_loss(difference, target), reference)
    torch.testing.assert_close(dice_loss(difference, target.bool()), reference)


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_right_is_zero_and_wrong_is_one(name):
    loss = make_loss(name, smooth=0.0)
    labels = torch.tensor([[[0, 1], [2, 1]]])
    assert float(loss(sure(labels, 3), labels)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(sure((labels + 1) % 3, 3), labels)) == pytest.approx(1.0)


def test_a_class_that_is_not_shown_counts_nothing():
    """Fails if absent classes stand in the mean with an overlap of 0 or 1."""
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[:, :2] = 1
    assert float(dice_loss(sure(labels, 5), labels, smooth=0.0)) == pytest.approx(0.0, abs=1e-6)
    wrong = torch.full_like(labels, 4)
    assert float(dice_loss(sure(wrong, 5), labels, smooth=0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_ignored_changes_nothing(name):
    """The loss of a batch is that of its counted pixels alone, whatever the model says of the others."""
    loss = make_loss(name)
    logits, target = case(size=(1, 4, 6))
    full = target.clone()
    full[:, :, 3:] = 255
    changed = logits.clone()
    changed[:, :, :, 3:] = 50 * torch.randn(1, 3, 4, 3)
    torch.testing.assert_close(loss(changed, full), loss(logits[..., :3], target[..., :3]))


@pytest.mark.parametrize("name", ["dice", "tversky"])
@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_to_count_is_zero_with_a_finite_gradient(name, rows):
    logits = torch.randn(rows, 3, 4, 4, requires_grad=True)
    loss = make_loss(name, smooth=0.0)(logits, torch.full((rows, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_half_precision_and_large_logits(name, scale):
    """Fails if sums are made in bf16, which stops counting at 256."""
    loss = make_loss(name)
    logits, target = case(size=(1, 64, 64))
    logits = (logits * scale).bfloat16()
    single = loss(logits, target)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), loss(logits.double(), target), rtol=1e-4, atol=1e-5)
    assert torch.isfinite(loss(logits + 1e3, target))


def test_the_sum_is_of_its_two_parts():
    logits, target = case()
    weights = [1.0, 2.0, 0.5]
    expected = cross_entropy(logits, target, class_weights=weights) + 0.3 * dice_loss(logits, target)
    torch.testing.assert_close(
        cross_entropy_dice_loss(logits, target, dice_weight=0.3, class_weights=weights), expected
    )


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_gradient_is_that_of_differences(name):
    logits, target = case(size=(1, 2, 3))
    torch.autograd.gradcheck(lambda z: make_loss(name)(z, target), (logits.double().requires_grad_(),))


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_option_raises(name):
    with pytest.raises(UnknownArgumentError, match="smooth"):
        make_loss(name, smoth=1.0)


@pytest.mark.parametrize(
    ("logits", "target", "error", "words"),
    [
        (torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), 3), ValueError, "outside 0..2"),
        (torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 5, dtype=torch.int64), ValueError, "own shape"),
        (torch.randn(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64), ValueError, "squeeze"),
        (torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 4), TypeError, "long"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 4, dtype=torch.int64), TypeError, "floating"),
    ],
)
def test_what_does_not_fit_raises(logits, target, error, words):
    with pytest.raises(error, match=words):
        dice_loss(logits, target)


def test_negative_weights_raise():
    with pytest.raises(ValueError, match="negative"):
        tversky_loss(*case(), false_positives=-0.1)
