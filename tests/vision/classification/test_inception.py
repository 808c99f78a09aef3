import pytest
import torch
from torch import nn
from torchvision.models import inception_v3

from vision.classification.inception import InceptionV3
from zoo.outputs import AuxiliaryLogits

NUM_CLASSES = 100


def torchvision_inception(*, aux_logits, transform_input=False):
    """torchvision's network without dropout, so that training has one answer."""
    return inception_v3(
        num_classes=NUM_CLASSES, aux_logits=aux_logits, transform_input=transform_input, init_weights=False, dropout=0.0
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


@pytest.mark.parametrize(("aux_logits", "transform_input"), [(True, True), (False, False)])
def test_same_weights_give_torchvision_s_logits(aux_logits, transform_input):
    """Fails for another order of branches, rows for columns in a kernel, or another eps."""
    ours = InceptionV3(num_classes=NUM_CLASSES, aux_logits=aux_logits, transform_input=transform_input)
    reference = torchvision_inception(aux_logits=aux_logits, transform_input=transform_input)
    torch.manual_seed(0)
    images = torch.randn(2, 3, 75, 107)
    enliven(reference, torch.randn(8, 3, 75, 107))
    ours.eval().load_state_dict(reference.state_dict())
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(ours(images), expected, atol=1e-5, rtol=0)
    assert expected.std(dim=0).mean() > 0.1


def test_training_gives_torchvision_s_two_logits():
    """Fails if the side head hangs on another module or pools otherwise."""
    torch.manual_seed(0)
    ours = InceptionV3(num_classes=NUM_CLASSES, dropout=0.0).train()
    reference = torchvision_inception(aux_logits=True).train()
    reference.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 299, 299)
    with torch.no_grad():
        got, expected = ours(images), reference(images)
    assert isinstance(got, AuxiliaryLogits)
    assert got.weight == 0.4
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.auxiliary, (expected.aux_logits,), atol=1e-5, rtol=0)


def test_parameter_counts_are_torchvision_s():
    """Fails if a width of a module is misread."""
    with torch.device("meta"):
        bare, full = InceptionV3(aux_logits=False), InceptionV3()
    assert sum(p.numel() for p in full.parameters()) == 27_161_264
    assert sum(p.numel() for p in bare.parameters()) == 23_834_568


def test_weights_start_as_in_the_reference():
    """Fails if the side head starts as wide as the rest; a normal cut at two deviations has 0.88 of its deviation."""
    model = InceptionV3(num_classes=5)
    assert model.Mixed_6b.branch7x7_2.conv.weight.std().item() == pytest.approx(0.088, rel=0.05)
    assert model.AuxLogits.conv1.conv.weight.std().item() == pytest.approx(0.0088, rel=0.05)
    assert model.AuxLogits.fc.weight.std().item() == pytest.approx(0.00088, rel=0.05)


def test_images_too_small_name_the_remedy():
    """Fails if PyTorch's message about kernels reaches the user, or the limits are off by a pixel."""
    model = InceptionV3(num_classes=5)
    with pytest.raises(ValueError, match="aux_logits=False"):
        model.train()(torch.randn(2, 3, 298, 320))
    with pytest.raises(ValueError, match="75 pixels"):
        model.eval()(torch.randn(1, 3, 74, 80))


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"in_channels": 1, "transform_input": True}, "transform_input=False"), ({"dropout": 1.0}, "from 0")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        InceptionV3(**arguments)
