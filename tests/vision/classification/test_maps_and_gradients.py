"""What GoogLeNet, Inception, DenseNet, CapsNet and EfficientNet-Lite share: their maps, heads and gradients."""

import math

import pytest
import torch

from vision.classification.capsnet import CapsNet, capsule_losses
from vision.classification.densenet import DenseNet
from vision.classification.efficientnet_lite import EfficientNetLite
from vision.classification.googlenet import GoogLeNet
from vision.classification.inception import InceptionV3
from zoo.features import FeatureExtractor
from zoo.outputs import AuxiliaryLogits

SMALL_DENSENET = {"growth_rate": 4, "depths": (2, 3, 2), "stem_width": 8}
PADDED = {
    "googlenet": lambda c: GoogLeNet(num_classes=5, in_channels=c),
    "densenet": lambda c: DenseNet(num_classes=5, in_channels=c, **SMALL_DENSENET),
    "densenet_cifar": lambda c: DenseNet(num_classes=5, in_channels=c, stem="cifar", **SMALL_DENSENET),
    "efficientnet_lite": lambda c: EfficientNetLite(num_classes=5, in_channels=c),
}
UNPADDED = {
    "inception": (lambda c: InceptionV3(num_classes=5, in_channels=c, aux_logits=False), 107, [51, 23, 11, 5, 2]),
    "capsnet": (lambda c: CapsNet(num_classes=5, in_channels=c, image_size=20), 20, [12, 2]),
}


def maps_by_module(model, images):
    """What the modules that `feature_info` names gave for the images, and what `forward_features` gave."""
    seen = {}
    for info in model.feature_info:
        module = model.get_submodule(info.name)
        module.register_forward_hook(lambda _, __, output, name=info.name: seen.update({name: output.clone()}))
    with torch.no_grad():
        maps = model.forward_features(images)
    return [seen[info.name] for info in model.feature_info], maps


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PADDED)
def test_maps_have_the_stated_channels_and_strides(name, channels):
    """Fails if a map is named wrongly, missed, or changed in place after it was given."""
    model = PADDED[name](channels).eval()
    by_module, maps = maps_by_module(model, torch.randn(2, channels, 64, 96))
    assert isinstance(model, FeatureExtractor)
    for info, module_map, given in zip(model.feature_info, by_module, maps, strict=True):
        assert given.shape == (2, info.channels, 64 // info.stride, 96 // info.stride)
        assert torch.equal(module_map, given)
    strides = [info.stride for info in model.feature_info]
    assert strides == sorted(set(strides))


@pytest.mark.parametrize("name", UNPADDED)
def test_maps_of_networks_without_padding(name):
    """Fails if a stated stride is off by a factor of two; unpadded kernels take a few rows more."""
    builder, size, sizes = UNPADDED[name]
    model = builder(1).eval()
    by_module, maps = maps_by_module(model, torch.randn(1, 1, size, size))
    for info, side, module_map, given in zip(model.feature_info, sizes, by_module, maps, strict=True):
        assert given.shape == (1, info.channels, side, side)
        assert torch.equal(module_map, given)
        assert side <= math.ceil(size / info.stride)


@pytest.mark.parametrize("name", [*PADDED, "inception"])
def test_the_head_sees_the_mean_of_the_last_map(name):
    """Fails if something stands between the last map and the head that `classifier` names."""
    builder = PADDED.get(name) or UNPADDED[name][0]
    model = builder(3).eval()
    path = model.classifier if isinstance(model.classifier, str) else "classifier"
    images = torch.randn(1, 3, 80, 80)
    with torch.no_grad():
        expected = model.get_submodule(path)(model.forward_features(images)[-1].mean(dim=(2, 3)))
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)


def assert_every_parameter_learns(model, loss):
    """Fails with the names of parameters that the loss does not reach."""
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("densenet", 64), ("densenet_cifar", 16)])
def test_gradient_reaches_every_parameter(name, size):
    """Fails for a layer that is built and not used, a side head without a loss included."""
    torch.manual_seed(0)
    model = PADDED[name](3).train()
    output = model(torch.randn(4, 3, size, size))
    parts = [output.logits, *output.auxiliary] if isinstance(output, AuxiliaryLogits) else [output]
    assert_every_parameter_learns(model, sum((part * torch.randn_like(part)).sum() for part in parts))


def test_gradient_reaches_every_parameter_of_efficientnet_lite():
    """The same; without skipping, which may leave out a block for all of so few images."""
    torch.manual_seed(0)
    model = EfficientNetLite(num_classes=5, drop_path=0.0).train()
    output = model(torch.randn(4, 3, 64, 64))
    assert_every_parameter_learns(model, (output * torch.randn_like(output)).sum())


def test_gradient_reaches_every_parameter_of_inception():
    """The same at the smallest size on which the side head trains."""
    torch.manual_seed(0)
    model = InceptionV3(num_classes=5).train()
    output = model(torch.randn(2, 3, 299, 299))
    parts = [output.logits, *output.auxiliary]
    assert_every_parameter_learns(model, sum((part * torch.randn_like(part)).sum() for part in parts))


def test_gradient_reaches_every_parameter_of_capsnet():
    """The same through the paper's loss, which trains the decoder too."""
    torch.manual_seed(0)
    model = CapsNet(num_classes=5, image_size=20)
    losses = capsule_losses(model, (torch.rand(4, 1, 20, 20), torch.tensor([0, 1, 2, 3])))
    assert_every_parameter_learns(model, losses["loss"])
