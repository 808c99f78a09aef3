"""Encoders: maps as stated, no unused parameter, tensor names and weights as the classifier's."""

import pytest
import torch
from safetensors.torch import save_file

import zoo
from vision.encoders import build_encoder
from zoo.errors import UnknownNameError
from zoo.features import FeatureExtractor

NATIVE = ["resnet18", "efficientnet_lite0", "densenet121", "seresnet18", "resnet20_cifar", "googlenet", "cnn_conv"]
TIMM = ["timm:resnet18", "timm:mobilenetv3_small_050", "timm:convnext_atto"]


@pytest.mark.parametrize("name", [*NATIVE, *TIMM])
def test_maps_have_the_stated_shapes_and_train_every_parameter(name):
    """Fails if a head or side head stays: its parameters would get no gradient, and break distributed training."""
    encoder = build_encoder(name, in_channels=2)
    assert isinstance(encoder, FeatureExtractor)
    size = 64
    maps = encoder.forward_features(torch.randn(2, 2, size, size))
    assert [tuple(found.shape) for found in maps] == [
        (2, info.channels, size // info.stride, size // info.stride) for info in encoder.feature_info
    ]
    strides = [info.stride for info in encoder.feature_info]
    assert strides == sorted(set(strides))
    sum(found.square().mean() for found in maps).backward()
    assert [name for name, value in encoder.named_parameters() if value.grad is None] == []
    assert encoder.training


@pytest.mark.parametrize("name", [*NATIVE[:2], "timm:convnext_atto", "timm:efficientnet_lite0"])
def test_the_named_module_gives_the_map(name):
    """Fails if `feature_info` names other modules than those whose outputs the maps are."""
    encoder = build_encoder(name).eval()
    outputs = {}
    modules = dict(encoder.named_modules())
    named = [info.name for info in encoder.feature_info if info.name in modules]
    assert named or name.startswith("timm:eff"), "timm's EfficientNet keeps maps of single blocks only"
    for info in encoder.feature_info:
        if info.name in modules:
            modules[info.name].register_forward_hook(lambda _m, _i, out, key=info.name: outputs.update({key: out}))
    with torch.no_grad():
        maps = encoder.forward_features(torch.randn(1, 3, 64, 64))
    for info, found in zip(encoder.feature_info, maps, strict=True):
        if info.name in modules:
            torch.testing.assert_close(outputs[info.name], found)


def test_transformers_of_timm_give_channels_first():
    """Fails if [B, H, W, C] of a Swin passes through as it is."""
    encoder = build_encoder("timm:swin_tiny_patch4_window7_224")
    maps = encoder.forward_features(torch.randn(1, 3, 224, 224))
    assert [tuple(found.shape[1:]) for found in maps] == [(96, 56, 56), (192, 28, 28), (384, 14, 14), (768, 7, 7)]


def test_weights_are_the_classifiers_and_names_too(tmp_path):
    """Fails if names get a prefix, or if the file's tensors do not reach the encoder."""
    model = zoo.create_model("resnet18", num_classes=3)
    save_file(model.state_dict(), tmp_path / "resnet.safetensors")
    encoder = build_encoder("resnet18", weights=tmp_path / "resnet.safetensors")
    own = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    found = encoder.state_dict()
    assert set(found) == set(own)
    for key, value in own.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_trained_weights_are_adapted_to_grey_images(tmp_path):
    """A grey image gives what it gives as three equal channels; fails if the weights were dropped or averaged."""
    save_file(zoo.create_model("resnet18").state_dict(), tmp_path / "resnet.safetensors")
    colour = build_encoder("resnet18", weights=tmp_path / "resnet.safetensors").eval()
    grey = build_encoder("resnet18", weights=tmp_path / "resnet.safetensors", in_channels=1).eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            grey.forward_features(x)[-1], colour.forward_features(x.expand(-1, 3, -1, -1))[-1], rtol=1e-4, atol=1e-4
        )


def test_running_statistics_stay_as_built():
    """Fails if the probe that finds unused parts runs in training mode."""
    encoder = build_encoder("resnet18")
    assert int(encoder.bn1.num_batches_tracked) == 0
    assert float(encoder.bn1.running_mean.abs().sum()) == 0


@pytest.mark.parametrize("name", ["torchvision:resnet18", "hf:google/vit"])
def test_a_model_without_maps_names_the_remedy(name):
    with pytest.raises(ValueError, match=f"(?s){name} cannot be an encoder.*timm:"):
        build_encoder(name)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="resnet34"):
        build_encoder("resnet35")
