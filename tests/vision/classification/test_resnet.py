import pytest
import torch
import torchvision

from vision.classification.catalog import MODELS
from vision.classification.resnet import BasicBlock, Bottleneck, ResNet

BY_NAME = {entry.name: entry for entry in MODELS}
BOTTLENECK_50 = {"block": "bottleneck", "depths": (3, 4, 6, 3)}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_same_weights_give_torchvision_s_logits(name, assert_parity):
    """Fails for a stride, padding or order of layers other than torchvision's."""
    reference = torchvision.models.get_model(name, weights=None)
    assert_parity(ResNet(**BY_NAME[name].config), reference, shape=(2, 3, 64, 64))


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_tensor_names_and_shapes_are_torchvision_s(depth):
    """Fails for a renamed, missing or reordered tensor: the order counts for optimizer states."""
    with torch.device("meta"):
        ours = ResNet(**BY_NAME[f"resnet{depth}"].config).state_dict()
        reference = torchvision.models.get_model(f"resnet{depth}", weights=None).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in reference.items()]


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50"])
def test_same_weights_give_timm_s_logits(name, assert_parity):
    """Fails if the gate stands after the shortcut's sum, or has another hidden width."""
    timm = pytest.importorskip("timm")
    assert_parity(ResNet(**BY_NAME[name].config), timm.create_model(name), shape=(2, 3, 64, 64))


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_tensor_names_and_shapes_with_attention_are_timm_s(depth):
    """Fails for another name of a gate's layers, or another hidden width at some depth."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        ours = ResNet(**BY_NAME[f"seresnet{depth}"].config).state_dict()
        reference = timm.create_model(f"seresnet{depth}").state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in reference.items()}


def test_the_stride_of_a_bottleneck_is_where_it_was_asked():
    """Fails if `stride_in` is ignored or its two choices are swapped."""
    with torch.device("meta"):
        by_3x3 = ResNet(**BOTTLENECK_50).layer2[0]
        by_1x1 = ResNet(**BOTTLENECK_50, stride_in="1x1").layer2[0]
    assert (by_3x3.conv1.stride, by_3x3.conv2.stride) == ((1, 1), (2, 2))
    assert (by_1x1.conv1.stride, by_1x1.conv2.stride) == ((2, 2), (1, 1))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_zero_gammas_make_a_block_its_shortcut(block):
    """Fails if another norm than the last of the branch is set to zero, or none."""
    plain = ResNet(block=block, depths=(2, 1, 1, 1), num_classes=2)
    zeroed = ResNet(block=block, depths=(2, 1, 1, 1), num_classes=2, zero_init_gamma=True)
    maps = torch.rand(2, zeroed.feature_info[1].channels, 8, 8)  # not negative, as after a ReLU
    torch.testing.assert_close(zeroed.layer1[1](maps), maps, atol=0, rtol=0)
    assert not torch.allclose(plain.layer1[1](maps), maps)


def test_convolutions_start_by_fan_out():
    """Fails for initialisation by fan-in, which differs where a convolution changes the number of channels."""
    torch.manual_seed(0)
    weight = ResNet(num_classes=2).layer4[0].conv1.weight  # [512, 256, 3, 3]
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


def test_the_shortcut_is_added_before_the_last_relu():
    """Fails if the sum is taken after the ReLU: it could not be zero where the shortcut is negative."""
    for block in (BasicBlock(in_channels=4, width=4), Bottleneck(in_channels=16, width=4)):
        last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        torch.nn.init.zeros_(last.weight)
        maps = torch.randn(2, last.num_features, 3, 3)
        torch.testing.assert_close(block(maps), maps.relu())


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"block": "botleneck"}, "bottleneck"),
        ({"stride_in": "5x5"}, "3x3"),
        ({"stride_in": "1x1"}, "bottleneck"),
        ({"attention": "cbam"}, "se"),
        ({"depths": (2, 2, 2)}, "4 numbers"),
        ({"depths": (2, 2, 0, 2)}, "at least 1"),
        ({"num_classes": 0}, "at least 1"),
        ({"in_channels": -1}, "at least 1"),
        ({"reduction": 0}, "at least 1"),
    ],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        ResNet(**arguments)
