"""Image networks on log-mel spectrograms."""

import pytest
import timm
import torch
from safetensors.torch import save_file

import zoo
from audio.classification.image_backbone import SpectrogramBackbone
from zoo.errors import DataError, UnknownNameError
from zoo.heads import parts_above_body
from zoo.training.surgery import layer_groups

TINY = {"num_classes": 3, "sample_rate_hz": 8000, "seconds": 0.5, "num_mels": 32, "backbone": "timm:test_resnet"}


def test_padding_changes_nothing(padding_check, noises):
    """Fails if the picture's length depends on the batch, or its padding on what lies there."""
    torch.manual_seed(0)
    padding_check(SpectrogramBackbone(**TINY), noises)


def test_learns(training_check):
    torch.manual_seed(0)
    training_check(SpectrogramBackbone(**TINY))


def test_default_size():
    model = zoo.create_model("logmel_backbone")
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_175_498
    assert model.backbone.conv1.in_channels == 1


def test_the_body_takes_trained_weights(tmp_path):
    """Fails if backbone_weights do not reach the body: its first layer, of three channels, is summed to one."""
    torch.manual_seed(0)
    trained = timm.create_model("test_resnet")
    save_file(trained.state_dict(), tmp_path / "body.safetensors")
    model = SpectrogramBackbone(**TINY, backbone_weights=str(tmp_path / "body.safetensors"))
    own, theirs = model.backbone.state_dict(), trained.state_dict()
    assert torch.equal(own["layer4.0.conv1.weight"], theirs["layer4.0.conv1.weight"])
    torch.testing.assert_close(own["conv1.0.weight"], theirs["conv1.0.weight"].sum(1, keepdim=True))


def test_what_is_new_trains_first():
    """Fails if fine-tuning takes a layer of the body for the head."""
    model = SpectrogramBackbone(**TINY)
    assert parts_above_body(model) == ("bn0", "head")
    last = {id(parameter) for parameter in layer_groups(model)[-1]}
    assert last == {id(parameter) for part in (model.bn0, model.head) for parameter in part.parameters()}


def test_a_vision_transformer_gets_pictures_of_its_size():
    options = {**TINY, "backbone": "timm:test_vit", "image_size": (160, 160)}
    model = SpectrogramBackbone(**options).eval()
    assert model(torch.randn(2, 4000)).shape == (2, 3)
    with pytest.raises(DataError, match=r"timm:test_vit cannot take spectrograms of 32 x 51.*image_size="):
        SpectrogramBackbone(**{**options, "image_size": None})


def test_wrong_backbones_are_told():
    with pytest.raises(UnknownNameError, match="test_resnet"):
        SpectrogramBackbone(**{**TINY, "backbone": "timm:test_resnt"})
    with pytest.raises(ValueError, match="seconds must be above 0"):
        SpectrogramBackbone(**{**TINY, "seconds": 0})
