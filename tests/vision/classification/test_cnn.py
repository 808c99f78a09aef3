import pytest
import torch
from torch import nn

from vision.classification.cnn import CNN

ALL_CNN_C = {"head": "conv", "norm": "none", "input_dropout": 0.2, "dropout": 0.5}


def test_all_cnn_c_has_the_paper_s_layers():
    """Fails if a layer of All-CNN-C is missing: channels, kernel and stride of table 1, C, and of table 2."""
    with torch.device("meta"):
        model = CNN(**ALL_CNN_C)
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    order = [*_starting(convs, "stages"), convs["head"]]
    assert [(conv.out_channels, conv.kernel_size[0], conv.stride[0]) for conv in order] == [
        (96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1), (10, 1, 1),
    ]  # fmt: skip
    assert len(order) == len(convs)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 1.4  # table 1's caption: about 1.4 million


def test_both_heads_agree_with_the_same_weights():
    """Fails if either head pools the wrong way: averaging and a 1 x 1 convolution may change places."""
    torch.manual_seed(0)
    linear = CNN(widths=(4, 6), depths=(1, 1), num_classes=3).eval()
    conv = CNN(widths=(4, 6), depths=(1, 1), num_classes=3, head="conv").eval()
    state = linear.state_dict()
    conv.load_state_dict({**state, "head.weight": state["head.weight"][:, :, None, None]})
    images = torch.randn(2, 3, 17, 23)
    torch.testing.assert_close(linear(images), conv(images))


def test_model_c_pools_by_maximum():
    """Fails if `downsample` is ignored: model C has the parameters of All-CNN-C without its two strided layers."""
    with torch.device("meta"):
        pooled = sum(p.numel() for p in CNN(**ALL_CNN_C, downsample="max").parameters())
        strided = sum(p.numel() for p in CNN(**ALL_CNN_C).parameters())
    assert strided - pooled == (96 * 96 * 9 + 96) + (192 * 192 * 9 + 192)
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    halved = CNN(widths=(1, 1), depths=(1, 1), downsample="max").stages[1][0](maps)
    assert halved.tolist() == [[[[5.0, 7.0], [13.0, 15.0]]]]


def test_dropout_is_on_the_image_and_after_each_halving():
    """Fails if a rate goes to the wrong place."""
    with torch.device("meta"):
        model = CNN(**ALL_CNN_C)
    rates = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert rates == {"input_dropout": 0.2, "stages.1.0.1": 0.5, "stages.2.0.1": 0.5}


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"head": "lin"}, "linear"),
        ({"norm": "layer"}, "batch"),
        ({"downsample": "average"}, "'conv', 'max'"),
        ({"widths": (8, 8)}, "one number for each stage"),
        ({"widths": (), "depths": ()}, "one number for each stage"),
        ({"widths": (8, 8, 0)}, "at least 1"),
        ({"dropout": -0.1}, "not including"),
        ({"num_classes": 0}, "at least 1"),
    ],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        CNN(**arguments)


def _starting(convs: dict[str, nn.Conv2d], prefix: str) -> list[nn.Conv2d]:
    return [conv for name, conv in convs.items() if name.startswith(prefix)]
