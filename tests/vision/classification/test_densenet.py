import pytest
import torch
import torchvision
from torch import nn

from vision.classification.densenet import DenseBlock, DenseNet, convert_torchvision_keys

IMAGENET = {
    "densenet121": {"growth_rate": 32, "depths": (6, 12, 24, 16), "stem_width": 64},
    "densenet161": {"growth_rate": 48, "depths": (6, 12, 36, 24), "stem_width": 96},
    "densenet169": {"growth_rate": 32, "depths": (6, 12, 32, 32), "stem_width": 64},
    "densenet201": {"growth_rate": 32, "depths": (6, 12, 48, 32), "stem_width": 64},
}


def cifar_config(num_layers, growth_rate, *, bottleneck):
    """The arguments for a row of the paper's table 2, by section 3's rules."""
    depth = (num_layers - 4) // (6 if bottleneck else 3)
    config = {"num_classes": 10, "growth_rate": growth_rate, "depths": (depth,) * 3, "stem": "cifar"}
    if bottleneck:
        return config | {"stem_width": 2 * growth_rate}
    return config | {"stem_width": 16, "bottleneck_factor": None, "compression": 1.0}


def test_same_weights_give_torchvision_s_logits(assert_parity):
    """Fails for new channels before the old ones, a norm after its convolution, or the last ReLU left out."""
    reference = torchvision.models.densenet121(weights=None, num_classes=100)
    assert_parity(DenseNet(num_classes=100), reference, shape=(2, 3, 48, 64))


@pytest.mark.parametrize("name", IMAGENET)
def test_tensor_names_and_shapes_are_torchvision_s(name):
    """Fails if a row of table 1 is misread."""
    with torch.device("meta"):
        ours = DenseNet(**IMAGENET[name]).state_dict()
        reference = torchvision.models.get_model(name, weights=None).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in reference.items()]


def test_cifar_network_is_torchvision_s_with_another_stem(assert_parity):
    """Fails if the small stem keeps a norm, a ReLU or a pooling before the first block."""
    reference = torchvision.models.DenseNet(growth_rate=4, block_config=(3, 3, 3), num_init_features=8, num_classes=100)
    reference.features.conv0 = nn.Conv2d(3, 8, kernel_size=3, padding=1, bias=False)
    for part in ("norm0", "relu0", "pool0"):
        setattr(reference.features, part, nn.Identity())
    ours = DenseNet(num_classes=100, growth_rate=4, depths=(3, 3, 3), stem_width=8, stem="cifar")
    assert_parity(ours, reference, shape=(2, 3, 16, 20))


@pytest.mark.parametrize(
    ("num_layers", "growth_rate", "bottleneck", "millions"),
    [
        (40, 12, False, 1.0),
        (100, 12, False, 7.0),
        (100, 24, False, 27.2),
        (100, 12, True, 0.8),
        (250, 24, True, 15.3),
        (190, 40, True, 25.6),
    ],
)
def test_parameter_counts_are_the_paper_s(num_layers, growth_rate, bottleneck, millions):
    """Fails for another stem width, compression or bottleneck; the counts are table 2's."""
    with torch.device("meta"):
        model = DenseNet(**cifar_config(num_layers, growth_rate, bottleneck=bottleneck))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == num_layers


def test_a_block_keeps_its_input_and_adds_k_channels_a_layer():
    """Fails if a layer sees only the layer before it, or the input is not first in the output."""
    torch.manual_seed(0)
    block = DenseBlock(6, 3, growth_rate=4, factor=None, dropout=0.0).eval()
    x = torch.randn(2, 6, 5, 5)
    out = block(x)
    assert out.shape == (2, 6 + 3 * 4, 5, 5)
    assert torch.equal(out[:, :6], x)
    assert [layer.conv1.in_channels for layer in block.values()] == [6, 10, 14]
    torch.testing.assert_close(out[:, 14:], block["denselayer3"](out[:, :14]))


def test_dropout_acts_in_training_only():
    """Fails if dropout is never applied, or in evaluation too."""
    torch.manual_seed(0)
    model = DenseNet(num_classes=3, growth_rate=4, depths=(2, 2), stem_width=8, stem="cifar", dropout=0.5)
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_old_torchvision_names_are_converted():
    """Fails if the pattern misses a running statistic or touches a name that is right."""
    model = DenseNet(num_classes=5, growth_rate=4, depths=(2, 2), stem_width=8)
    state = model.state_dict()
    old = {}
    for key, value in state.items():
        for kind in ("norm", "conv"):
            if "denselayer" in key:
                key = key.replace(f".{kind}1.", f".{kind}.1.").replace(f".{kind}2.", f".{kind}.2.")
        old[key] = value
    assert "features.denseblock1.denselayer2.norm.1.running_mean" in old
    assert "features.norm0.weight" in old
    assert list(convert_torchvision_keys(old)) == list(state)
    assert list(convert_torchvision_keys(state)) == list(state)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"stem": "cifr"}, "cifar"),
        ({"compression": 0.0}, "above 0"),
        ({"depths": ()}, "num_blocks=0"),
        ({"depths": (6, 0)}, r"depths\[1\]=0"),
        ({"bottleneck_factor": 0}, "bottleneck_factor"),
        ({"dropout": 1.0}, "from 0"),
    ],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        DenseNet(**arguments)
