import pytest
import torch

from vision.classification.cifar_resnet import CifarResNet, PaddedShortcut


@pytest.mark.parametrize(("depth", "millions"), [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.73")])
def test_parameter_counts_are_the_paper_s(depth, millions):
    """Fails for a block too many or few, or a width other than table 6's. The paper prints 1.7M for 110 layers."""
    with torch.device("meta"):
        count = sum(p.numel() for p in CifarResNet(depth=depth).parameters())
    assert f"{count / 1e6:.2f}" == millions


def test_layers_with_weights_are_as_many_as_the_depth_says():
    """Fails if n blocks a stage are miscounted: convolutions on the longest path and one linear layer."""
    with torch.device("meta"):
        convs = [m for m in CifarResNet(depth=56).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) + 1 == 56


def test_option_a_keeps_every_second_pixel_and_adds_zero_channels():
    """Fails for pooling in place of subsampling, or for padding on the other side."""
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = PaddedShortcut(in_channels=1, out_channels=2, stride=2)(maps)
    assert out.tolist() == [[[[0.0, 2.0], [8.0, 10.0]], [[0.0, 0.0], [0.0, 0.0]]]]


def test_option_b_adds_two_projections():
    """Fails if a projection is missing or stands where the shape does not change."""
    with torch.device("meta"):
        count_a = sum(p.numel() for p in CifarResNet().parameters())
        count_b = sum(p.numel() for p in CifarResNet(shortcut="B").parameters())
        option_b = CifarResNet(shortcut="B")
    assert count_b - count_a == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert option_b.layer1[0].downsample is None
    assert option_b.layer2[0].downsample is not None


def test_zero_gammas_make_a_block_its_shortcut():
    """Fails if the slot is not handed on."""
    block = CifarResNet(zero_init_gamma=True).layer2[0]
    maps = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(maps), block.downsample(maps), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"depth": 18}, "6n"), ({"depth": 2}, "6n"), ({"shortcut": "C"}, "'A', 'B'"), ({"num_classes": 0}, "at least 1")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        CifarResNet(**arguments)
