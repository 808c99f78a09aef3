"""The U-Net of 2015: sizes and parameters by hand, borders, options."""

import pytest
import torch
from torch import nn

from vision.segmentation.unet import UNet


def small(**options):
    torch.manual_seed(0)
    return UNet(**{"width": 4, "depth": 3, "dropout": 0.0, **options})


def test_parameters_of_the_paper_by_hand():
    """Figure 1: 3 x 3 convolutions with biases, 2 x 2 up-convolutions, 1 x 1 at the end."""
    widths = [64, 128, 256, 512, 1024]
    down = sum((9 * before + 1) * width + (9 * width + 1) * width
               for before, width in zip([1, *widths], widths, strict=False))  # fmt: skip
    up = sum((4 * 2 * width + 1) * width + (9 * 2 * width + 1) * width + (9 * width + 1) * width
             for width in widths[:-1])  # fmt: skip
    expected = down + up + (64 + 1) * 2
    with torch.device("meta"):
        model = UNet()
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 31_030_658


def test_a_tile_of_572_gives_388():
    with torch.device("meta"):
        model = UNet().eval()
        assert model(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
        assert model.margin == (572 - 388) // 2
        maps = {}
        for level, block in enumerate(model.down):
            block.register_forward_hook(lambda _m, _i, out, level=level: maps.update({level: tuple(out.shape[1:])}))
        model(torch.zeros(1, 1, 572, 572))
    assert maps == {0: (64, 568, 568), 1: (128, 280, 280), 2: (256, 136, 136), 3: (512, 64, 64), 4: (1024, 28, 28)}


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_admissible_sizes_are_those_that_halve_evenly(depth):
    """Each level loses 4 pixels and must then be even; the output must have a pixel."""

    def fits(size):
        for _ in range(depth - 1):
            size -= 4
            if size < 2 or size % 2:
                return False
            size //= 2
        size -= 4
        for _ in range(depth - 1):
            size = 2 * size - 4
        return size > 0

    model = UNet(width=1, depth=depth)
    known = [size for size in range(1, 300) if fits(size)]
    for size in range(1, 250):
        assert model.admissible(size) == next(other for other in known if other >= size)
    with torch.no_grad():
        assert model(torch.zeros(1, 1, known[0], known[1])).shape[-2:] == (
            known[0] - 2 * model.margin,
            known[1] - 2 * model.margin,
        )


def test_another_size_names_the_nearest():
    with pytest.raises(ValueError, match="572 or 588"):
        UNet(width=1)(torch.zeros(1, 1, 580, 572))


def test_without_padding_a_pixel_knows_only_the_image():
    """A shifted view gives the shifted output: fails if any convolution is padded."""
    model = small().eval()
    size = model.admissible(100)
    x = torch.randn(1, 1, size + 4, size + 4)
    with torch.no_grad():
        whole = model(x[..., :size, :size])
        shifted = model(x[..., 4:, 4:])  # the stride is 4
    torch.testing.assert_close(whole[..., 4:, 4:], shifted[..., :-4, :-4])


def test_skips_are_cropped_at_the_middle():
    """An impulse in the image comes out where it went in: fails if the crop is off by a pixel."""
    model = small(width=2)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    first, second = model.down[0][0], model.down[0][2]
    last = model.merge[-1]
    with torch.no_grad():
        for convolution, source in ((first, 0), (second, 0), (last[0], 2), (last[2], 0)):  # 2: the skip's first channel
            convolution.weight[0, min(source, convolution.in_channels - 1), 1, 1] = 1
        # The skip comes first in the concatenation.
        last[0].weight.zero_()
        last[0].weight[0, 0, 1, 1] = 1
        model.head.weight[0, 0, 0, 0] = 1
    size = model.admissible(60)
    x = torch.zeros(1, 1, size, size)
    x[0, 0, 30, 33] = 5.0
    with torch.no_grad():
        found = model(x)[0, 0]
    assert found.nonzero().tolist() == [[30 - model.margin, 33 - model.margin]]


@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
@pytest.mark.parametrize("size", [(32, 32), (37, 51), (8, 9)])
def test_padded_takes_any_size(norm, size):
    model = small(padding="same", norm=norm, num_classes=3, in_channels=2)
    x = torch.randn(2, 2, *size)
    assert model(x).shape == (2, 3, *size)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_every_parameter_trains_and_rows_are_apart(padding):
    model = small(padding=padding, norm="group")
    size = model.admissible(48)
    x = torch.randn(2, 1, size, size)
    model(x).square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:], model(x[1:]))


def test_initial_weights_keep_the_variance():
    """Section 3: deviation sqrt(2 / N). Fails for torch's own initialisation."""
    torch.manual_seed(0)
    model = UNet(depth=3)
    convolution = model.down[1][2]
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert model.up[0].weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_dropout_is_at_the_two_lowest_levels():
    model = small(width=16, dropout=0.5, padding="same").train()
    seen = []
    model.dropout.register_forward_hook(lambda _m, inputs, _o: seen.append(tuple(inputs[0].shape[1:])))
    model(torch.randn(1, 1, 16, 16))
    assert seen == [(32, 8, 8), (64, 4, 4)]


@pytest.mark.parametrize(
    "options", [{"padding": "full"}, {"norm": "layer"}, {"depth": 0}, {"width": 0}, {"dropout": 1.5}]
)
def test_what_cannot_be_raises(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        UNet(**options)
