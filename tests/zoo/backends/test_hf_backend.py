import json
from pathlib import Path

import pytest
import torch

import zoo
from zoo.backends import get_backend
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError

backend = get_backend("hf")

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 50}


def saved_vit(folder: Path, **arguments: object) -> torch.nn.Module:
    model, _ = backend.create("vit", weights=None, arguments={"num_classes": 5, **VIT, **arguments})
    model.save_pretrained(folder)
    return model.eval()


def test_a_folder_gives_back_the_model(tmp_path):
    """Fails if a tensor is not loaded; the entry is read from the folder's configuration."""
    reference = saved_vit(tmp_path)
    model, report = zoo.registry.create_model_with_report(f"hf:{tmp_path}", weights="default")
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(model(image).logits, reference(image).logits)
    assert report.num_tensors == report.total_tensors == len(reference.state_dict())
    assert report.num_params == sum(parameter.numel() for parameter in reference.parameters())
    entry = zoo.model_info(f"hf:{tmp_path}")
    assert (entry.task, entry.input_shape, entry.weights[0].num_classes) == ("vision/classification", (3, 16, 16), 5)


def test_other_classes_get_a_fresh_head(tmp_path):
    """Fails if the head counts as loaded, or the labels of the file stay."""
    reference = saved_vit(tmp_path)
    model, report = backend.create(str(tmp_path), weights=True, arguments={"num_classes": 3})
    assert {row[0] for row in report.mismatched} == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(model.state_dict()[key], reference.state_dict()[key]) for key in report.loaded)
    assert len(model.config.id2label) == model(torch.rand(1, 3, 16, 16)).logits.shape[1] == 3
    assert backend.head(model) == "classifier"


def test_an_architecture_takes_a_local_file(tmp_path):
    reference = saved_vit(tmp_path)
    model, report = backend.create("vit", weights=tmp_path / "model.safetensors", arguments={"num_classes": 5, **VIT})
    assert report.num_tensors == report.total_tensors
    assert torch.equal(model.classifier.weight, reference.classifier.weight)


def test_a_language_model_becomes_a_classifier(tmp_path):
    """Fails if num_classes is dropped for a configuration whose head has no classes."""
    pretrained, _ = backend.create("bert", weights=None, arguments={"task": "nlp/masked_language_modelling", **BERT})
    pretrained.save_pretrained(tmp_path)
    model, report = backend.create(str(tmp_path), weights=True, arguments={"num_classes": 4})
    assert type(model).__name__ == "BertForSequenceClassification"
    assert {"classifier.weight", "classifier.bias"} < set(report.new)
    assert all(name.startswith("cls.") for name in report.unused)
    again, report = backend.create(str(tmp_path), weights=True, arguments={})
    assert type(again).__name__ == "BertForMaskedLM"
    assert not report.new


def test_in_channels_and_dtype():
    model, report = backend.create("vit", weights=None, arguments={**VIT, "in_channels": 1, "dtype": "bfloat16"})
    assert report is None
    assert model(torch.rand(1, 1, 16, 16, dtype=torch.bfloat16)).logits.dtype == torch.bfloat16


def test_a_changed_body_is_refused(tmp_path):
    """Fails if transformers' leave to mismatch hides a stem that is not the file's."""
    saved_vit(tmp_path)
    with pytest.raises(WeightsError, match=r"patch_embeddings\.projection\.weight"):
        backend.create(str(tmp_path), weights=True, arguments={"in_channels": 1})


def test_a_repository_is_downloaded_once_and_then_listed(hub):
    """Fails if a name of the hub is not asked for there, or if the cache alone is not enough afterwards."""
    reference = saved_vit(hub.root / "owner" / "tiny-vit")
    _, report = backend.create("owner/tiny-vit", weights="default", arguments={"num_classes": 2})
    assert len(report.mismatched) == 2
    assert backend.list_models(pretrained=True) == ["hf:owner/tiny-vit"]
    asked = len(hub.requests)
    model, _ = backend.create("owner/tiny-vit", weights="default", arguments={}, offline=True)
    assert len(hub.requests) == asked
    assert torch.equal(model.classifier.weight, reference.classifier.weight)
    assert backend.info("owner/tiny-vit").weights[0].source == "hf-hub:owner/tiny-vit/model.safetensors"


def test_offline_without_the_repository_says_what_and_where():
    with pytest.raises(WeightsError, match=r"network is off.*config\.json.*owner/absent.*hub-cache.*weights="):
        backend.create("owner/absent", weights="default", arguments={})
    assert backend.list_models() == []


def test_random_weights_never_download(hub):
    """Fails if the configuration of an absent repository is fetched for weights=None."""
    saved_vit(hub.root / "owner" / "tiny-vit")
    with pytest.raises(WeightsError, match="weights=None never downloads"):
        backend.create("owner/tiny-vit", weights=None, arguments={})
    assert hub.requests == []


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}, "architectures": ["Own"]},
        {"model_type": "bert", "auto_map": {"AutoModel": "own.Own"}, "architectures": ["Own"]},
    ],
)
def test_code_of_a_repository_is_never_run(config, tmp_path):
    """Fails if own.py is imported: it leaves a file behind."""
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    with pytest.raises(WeightsError, match="never run"):
        backend.create(str(tmp_path), weights="default", arguments={})
    assert not (tmp_path / "ran").exists()


class Hostile:
    """Creates the file `ran` when a pickle of it is read."""

    def __init__(self, ran: Path) -> None:
        self.ran = str(ran)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.ran, "w")


def test_a_hostile_pickle_and_a_damaged_file_are_refused(tmp_path):
    """Fails if a repository's pickle is read without `weights_only`, or the reader's own error comes through."""
    saved_vit(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged" * 10)
    with pytest.raises(WeightsError, match="damaged"):
        backend.create(str(tmp_path), weights="default", arguments={})
    (tmp_path / "model.safetensors").unlink()
    torch.save({"classifier.weight": Hostile(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="ask to run code"):
        backend.create(str(tmp_path), weights="default", arguments={})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "weights", "arguments", "error", "hint"),
    [
        ("vitt", None, {}, UnknownNameError, "'vit'"),
        ("vit", "default", {}, UnknownNameError, "without weights"),
        ("/absent/folder", None, {}, UnknownNameError, "no folder"),
        ("vit", None, {"hiden_size": 3}, UnknownArgumentError, "'hidden_size'"),
        ("bert", None, {"in_channels": 1}, UnknownArgumentError, "no number of channels"),
        ("vit", None, {"task": "vision/clasification"}, UnknownNameError, "'vision/classification'"),
        ("vit", None, {"task": "nlp/classification"}, ValueError, "it has: vision/classification"),
        ("vit", None, {"dtype": "float33"}, ValueError, "float33"),
    ],
)
def test_mistakes_name_the_remedy(name, weights, arguments, error, hint):
    with pytest.raises(error, match=hint):
        backend.create(name, weights=weights, arguments=arguments)
