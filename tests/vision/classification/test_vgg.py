import pytest
import torch
import torchvision
from torch import nn

from vision.classification.vgg import VGG


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("depth", [11, 16])
def test_same_weights_give_torchvision_s_logits(depth, norm, assert_parity):
    """Fails for an order of layers other than torchvision's. The hidden linear layers are narrowed in both."""
    name = f"vgg{depth}" + ("_bn" if norm == "batch" else "")
    with torch.device("meta"):
        reference = torchvision.models.get_model(name, weights=None, init_weights=False)
    reference.classifier[0] = nn.Linear(512 * 49, 32)
    reference.classifier[3] = nn.Linear(32, 32)
    reference.classifier[6] = nn.Linear(32, 5)
    reference.features.to_empty(device="cpu")
    ours = VGG(num_classes=5, depth=depth, norm=norm, head_width=32)
    reference.load_state_dict(ours.state_dict())  # BatchNorm's counters too, which `to_empty` leaves undefined
    assert_parity(ours, reference, shape=(2, 3, 64, 64))


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_tensor_names_and_shapes_are_torchvision_s(depth, norm):
    """Fails for a convolution too many or few in some stage, or another width."""
    name = f"vgg{depth}" + ("_bn" if norm == "batch" else "")
    with torch.device("meta"):
        ours = VGG(depth=depth, norm=norm).state_dict()
        reference = torchvision.models.get_model(name, weights=None).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in reference.items()]


@pytest.mark.parametrize(("depth", "millions"), [(11, 133), (13, 133), (16, 138), (19, 144)])
def test_parameter_counts_are_the_paper_s(depth, millions):
    """Fails if a column of table 1 is misread; the counts are table 2's."""
    with torch.device("meta"):
        model = VGG(depth=depth)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth


def test_weights_start_as_in_torchvision():
    """Fails if a bias starts at random, or a linear layer with PyTorch's default, 0.0037 here."""
    torch.manual_seed(0)
    model = VGG(depth=11, head_width=8, num_classes=2)
    assert all((m.bias == 0).all() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert model.classifier[0].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert model.features[3].weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"depth": 12}, "11, 13, 16, 19"), ({"norm": "bach"}, "batch"), ({"in_channels": 0}, "at least 1")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        VGG(**arguments)
