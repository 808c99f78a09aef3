"""Normalisations by name: which values share a mean, against NumPy and the libraries."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.layers import make_normalisation
from zoo.layers.normalisations import ChannelLayerNorm

MAPS = torch.randn(4, 6, 5, 3, generator=torch.Generator().manual_seed(0)).double() * 3 + 2
# -- Over which dimensions of [B, C, H, W] each takes its mean; of "group" after dividing C into 3 groups of 2.
KINDS = [
    ("batch", {}, (0, 2, 3)),
    ("instance", {}, (2, 3)),
    ("layer", {"over": "channels"}, (1,)),
    ("layer", {"over": "sample"}, (1, 2, 3)),
]


def standardised(x, axes, eps=1e-5):
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize(("name", "options", "axes"), KINDS)
def test_equals_numpy_over_its_dimensions(name, options, axes):
    """Fails if values share a mean that must not, or the unbiased variance is taken."""
    found = make_normalisation(name, 6, **options).double()(MAPS)
    np.testing.assert_allclose(found.detach().numpy(), standardised(MAPS.numpy(), axes), atol=1e-9)


def test_group_norm_shares_means_in_its_groups():
    found = make_normalisation("group", 6, num_groups=3).double()(MAPS)
    expected = standardised(MAPS.numpy().reshape(4, 3, 2, 5, 3), (2, 3, 4)).reshape(4, 6, 5, 3)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-9)


def test_layer_norm_of_vectors_takes_the_last_dimension():
    vectors = MAPS.movedim(1, -1).contiguous()
    found = make_normalisation("layer", 6).double()(vectors)
    np.testing.assert_allclose(found.detach().numpy(), standardised(vectors.numpy(), (3,)), atol=1e-9)
    torch.testing.assert_close(found, make_normalisation("layer", 6, over="channels").double()(MAPS).movedim(1, -1))


@pytest.mark.parametrize("over", ["last", "channels"])
def test_rms_norm_keeps_the_mean(over):
    """Fails if the mean is taken out."""
    dim = -1 if over == "last" else 1
    x = MAPS.movedim(1, -1) if over == "last" else MAPS
    found = make_normalisation("rms", 6, over=over).double()(x)
    torch.testing.assert_close(found, x / (x.square().mean(dim, keepdim=True) + 1e-6).sqrt())


def test_none_changes_nothing():
    module = make_normalisation("none", 6)
    assert module(MAPS) is MAPS
    assert not list(module.parameters())


def test_scale_and_shift_are_by_channel():
    """Fails if "channels" applies the scale along the last dimension, which has another size here."""
    for name, options in (
        ("batch", {}), ("instance", {}), ("group", {"num_groups": 2}), ("layer", {"over": "channels"}),
        ("layer", {"over": "sample"}),
    ):  # fmt: skip
        module = make_normalisation(name, 6, **options).double()
        assert [key for key, _ in module.named_parameters()] == ["weight", "bias"], name
        plain = module(MAPS)
        nn.init.constant_(module.weight, 2.0)
        module.bias.data = torch.arange(6.0).double()
        torch.testing.assert_close(module(MAPS), 2 * plain + torch.arange(6.0).double()[:, None, None])
        assert not list(make_normalisation(name, 6, affine=False, **options).parameters()), name


def test_equals_the_layer_norm_of_timm_s_convnext():
    layers = pytest.importorskip("timm.layers")
    reference, ours = layers.LayerNorm2d(6, eps=1e-6), make_normalisation("layer", 6, over="channels", eps=1e-6)
    reference.weight.data = torch.randn(6)
    ours.load_state_dict(reference.state_dict())
    torch.testing.assert_close(ours(MAPS.float()), reference(MAPS.float()))


@pytest.mark.parametrize(
    ("spatial_dims", "shape"), [(0, (8, 6)), (1, (8, 6, 4)), (2, (8, 6, 4, 2)), (3, (8, 6, 2, 2, 2))]
)
def test_batch_norm_for_rows_sequences_images_and_volumes(spatial_dims, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    module = make_normalisation("batch", 6, spatial_dims=spatial_dims)
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(module(x).detach().numpy(), standardised(x.numpy(), axes), atol=1e-5)
    module.eval()
    assert not torch.allclose(module(x), module.train()(x))  # running statistics have moved by a tenth only


@pytest.mark.parametrize(("name", "options"), [("layer", {"over": "channels"}), ("rms", {"over": "channels"})])
def test_channel_norms_of_any_number_of_places(name, options):
    module = make_normalisation(name, 6, **options)
    maps = torch.randn(2, 6, 4, 3)
    torch.testing.assert_close(module(maps)[:, :, 1], module(maps[:, :, 1]))
    torch.testing.assert_close(module(maps)[:, :, 1, 2], module(maps[:, :, 1, 2]))
    assert module(maps[:0]).shape == (0, 6, 4, 3)


@pytest.mark.parametrize(("name", "options"), [("layer", {}), ("layer", {"over": "channels"}), ("rms", {})])
def test_large_offsets_and_bfloat16_stay_finite(name, options):
    module = make_normalisation(name, 8, **options).bfloat16()
    x = (1e3 + torch.randn(2, 8, 8)).bfloat16()
    found = module(x)
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()
    assert module(torch.full((1, 8, 8), 7.0).bfloat16()).isfinite().all()


def test_a_layer_norm_is_one_for_isinstance():
    """Fails if freezing, decay and initialisation, which ask for torch's classes, no longer know it."""
    assert isinstance(make_normalisation("layer", 4, over="channels"), nn.LayerNorm)
    assert isinstance(make_normalisation("batch", 4), nn.BatchNorm2d)
    assert type(make_normalisation("layer", 4, over="channels")) is ChannelLayerNorm


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("group", {"num_groups": 4}, "1, 2, 3, 6"),
        ("batch", {"spatial_dims": 4}, "0, 1, 2, 3"),
        ("batch", {"momentum": 0.0}, "momentum"),
        ("instance", {"spatial_dims": 0}, "1, 2, 3"),
        ("layer", {"over": "pixels"}, "last, channels, sample"),
        ("rms", {"over": "sample"}, "last, channels"),
        ("layer", {"eps": 0.0}, "eps"),
    ],
)
def test_bad_values_are_named(name, options, words):
    with pytest.raises(ValueError, match=words):
        make_normalisation(name, 6, **options)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match="'batch'"):
        make_normalisation("batchnorm", 4)
    with pytest.raises(UnknownArgumentError, match="num_groups"):
        make_normalisation("group", 4, groups=2)
    with pytest.raises(ValueError, match="channels is 0"):
        make_normalisation("none", 0)
