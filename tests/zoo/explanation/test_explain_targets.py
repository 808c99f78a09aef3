"""What is explained: classes, scores of the user's own, and outputs that are more than a tensor."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from zoo.explanation import explain
from zoo.outputs import AuxiliaryLogits


class Wrapped(nn.Module):
    """Gives the logits of another model inside an output of the given kind."""

    def __init__(self, model: nn.Module, wrap) -> None:
        super().__init__()
        self.model, self.wrap = model, wrap

    def forward(self, x: Tensor):
        return self.wrap(self.model(x))


def test_the_predicted_class_is_the_default(gap_cnn, images):
    """Fails if one class is taken for the whole batch."""
    logits = gap_cnn(images).detach()
    found = explain(gap_cnn, images)
    assert len(found) == 3
    assert found.target.tolist() == logits.argmax(dim=1).tolist()
    torch.testing.assert_close(found.logits, logits)
    for row, target in enumerate(found.target.tolist()):
        torch.testing.assert_close(explain(gap_cnn, images[row], target=target).heat[0], found.heat[row])
    expected = logits.softmax(dim=1).amax(dim=1)
    torch.testing.assert_close(found.probabilities, expected)


def test_forms_of_the_target(gap_cnn, images):
    expected = explain(gap_cnn, images, target=2).heat
    for target in ([2, 2, 2], torch.tensor([2, 2, 2], dtype=torch.int32), torch.tensor(2)):
        torch.testing.assert_close(explain(gap_cnn, images, target=target).heat, expected)


@pytest.mark.parametrize("method", ["grad_cam", "saliency", "mean_features"])
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (5, ValueError, r"in 0..4, got \[5\]"),
        (-1, ValueError, r"in 0..4, got \[-1\]"),
        ([0, 1, 9], ValueError, r"in 0..4, got \[0, 1, 9\]"),
        ([0, 1], ValueError, r"one per row \[3\], got \[2\]"),
        (torch.zeros(3), TypeError, "integers"),
        (True, TypeError, "integer"),
        ("cat", TypeError, "integer.*'cat'"),
    ],
)
def test_targets_that_will_not_do(gap_cnn, images, method, target, error, message):
    with pytest.raises(error, match=message):
        explain(gap_cnn, images, method=method, target=target)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: {"logits": logits},
        lambda logits: AuxiliaryLogits(logits, (logits,), 0.3),
    ],
)
@pytest.mark.parametrize("method", ["cam", "grad_cam", "saliency"])
def test_outputs_that_hold_logits(gap_cnn, images, wrap, method):
    found = explain(Wrapped(gap_cnn, wrap), images, method=method)
    torch.testing.assert_close(found.heat, explain(gap_cnn, images, method=method).heat)


def test_a_score_of_ones_own(gap_cnn, images):
    """Fails if the function's output is not what is differentiated."""
    model = Wrapped(gap_cnn, lambda logits: (logits, "boxes"))
    for method in ("grad_cam", "saliency"):
        found = explain(model, images, method=method, target_function=lambda output: 3 * output[0][:, 1])
        expected = explain(gap_cnn, images, method=method, target=1)
        torch.testing.assert_close(found.heat, 3 * expected.heat)
        assert found.target is None
        assert found.logits is None
        assert found.title(0) == "target function"
    plain = explain(gap_cnn, images, target_function=lambda logits: logits[:, 1])
    assert plain.logits is not None


def test_scores_that_will_not_do(gap_cnn, images):
    with pytest.raises(ValueError, match="not both"):
        explain(gap_cnn, images, target=1, target_function=lambda logits: logits[:, 1])
    with pytest.raises(ValueError, match=r"one score per row \[3\], got \[3, 5\]"):
        explain(gap_cnn, images, target_function=lambda logits: logits)
    with pytest.raises(ValueError, match="does not depend on the inputs"):
        explain(gap_cnn, images, target_function=lambda logits: logits[:, 1].detach())
    with pytest.raises(ValueError, match="with target_function use method='grad_cam'"):
        explain(gap_cnn, images, method="cam", target_function=lambda logits: logits[:, 1])
    with pytest.raises(ValueError, match=r"got tuple.*target_function"):
        explain(Wrapped(gap_cnn, lambda logits: (logits, "boxes")), images)
    with pytest.raises(ValueError, match=r"got shape \[3, 6, 6, 8\].*target_function"):
        explain(gap_cnn[0], images)


def test_inputs_that_will_not_do(gap_cnn, images):
    with pytest.raises(TypeError, match=r"floating-point.*uint8"):
        explain(gap_cnn, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"floating-point.*str"):
        explain(gap_cnn, "cat.jpg")
    with pytest.raises(ValueError, match="batch"):
        explain(gap_cnn, images[:0])
    with pytest.raises(TypeError, match=r"torch.nn.Module, got function"):
        explain(lambda x: x, images)
    with pytest.raises(ValueError, match="NaN"):
        explain(gap_cnn, images * float("nan"))
    with pytest.raises(ValueError, match="labels has 2 names for 5 logits"):
        explain(gap_cnn, images, labels=["cat", "dog"])


def test_half_precision(gap_cnn, images):
    """bf16 models give float32 heat near that of the float32 model."""
    expected = explain(gap_cnn, images, target=1).heat
    found = explain(gap_cnn.bfloat16(), images.bfloat16(), target=1).heat
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05 * float(expected.max()), rtol=0.1)
