"""Lovász losses against sets counted by hand, another library, and extreme values."""

import itertools

import numpy as np
import pytest
import torch

from zoo.losses import lovasz_hinge, lovasz_softmax, make_loss


def case(classes=3, *, size=(2, 6, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], classes, *size[1:], generator=generator)
    return logits, torch.randint(classes, size, generator=generator)


def sure(labels, classes):
    """Logits that are sure of `labels`."""
    return 200.0 * torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


def jaccard_loss(wrong, true):
    """1 - IoU of a region `true` when the pixels `wrong` are mistaken."""
    predicted = true ^ wrong
    union = (predicted | true).sum()
    return 1 - (predicted & true).sum() / union if union else 0.0


def extension(errors, true):
    """The Lovász extension of the Jaccard loss at `errors`, by its definition: pixels go wrong from the worst on."""
    order = np.argsort(-errors, kind="stable")
    wrong, total, before = np.zeros(len(errors), bool), 0.0, 0.0
    for pixel in order:
        wrong[pixel] = True
        now = jaccard_loss(wrong, true)
        total += errors[pixel] * (now - before)
        before = now
    return total


def test_case_by_hand():
    """Three pixels, class 1 true at the first two; logits 1, -1, 1 give hinge errors 0, 2, 2.

    A miss first: IoU 1/2, then a false alarm 1/3, so 2 * 1/2 + 2 * 1/6. Fails if errors are sorted upwards.
    """
    logits, target = torch.tensor([[1.0, -1.0, 1.0]]), torch.tensor([[1, 1, 0]])
    assert lovasz_hinge(logits, target).item() == pytest.approx(2 / 2 + 2 / 6)


@pytest.mark.parametrize("true", list(itertools.product([False, True], repeat=4)))
def test_hard_answers_have_the_jaccard_loss(true):
    """The property of an extension: at corners it is 1 - IoU itself, whatever the sets."""
    true = torch.tensor([true])
    for wrong in itertools.product([False, True], repeat=4):
        predicted = true ^ torch.tensor([wrong])
        logits = 200.0 * torch.stack([~predicted, predicted], 1).float()
        found = lovasz_softmax(logits, true.long(), classes="all").item()
        wrong = np.array(wrong)
        expected = (jaccard_loss(wrong, true[0].numpy()) + jaccard_loss(wrong, ~true[0].numpy())) / 2
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_soft_answers_have_the_extension(seed):
    """NumPy from the definition, one class after the other."""
    logits, target = case(size=(1, 3, 5), seed=seed)
    probs = logits.double().softmax(1)[0].reshape(3, -1).numpy()
    labels = target.numpy().ravel()
    losses = [extension(np.where(labels == k, 1 - probs[k], probs[k]), labels == k) for k in range(3)]
    assert lovasz_softmax(logits, target, classes="all").item() == pytest.approx(np.mean(losses), rel=1e-5)
    yes, margin = labels == 1, logits[0, 0].double().numpy().ravel()
    errors = np.maximum(1 - np.where(yes, margin, -margin), 0)
    assert lovasz_hinge(logits[:, 0], target == 1).item() == pytest.approx(extension(errors, yes), rel=1e-5)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("over", ["batch", "image"])
def test_both_are_those_of_segmentation_models(over, ignored):
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = case(4)
    if ignored:
        target[0, :3] = 255
    ignore = 255 if ignored else None
    per_image = over == "image"
    reference = losses.LovaszLoss("multiclass", per_image=per_image, ignore_index=ignore, from_logits=True)
    torch.testing.assert_close(lovasz_softmax(logits, target, over=over), reference(logits, target))
    yes = torch.where(target == 255, 255, (target == 1).long())
    reference = losses.LovaszLoss("binary", per_image=per_image, ignore_index=ignore, from_logits=True)
    torch.testing.assert_close(lovasz_hinge(logits[:, 0], yes, over=over), reference(logits[:, 0], yes))


def test_right_is_zero_and_wrong_is_one():
    labels = torch.tensor([[[0, 1], [2, 1]]])
    assert lovasz_softmax(sure(labels, 3), labels).item() == pytest.approx(0, abs=1e-6)
    assert lovasz_softmax(sure((labels + 1) % 3, 3), labels).item() == pytest.approx(1)
    assert lovasz_hinge(torch.tensor([[5.0, -5.0]]), torch.tensor([[True, False]])).item() == 0


def test_where_nothing_is_yes_the_worst_error_counts():
    """One false alarm makes the IoU 0: fails if 0 / 0 comes of an empty region."""
    logits = torch.tensor([[-3.0, 0.5, -0.5]], requires_grad=True)
    loss = lovasz_hinge(logits, torch.zeros(1, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(1.5)
    assert logits.grad.tolist() == [[0, 1, 0]]


def test_a_class_that_is_not_shown_counts_when_asked():
    """Of 5 classes 2 are shown and right, one of the others gets a false alarm at one sure pixel."""
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, 2:] = 1
    told = labels.clone()
    told[0, 0, 0] = 4
    shown = ((1 - 7 / 8) + 0) / 2
    assert lovasz_softmax(sure(told, 5), labels).item() == pytest.approx(shown)
    assert lovasz_softmax(sure(told, 5), labels, classes="all").item() == pytest.approx((2 * shown + 1) / 5)


@pytest.mark.parametrize("name", ["lovasz_softmax", "lovasz_hinge"])
@pytest.mark.parametrize("over", ["batch", "image"])
def test_what_is_ignored_changes_nothing(name, over):
    """The loss of a batch is that of its counted pixels alone, whatever the model says of the others."""
    loss = make_loss(name, over=over)
    logits, target = case(2, size=(2, 4, 6))
    full = target.clone()
    full[:, :, 3:] = 255
    changed = logits.clone()
    changed[..., 3:] = 50 * torch.randn(2, 2, 4, 3)
    if name == "lovasz_hinge":
        logits, changed = logits[:, 0], changed[:, 0]
    torch.testing.assert_close(loss(changed, full), loss(logits[..., :3], target[..., :3]))
    full[0] = 255  # an image of nothing takes no part in the mean
    torch.testing.assert_close(loss(changed, full), loss(logits[1:, ..., :3], target[1:, :, :3]))


@pytest.mark.parametrize("name", ["lovasz_softmax", "lovasz_hinge"])
@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_to_count_is_zero_with_a_gradient_of_zero(name, rows):
    logits = torch.randn(rows, 3, 4, 4, requires_grad=True)
    given = logits if name == "lovasz_softmax" else logits[:, 0]
    loss = make_loss(name)(given, torch.full((rows, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_many_pixels_keep_their_digits():
    """Fails if steps of the Jaccard index are differences of float32: float64 is the reference."""
    logits, target = case(2, size=(1, 1000, 500))
    logits, target = logits.requires_grad_(), target
    gradients = [torch.autograd.grad(lovasz_softmax(values, target), logits)[0] for values in (logits, logits.double())]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-11)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_half_precision_large_logits_and_ties(scale):
    logits, target = case(size=(1, 32, 32))
    logits = (logits * scale).bfloat16().requires_grad_()
    tied = torch.zeros(1, 3, 8, 8, requires_grad=True)
    for values, labels in ((logits, target), (tied, target[:, :8, :8])):
        for loss in (lovasz_softmax(values, labels), lovasz_hinge(values[:, 0], labels == 1)):
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert torch.autograd.grad(loss, values, retain_graph=True)[0].isfinite().all()


@pytest.mark.parametrize("name", ["lovasz_softmax", "lovasz_hinge"])
def test_gradient_is_that_of_differences(name):
    logits, target = case(2, size=(1, 2, 3))
    given = logits if name == "lovasz_softmax" else logits[:, 0]
    assert torch.autograd.gradcheck(lambda z: make_loss(name)(z, target), (given.double().requires_grad_(),))


@pytest.mark.parametrize(
    ("name", "logits", "target", "options", "error", "words"),
    [
        ("lovasz_softmax", torch.zeros(1, 3, 2), torch.full((1, 2), 3), {}, ValueError, r"outside 0\.\.2"),
        ("lovasz_softmax", torch.zeros(1, 3, 2), torch.zeros(1, 2), {}, TypeError, "long"),
        ("lovasz_softmax", torch.zeros(1, 3, 2), torch.zeros(1, 2).long(), {"over": "row"}, ValueError, "image"),
        ("lovasz_softmax", torch.zeros(1, 3, 2), torch.zeros(1, 2).long(), {"classes": "some"}, ValueError, "shown"),
        ("lovasz_hinge", torch.zeros(1, 1, 2), torch.zeros(1, 2).long(), {}, ValueError, "squeeze"),
        ("lovasz_hinge", torch.zeros(1, 2), torch.full((1, 2), 2), {}, ValueError, r"outside 0\.\.1"),
        ("lovasz_hinge", torch.zeros(1, 2), torch.zeros(1, 2), {}, TypeError, "bool"),
    ],
)
def test_what_does_not_fit_raises(name, logits, target, options, error, words):
    with pytest.raises(error, match=words):
        make_loss(name, **options)(logits, target)
