from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torchvision.models as models

import zoo
import zoo.heads
from zoo.backends import get_backend
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError

backend = get_backend("torchvision")


def published_name(name: str) -> str:
    """The name of the file of the model's default weights."""
    return models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]


def saved(path: Path, state: Mapping[str, torch.Tensor]) -> Path:
    torch.save(dict(state), path)
    return path


def test_body_from_a_file_and_a_fresh_head(tmp_path):
    """Fails if the head counts as loaded, or the body is not the file's."""
    reference = models.resnet18()
    path = saved(tmp_path / "own.pth", reference.state_dict())
    model, report = zoo.registry.create_model_with_report(
        "torchvision:resnet18", weights=path, arguments={"num_classes": 3}
    )
    assert [row[0] for row in report.mismatched] == ["fc.weight", "fc.bias"]
    assert report.num_tensors == len(reference.state_dict()) - 2
    assert all(torch.equal(model.state_dict()[key], reference.state_dict()[key]) for key in report.loaded)
    assert not model.training
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_published_weights_keep_what_they_imply(tmp_path):
    """Fails if Inception is built without the second normalisation of its input that its weights need."""
    reference = models.inception_v3(init_weights=False)
    path = saved(tmp_path / published_name("inception_v3"), reference.state_dict())
    model, report = backend.create("inception_v3", weights=path, arguments={"num_classes": 4})
    assert model.transform_input
    assert {row[0] for row in report.mismatched} == {
        f"{head}.{kind}" for head in ("fc", "AuxLogits.fc") for kind in ("weight", "bias")
    }
    assert model.eval()(torch.rand(1, 3, 96, 96)).shape == (1, 4)


def test_a_users_own_file_may_have_other_side_heads(tmp_path):
    """Fails if only the main classifier may differ from the file's."""
    reference = models.inception_v3(init_weights=False)
    path = saved(tmp_path / "own.pth", reference.state_dict())
    model, report = backend.create("inception_v3", weights=path, arguments={"num_classes": 4, "init_weights": False})
    assert len(report.mismatched) == 4
    assert not model.transform_input


def test_a_detector_keeps_its_frozen_norms_and_gets_other_classes(tmp_path):
    """Fails if only the layers are replaced and not the number of classes that the head's reshape uses."""
    name = "ssdlite320_mobilenet_v3_large"
    reference = models.get_model(name, weights=None, weights_backbone=None)
    path = saved(tmp_path / published_name(name), reference.state_dict())
    model, report = backend.create(name, weights=path, arguments={"num_classes": 3})
    assert report.mismatched
    assert all(row[0].startswith(backend.head(model)) for row in report.mismatched)
    detections = model.eval()([torch.rand(3, 64, 64)])[0]
    assert set(detections) == {"boxes", "scores", "labels"}
    assert detections["labels"].max() < 3


FROZEN = ("retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")  # eps 0, and 1e-5
TRAINED_NORMS = ("ssdlite320_mobilenet_v3_large",)


def norms(model: torch.nn.Module) -> dict[str, tuple[type, float]]:
    """Kind and eps of every norm."""
    return {
        name: (type(module), module.eps)
        for name, module in model.named_modules()
        if "BatchNorm" in type(module).__name__
    }


@pytest.mark.parametrize("name", [*FROZEN, *TRAINED_NORMS])
def test_a_finished_detector_is_built_again_without_its_weights(tmp_path, name):
    """Fails if a run of a fine-tuned detector is opened with norms that move, or with another eps."""
    trained_norms = models.get_model(name, weights=None, weights_backbone=None).state_dict()
    known = set(trained_norms) - {
        key for key in trained_norms if name in FROZEN and key.endswith("num_batches_tracked")
    }
    path = saved(tmp_path / published_name(name), {key: trained_norms[key] for key in known})
    arguments = {"num_classes": 3, **backend.structure(name, weights=path)}
    assert backend.structure(name, weights="default") == {
        key: arguments[key] for key in arguments if key != "num_classes"
    }
    trained, _ = backend.create(name, weights=path, arguments=arguments)
    again, _ = backend.create(name, weights=None, arguments=arguments)
    assert norms(again) == norms(trained)
    again.load_state_dict(trained.state_dict())
    assert (len(arguments) == 2) == (name in FROZEN)


def test_all_of_a_detector_but_its_backbone_is_above_the_body():
    """Fails if the first stage of fine-tuning trains the last layer alone, and leaves the new classes at random."""
    model, _ = backend.create("ssdlite320_mobilenet_v3_large", weights=None, arguments={"num_classes": 3})
    assert zoo.heads.parts_above_body(model) == ("head",)
    assert backend.info("ssdlite320_mobilenet_v3_large").task_options == {"first_label": 1}
    assert backend.info("resnet18").task_options == {}


def test_segmentation_gets_both_heads_anew(tmp_path):
    """Fails if the side head keeps the classes of the file."""
    name = "deeplabv3_mobilenet_v3_large"
    reference = models.get_model(name, weights=None, weights_backbone=None, aux_loss=True)
    path = saved(tmp_path / published_name(name), reference.state_dict())
    model, _ = backend.create(name, weights=path, arguments={"num_classes": 2})
    outputs = model.eval()(torch.rand(1, 3, 64, 64))
    assert {key: value.shape[1] for key, value in outputs.items()} == {"out": 2, "aux": 2}
    assert backend.head(model) == "classifier.4"


def test_weights_in_torch_hubs_cache_are_used_and_verified(tmp_path):
    """Fails if the library's own cache is passed over, or if its file is taken without its hash."""
    folder = tmp_path / "torch-home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    saved(folder / published_name("resnet18"), models.resnet18().state_dict())
    with pytest.raises(WeightsError, match="f37072fd"):
        backend.create("resnet18", weights="imagenet1k_v1", arguments={})


def test_the_librarys_records_are_left_as_they_were(tmp_path):
    """Fails if the record goes on answering with the file of an earlier call."""
    path = saved(tmp_path / published_name("squeezenet1_1"), models.squeezenet1_1().state_dict())
    model, _ = backend.create("squeezenet1_1", weights=path, arguments={})
    assert "get_state_dict" not in vars(models.SqueezeNet1_1_Weights.DEFAULT)
    assert backend.head(model) == "classifier.1"


def test_offline_without_the_file_says_what_and_where():
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth.*Looked for: .*zoo-cache.*weights="):
        backend.create("resnet18", weights="IMAGENET1K_V1", arguments={})


def test_a_file_of_another_model_is_refused(tmp_path):
    path = saved(tmp_path / published_name("resnet18"), models.squeezenet1_1().state_dict())
    with pytest.raises(WeightsError, match=r"does not fit torchvision's resnet18"):
        backend.create("resnet18", weights=path, arguments={})


@pytest.mark.parametrize(
    ("name", "arguments", "hint"),
    [
        ("resnet18", {"num_clases": 3}, "'num_classes'"),
        ("convnext_tiny", {"num_clases": 3}, "'num_classes'"),  # its class swallows every argument
        ("fcn_resnet50", {"aux_los": True}, "aux_loss"),  # its builder does
        ("fasterrcnn_resnet50_fpn", {"min_sise": 100}, "'min_size'"),
        ("resnet18", {"weights_backbone": None}, "Known"),
        ("resnet18", {"in_channels": 1}, "3 channels only"),
    ],
)
def test_wrong_arguments_name_the_nearest(name, arguments, hint):
    with pytest.raises(UnknownArgumentError, match=hint):
        backend.create(name, weights=None, arguments=arguments)


@pytest.mark.parametrize(
    ("name", "weights", "hint"), [("resnet81", None, "resnet18"), ("resnet18", "V1", "IMAGENET1K_V1")]
)
def test_unknown_names_and_tags(name, weights, hint):
    with pytest.raises(UnknownNameError, match=hint):
        backend.create(name, weights=weights, arguments={})


def test_every_model_has_a_record():
    """Fails if a family has another kind of record: no classes, no transform, several data sets."""
    entries = [backend.info(name.partition(":")[2]) for name in backend.list_models()]
    assert len(entries) == len(models.list_models())
    assert all(entry.weights[0].source.startswith("https://") for entry in entries)
    assert {entry.task for entry in entries} == {
        f"vision/{kind}" for kind in ("classification", "detection", "segmentation", "video", "optical_flow")
    }
    records = [record for entry in entries for record in entry.weights]
    assert all(8 <= len(record.sha256) <= 10 for record in records)


def test_record_of_a_tag():
    entry = backend.info("resnet50")
    assert [record.tag for record in entry.weights] == ["IMAGENET1K_V2", "IMAGENET1K_V1"]
    record = entry.weights[0]
    assert (record.sha256, record.num_classes, record.metrics["acc@1"]) == ("11ad3fa6", 1000, 80.858)
    assert (record.preprocessing.resize, record.preprocessing.size) == (232, (224, 224))
