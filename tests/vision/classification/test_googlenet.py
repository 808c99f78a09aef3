import pytest
import torch
from torch import nn
from torchvision.models import googlenet

from vision.classification.googlenet import GoogLeNet
from zoo.outputs import AuxiliaryLogits

NUM_CLASSES = 100


def torchvision_googlenet(*, aux_logits, transform_input=False):
    """torchvision's network without dropout, so that training has one answer."""
    return googlenet(
        num_classes=NUM_CLASSES,
        aux_logits=aux_logits,
        transform_input=transform_input,
        init_weights=False,
        dropout=0.0,
        dropout_aux=0.0,
    )


@torch.no_grad()
def enliven(model, images):
    """Gives the norms random scales and shifts, and statistics that these images have at each of them."""
    for module in model.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(std=0.1)
            module.momentum = 1.0
            module.train()
    model(images)
    model.eval()


@pytest.mark.parametrize("aux_logits", [True, False])
@pytest.mark.parametrize("transform_input", [True, False])
def test_same_weights_give_torchvision_s_logits(aux_logits, transform_input):
    """Fails for another order of branches, another eps, or channels of the input transform swapped."""
    ours = GoogLeNet(num_classes=NUM_CLASSES, aux_logits=aux_logits, transform_input=transform_input)
    reference = torchvision_googlenet(aux_logits=aux_logits, transform_input=transform_input)
    torch.manual_seed(0)
    images = torch.randn(2, 3, 48, 64)
    enliven(reference, torch.randn(8, 3, 48, 64))
    ours.eval().load_state_dict(reference.state_dict())
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(ours(images), expected, atol=1e-5, rtol=0)
    assert expected.std(dim=0).mean() > 0.1


def test_training_gives_torchvision_s_three_logits():
    """Fails if a side head hangs on another module, the two are swapped, or batch statistics are not used."""
    torch.manual_seed(0)
    ours = GoogLeNet(num_classes=NUM_CLASSES, dropout=0.0, auxiliary_dropout=0.0).train()
    reference = torchvision_googlenet(aux_logits=True).train()
    reference.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        got, expected = ours(images), reference(images)
    assert isinstance(got, AuxiliaryLogits)
    assert got.weight == 0.3
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.auxiliary, (expected.aux_logits1, expected.aux_logits2), atol=1e-5, rtol=0)


def test_plain_logits_without_auxiliary_heads_or_in_evaluation():
    """Fails if the side heads answer outside training."""
    images = torch.randn(2, 3, 32, 32)
    assert GoogLeNet(num_classes=5, aux_logits=False).train()(images).shape == (2, 5)
    assert GoogLeNet(num_classes=5).eval()(images).shape == (2, 5)


def test_parameter_counts():
    """torchvision publishes 6,624,904 without side heads; each side head adds its convolution and two linear layers."""
    with torch.device("meta"):
        bare, full = GoogLeNet(aux_logits=False), GoogLeNet()
    count = sum(p.numel() for p in bare.parameters())
    assert count == 6_624_904
    heads = sum(c * 128 + 2 * 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000 for c in (512, 528))
    assert sum(p.numel() for p in full.parameters()) == count + heads


def test_large_kernel_is_the_paper_s():
    """Fails if the slot reaches only some modules, or the padding does not follow the kernel."""
    model = GoogLeNet(num_classes=5, aux_logits=False, large_kernel=5).eval()
    kernels = [m.branch3[1].conv.kernel_size for m in model.modules() if hasattr(m, "branch3")]
    assert kernels == [(5, 5)] * 9
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 5)


def test_weights_start_as_in_the_reference():
    """Fails if a convolution keeps PyTorch's default; a normal cut at two deviations has 0.88 of its deviation."""
    model = GoogLeNet(num_classes=5)
    for weight in (model.inception4a.branch2[1].conv.weight, model.aux1.fc1.weight):
        assert weight.std().item() == pytest.approx(0.0088, rel=0.05)
        assert weight.abs().max().item() <= 0.02


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"large_kernel": 4}, "3, 5"),
        ({"in_channels": 1, "transform_input": True}, "transform_input=False"),
        ({"num_classes": 0}, "at least 1"),
        ({"auxiliary_dropout": 1.5}, "from 0"),
    ],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        GoogLeNet(**arguments)
