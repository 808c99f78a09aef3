import math

import pytest
import torch
from torch.nn import functional as F

from vision.classification.lenet import CONNECTION_TABLE, EuclideanCodes, LeNet5, PartialConv2d, ScaledTanh, Subsample

MODERN = {"pool": "max", "activation": "relu", "connections": "full", "head": "linear"}


def test_parameter_counts_of_each_layer_are_the_paper_s():
    """Fails if any layer of section II.B is misread."""
    model = LeNet5()
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
    assert sum(counts.values()) == 60_000


def test_the_connection_table_has_the_paper_s_pattern():
    """Fails for a typing slip in table I: by rotation, each map of S2 feeds ten maps of C3."""
    assert CONNECTION_TABLE[:6] == tuple(tuple(sorted((i + k) % 6 for k in range(3))) for i in range(6))
    assert CONNECTION_TABLE[6:12] == tuple(tuple(sorted((i + k) % 6 for k in range(4))) for i in range(6))
    assert CONNECTION_TABLE[12:15] == tuple(tuple(sorted({i, i + 1, i + 3, (i + 4) % 6})) for i in range(3))
    assert CONNECTION_TABLE[15] == (0, 1, 2, 3, 4, 5)
    assert [sum(i in sources for sources in CONNECTION_TABLE) for i in range(6)] == [10] * 6


def test_a_partial_convolution_is_the_sum_over_its_connections():
    """Fails if kernels go to the wrong maps, against one convolution for each output map."""
    torch.manual_seed(0)
    layer = PartialConv2d()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    maps = torch.randn(2, 6, 7, 7)
    kernels = iter(layer.weight)
    expected = []
    for out, sources in enumerate(CONNECTION_TABLE):
        parts = [F.conv2d(maps[:, source : source + 1], next(kernels)[None, None]) for source in sources]
        expected.append(sum(parts) + layer.bias[out])
    torch.testing.assert_close(layer(maps), torch.cat(expected, dim=1), atol=1e-4, rtol=1e-5)


def test_subsampling_sums_four_pixels():
    """Fails for a mean: 1 + 2 + 3 + 4 = 10, times 0.5, plus 1."""
    layer = Subsample(channels=1)
    torch.nn.init.constant_(layer.weight, 0.5)
    torch.nn.init.ones_(layer.bias)
    assert layer(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist() == [[[[6.0]]]]


def test_the_squashing_function_passes_through_one():
    """Fails for another slope or amplitude: appendix A chooses them so that f(1) = 1 and f(-1) = -1."""
    squashed = ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0, 100.0]))
    torch.testing.assert_close(squashed, torch.tensor([-1.0, 0.0, 1.0, 1.7159]), atol=1e-4, rtol=0)


def test_logits_are_minus_the_squared_distance_to_each_code():
    """Fails for a distance that is not squared or a lost sign: one flipped pixel of 84 is at distance 2, squared 4."""
    head = EuclideanCodes(num_codes=10)
    flipped = head.codes.clone()
    flipped[:, 0] *= -1
    assert head(head.codes).diagonal().tolist() == [0.0] * 10
    assert head(flipped).diagonal().tolist() == [-4.0] * 10


@pytest.mark.parametrize("num_codes", [2, 10, 200])
def test_codes_are_of_plus_and_minus_one_and_differ(num_codes):
    """Fails if two classes share a code, or models built one after the other do not."""
    codes = EuclideanCodes(num_codes=num_codes).codes
    assert codes.shape == (num_codes, 84)
    assert codes.abs().eq(1).all()
    assert len(codes.unique(dim=0)) == num_codes
    assert codes.equal(EuclideanCodes(num_codes=num_codes).codes)


def test_building_leaves_python_s_random_state_alone():
    """Fails if the codes are drawn from the global generator."""
    import random

    before = random.getstate()
    EuclideanCodes(num_codes=3)
    assert random.getstate() == before


def test_weights_start_within_the_paper_s_bounds():
    """Fails if the fan-in of a partial connection is taken as all six maps: 2.4 over 75, 100 and 150 inputs."""
    torch.manual_seed(0)
    model = LeNet5()
    kernels = model.c3[0].weight.detach().abs()
    bounds = [2.4 / (25 * len(sources)) for sources in CONNECTION_TABLE for _ in sources]
    largest = kernels.flatten(1).amax(dim=1) / torch.tensor(bounds)
    assert (largest <= 1).all()
    assert largest.min() > 0.5
    assert model.f6[0].weight.abs().max().item() == pytest.approx(2.4 / 120, rel=0.01)


def test_the_modern_form_has_ordinary_layers():
    """Fails if a slot is ignored: full connections and a linear head change the count, the pooling loses its 44."""
    model = LeNet5(**MODERN)
    assert sum(p.numel() for p in model.parameters()) == 156 + 2416 + 48_120 + 10_164 + 850
    torch.manual_seed(0)
    weight = LeNet5(**MODERN).c5[0].weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / 400), rel=0.01)


@pytest.mark.parametrize("pool", ["subsample", "average", "max"])
@pytest.mark.parametrize("activation", ["scaled_tanh", "tanh", "relu"])
def test_every_pair_of_pool_and_activation_runs(pool, activation):
    """Fails if two slots do not fit together."""
    model = LeNet5(pool=pool, activation=activation, num_classes=3, in_channels=3)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)


def test_an_image_of_another_size_is_refused_with_the_remedy():
    """Fails if the size is found out only by a matrix product."""
    with pytest.raises(ValueError, match=r"32 x 32 pixels, not of 28 x 28: resize or pad"):
        LeNet5()(torch.zeros(1, 1, 28, 28))


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"pool": "maximum"}, "'max'"),
        ({"activation": "gelu"}, "relu"),
        ({"connections": "half"}, "partial"),
        ({"head": "softmax"}, "rbf"),
        ({"num_classes": 0}, "at least 1"),
    ],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        LeNet5(**arguments)
