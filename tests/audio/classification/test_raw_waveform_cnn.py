"""M3 to M34-res: networks on the raw waveform."""

import pytest
import torch

import zoo
from audio.classification.m5 import RawWaveformCNN, ResidualBlock, standardised
from audio.data.clips import ClipBatch, pad_clips

NAMES = ("m3", "m5", "m11", "m18", "m34_res")
# Of an independent implementation of the paper, with 10 classes (github.com/philipperemy/
# very-deep-convnets-raw-waveforms); the paper rounds them to 0.2, 0.5, 1.8, 3.7 and 4 million.
COUNTS = {"m3": 221_194, "m5": 559_114, "m11": 1_786_442, "m18": 3_683_786, "m34_res": 3_984_154}
WEIGHT_LAYERS = {"m3": 3, "m5": 5, "m11": 11, "m18": 18, "m34_res": 34}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_the_papers(name):
    """Fails if a width, a depth or a kernel of table 1 is wrong."""
    model = zoo.create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == COUNTS[name]
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Conv1d | torch.nn.Linear)]
    assert len(layers) == WEIGHT_LAYERS[name]
    assert model.conv.kernel_size == (80,)
    assert model.conv.stride == (4,)


@pytest.mark.parametrize(("name", "positions"), [("m3", 500), ("m5", 32), ("m11", 32), ("m34_res", 32)])
def test_maps_shrink_as_in_table_1(name, positions):
    """Fails if a pooling is missing, or floors 125 / 4: 32,000 samples give 8000, 2000, 500, 125 and 32 positions."""
    model = zoo.create_model(name).eval()
    with torch.no_grad():
        features, mask = model.forward_features(torch.randn(1, 32_000))
    assert features.shape[2] == mask.sum() == positions


@pytest.mark.parametrize("options", [{}, {"stem_width": 8, "widths": (8, 16), "depths": (2, 2), "block": "residual"}])
def test_padding_changes_nothing(options, padding_check, noises):
    torch.manual_seed(0)
    padding_check(RawWaveformCNN(num_classes=3, **options), [*noises, torch.ones(1)])


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_learns(block, training_check):
    torch.manual_seed(0)
    training_check(RawWaveformCNN(num_classes=3, stem_width=8, widths=(8, 16), depths=(1, 2), block=block))


def test_a_residual_block_starts_from_its_shortcut():
    """Fails if channels are repeated in another order: with a dead branch each channel stands twice, side by side."""
    block = ResidualBlock(2, 4).eval()
    torch.nn.init.zeros_(block.norm2.weight)
    x, mask = torch.rand(1, 2, 5), torch.ones(1, 1, 5)
    torch.testing.assert_close(block(x, mask), x[:, [0, 0, 1, 1]] / (1 + 1e-5) ** 0.5)
    with pytest.raises(ValueError, match="3 is no multiple of 2"):
        ResidualBlock(2, 3)


def test_loudness_does_not_matter():
    """Fails if clips are not standardised, or over their padding too."""
    clips = pad_clips([torch.randn(100), torch.randn(60)])
    found = standardised(clips)
    torch.testing.assert_close(found[1, :60].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1, :60].std(correction=0), torch.tensor(1.0))
    assert (found[1, 60:] == 0).all()
    louder = standardised(ClipBatch(clips.waveforms * 5 + 0.1, clips.lengths).masked())
    torch.testing.assert_close(louder, found, atol=1e-5, rtol=1e-5)
    assert (standardised(ClipBatch(torch.zeros(1, 5), torch.tensor([5]))) == 0).all()


@pytest.mark.parametrize(
    "options", [{"block": "res"}, {"widths": (8,)}, {"num_classes": 0}, {"widths": (), "depths": ()}]
)
def test_wrong_sizes_are_told(options):
    with pytest.raises(ValueError, match=r"must be one of|needs a width and a depth"):
        RawWaveformCNN(**options)
