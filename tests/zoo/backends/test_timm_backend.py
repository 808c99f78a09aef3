from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import zoo
from zoo.backends import get_backend
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError

backend = get_backend("timm")


def saved(name: str, path: Path, **arguments: object) -> torch.nn.Module:
    """A timm model with random weights, which lie at `path` too."""
    model = timm.create_model(name, **arguments).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_local_file_gives_the_librarys_output(name, tmp_path):
    """Fails if a tensor is not loaded, or is loaded into another place."""
    reference = saved(name, tmp_path / "own.safetensors")
    model, report = backend.create(name, weights=tmp_path / "own.safetensors", arguments={})
    image = torch.rand(1, *backend.info(name).input_shape)
    torch.testing.assert_close(model.eval()(image), reference(image))
    assert report.num_tensors == report.total_tensors == len(reference.state_dict())
    assert report.new == report.mismatched == report.unused == ()


@pytest.mark.parametrize(("name", "stem"), [("test_resnet", "conv1.0.weight"), ("test_vit", "patch_embed.proj.weight")])
def test_other_classes_and_channels_are_reported(name, stem, tmp_path):
    """Fails if the new head or the summed stem counts as loaded, or if the body is not the file's."""
    reference = saved(name, tmp_path / "own.safetensors")
    model, report = backend.create(
        name, weights=str(tmp_path / "own.safetensors"), arguments={"num_classes": 3, "in_channels": 1}
    )
    head = backend.head(model)
    assert {row[0] for row in report.mismatched} == {f"{head}.weight", f"{head}.bias"}
    assert [row[0] for row in report.adapted] == [stem]
    assert stem not in report.loaded
    own, given = model.state_dict(), reference.state_dict()
    assert all(torch.equal(own[key], given[key]) for key in report.loaded)
    assert torch.allclose(own[stem], given[stem].sum(1, keepdim=True))
    assert model(torch.rand(2, 1, *backend.info(name).input_shape[1:])).shape == (2, 3)


def test_a_fine_tuned_file_loads_whole(tmp_path):
    """Fails if the file's own three classes and one channel are taken for timm's 1000 and 3."""
    reference = saved("test_resnet", tmp_path / "tuned.safetensors", num_classes=3, in_chans=1)
    model, report = zoo.registry.create_model_with_report(
        "timm:test_resnet", weights=tmp_path / "tuned.safetensors", arguments={"num_classes": 3, "in_channels": 1}
    )
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(model(image), reference(image))
    assert report.num_tensors == report.total_tensors
    assert not report.adapted


def test_feature_extractor_takes_the_files_body(tmp_path):
    """Fails if the names of timm's feature extractor are not matched with the classifier's."""
    reference = saved("test_vit", tmp_path / "own.safetensors")
    model, report = backend.create("test_vit", weights=tmp_path / "own.safetensors", arguments={"features_only": True})
    assert report.num_tensors == report.total_tensors
    image = torch.rand(1, 3, 160, 160)
    expected = reference.forward_intermediates(image, intermediates_only=True)[-1]
    torch.testing.assert_close(model.eval()(image)[-1], expected)


def test_no_head_without_classes(tmp_path):
    """Fails if an identity is given as the classifier to replace."""
    saved("test_resnet", tmp_path / "own.safetensors")
    model, report = backend.create("test_resnet", weights=tmp_path / "own.safetensors", arguments={"num_classes": 0})
    assert backend.head(model) is None
    assert report.unused == ("fc.weight", "fc.bias")


def test_default_weights_come_from_the_hub_and_then_from_its_cache(hub):
    """Fails if the record names another repository or file, or if the second call needs the server."""
    reference = saved("test_resnet", hub.root / "timm" / "test_resnet.r160_in1k" / "model.safetensors")
    model, report = backend.create("test_resnet", weights="default", arguments={"num_classes": 3})
    assert len(report.mismatched) == 2
    asked = len(hub.requests)
    model, _ = backend.create("test_resnet.r160_in1k", weights=True, arguments={}, offline=True)
    assert len(hub.requests) == asked
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in reference.state_dict().items())


def test_an_older_repository_without_safetensors(hub):
    """Fails if a 404 for model.safetensors ends the search."""
    folder = hub.root / "timm" / "test_resnet.r160_in1k"
    folder.mkdir(parents=True)
    torch.save(timm.create_model("test_resnet").state_dict(), folder / "pytorch_model.bin")
    _, report = backend.create("test_resnet", weights="r160_in1k", arguments={})
    assert report.num_tensors == report.total_tensors


def test_offline_without_the_file_says_what_and_where(caches):
    with pytest.raises(WeightsError, match=r"timm/test_resnet\.r160_in1k/model\.safetensors.*hub-cache.*weights="):
        backend.create("test_resnet", weights="default", arguments={})


def test_a_file_of_another_model_is_refused(tmp_path):
    saved("test_vit", tmp_path / "vit.safetensors")
    with pytest.raises(WeightsError, match=r"vit\.safetensors cannot be loaded into timm's test_resnet"):
        backend.create("test_resnet", weights=tmp_path / "vit.safetensors", arguments={})


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"num_clases": 3}, "'num_classes'"),
        ({"drop_rat": None}, "'drop_rate'"),  # timm passes over None even for names that it does not know
        ({"pretrained": True}, "weights"),
    ],
)
def test_wrong_arguments_name_the_nearest(arguments, hint):
    with pytest.raises(UnknownArgumentError, match=hint):
        backend.create("test_resnet", weights=None, arguments=arguments)


@pytest.mark.parametrize(
    ("name", "weights", "hint"),
    [
        ("test_resnett", None, "'test_resnet'"),
        ("test_resnet.r161_in1k", None, "'test_resnet.r160_in1k'"),
        ("test_resnet", "r161_in1k", "'?r160_in1k"),
        ("test_vit4", "default", "no published weights"),
    ],
)
def test_unknown_names_and_tags(name, weights, hint):
    with pytest.raises(UnknownNameError, match=hint):
        backend.create(name, weights=weights, arguments={})


def test_record_of_a_tag():
    """Fails if licence, crop or normalisation are another tag's; the default comes first."""
    entry = backend.info("resnet50")
    assert entry.weights[0].tag == timm.get_pretrained_cfg("resnet50").tag
    record = backend.info("resnet50.tv_in1k").weights[0]
    assert record.source == "hf-hub:timm/resnet50.tv_in1k/model.safetensors"
    assert (record.licence, record.sha256, record.num_classes) == ("bsd-3-clause", "", 1000)
    assert (record.preprocessing.size, record.preprocessing.resize) == ((224, 224), 256)
    assert record.preprocessing.interpolation == "bilinear"
    assert backend.info("legacy_senet154.in1k").weights[0].sha256 == "e9eb9fe6"  # by address, with its hash


def test_listing_is_a_glob_over_names_and_tags():
    names = zoo.list_models("test_resnet*", backend="timm")
    assert names == ["timm:test_resnet", "timm:test_resnet.r160_in1k"]
    assert backend.list_models("timm:test_resnet*", pretrained=True) == ["timm:test_resnet.r160_in1k"]
