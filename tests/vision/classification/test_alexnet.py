import pytest
import torch
import torchvision
from torch import nn

from vision.classification.alexnet import AlexNet


def test_same_weights_give_torchvision_s_logits(assert_parity):
    """Fails for a kernel, stride, padding or order of layers other than torchvision's.

    The hidden linear layers are narrowed in both, for speed.
    """
    with torch.device("meta"):
        reference = torchvision.models.alexnet()
    reference.classifier[1] = nn.Linear(256 * 36, 8)
    reference.classifier[4] = nn.Linear(8, 8)
    reference.classifier[6] = nn.Linear(8, 5)
    reference.features.to_empty(device="cpu")
    assert_parity(AlexNet(num_classes=5, head_width=8), reference, shape=(2, 3, 96, 96))


def test_tensor_names_and_shapes_are_torchvision_s():
    """Fails for another width of a layer at the full size."""
    with torch.device("meta"):
        ours, reference = AlexNet().state_dict(), torchvision.models.alexnet().state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in reference.items()]


def test_the_smallest_image_is_what_the_docstring_says():
    """Fails if a stride or padding changes: 63 pixels leave one pixel for the last pooling, 62 leave none."""
    model = AlexNet(num_classes=2, head_width=4).eval()
    assert model(torch.zeros(1, 3, 63, 63)).shape == (1, 2)
    with pytest.raises(RuntimeError, match="too small"):
        model(torch.zeros(1, 3, 62, 62))


def test_dropout_works_in_training_only():
    """Fails if the rate is not handed on to both layers."""
    model = AlexNet(num_classes=2, head_width=4, dropout=0.25)
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"dropout": 1.0}, "not including"), ({"head_width": 0}, "at least 1"), ({"num_classes": 0}, "at least 1")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        AlexNet(**arguments)
