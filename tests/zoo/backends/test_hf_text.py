"""transformers' models of text: the tokenizer that belongs to them, and folders inside installed packages."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch

import zoo
from zoo.backends import get_backend
from zoo.backends.hf_config import installed_folder
from zoo.errors import WeightsError
from zoo.records import TextPreprocessing
from zoo.registry import create_model_with_report

backend = get_backend("hf")
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 9}
NAME = "package:small_text_model/inner/model"


def saved_bert(folder: Path, *, task: str = "features", longest: int | None = 32) -> Path:
    """A BERT with the files of a tokenizer beside it."""
    model, _ = backend.create("bert", weights=None, arguments={"task": task, "max_position_embeddings": 64, **BERT})
    model.save_pretrained(folder)
    fields = {"tokenizer_class": "BertTokenizer"} | ({} if longest is None else {"model_max_length": longest})
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model inside a package that must not be imported."""
    folder = tmp_path / "site" / "small_text_model" / "inner" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "site" / "small_text_model" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return saved_bert(folder)


def test_a_folder_inside_a_package(package):
    """Fails if the package is imported, or the entry names a place on this machine where the package is meant."""
    entry = zoo.model_info(f"hf:{NAME}")
    assert entry.preprocessing == TextPreprocessing(tokenizer=NAME, max_length=32)
    assert entry.weights[0].preprocessing == entry.preprocessing
    assert entry.task == "features"
    model, report = create_model_with_report(f"hf:{NAME}", weights="default", arguments={"num_classes": 3})
    assert type(model).__name__ == "BertForSequenceClassification"
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    assert model(input_ids=torch.tensor([[1, 2]])).logits.shape == (1, 3)
    assert installed_folder(NAME) == str(package)
    assert "small_text_model" not in sys.modules


def test_a_package_or_folder_that_is_not_there(package):
    with pytest.raises(WeightsError, match=r"not installed. Install it: pip install no-such-package"):
        zoo.model_info("hf:package:no_such_package/model")
    with pytest.raises(WeightsError, match=r"has no file inner/other/config.json"):
        zoo.model_info("hf:package:small_text_model/inner/other")
    assert installed_folder("owner/repository") == "owner/repository"


def test_the_longest_text_is_the_shorter_of_two_limits(tmp_path):
    """Fails if texts may be longer than the positions the model knows, or "no limit" becomes one."""
    for longest, expected in ((32, 32), (128, 64), (int(1e30), 64), (None, 64)):
        folder = saved_bert(tmp_path / str(longest), longest=longest)
        assert zoo.model_info(f"hf:{folder}").preprocessing.max_length == expected


def test_a_relative_folder_is_found_from_elsewhere(tmp_path, monkeypatch):
    """Fails if a run keeps a name that only this folder understands."""
    saved_bert(tmp_path / "model", task="nlp/masked_language_modelling")
    monkeypatch.chdir(tmp_path)
    tokenizer = zoo.model_info("hf:./model").preprocessing.tokenizer
    assert os.path.isabs(tokenizer)
    assert Path(tokenizer) == tmp_path / "model"


def test_models_without_a_tokenizer_name_none(tmp_path):
    """Fails if an architecture, or a folder without a tokenizer, promises one."""
    assert zoo.model_info("hf:bert").preprocessing is None
    folder = saved_bert(tmp_path / "model")
    (folder / "tokenizer_config.json").unlink()
    entry = zoo.model_info(f"hf:{folder}")
    assert entry.preprocessing is None
    assert not entry.recipe


def test_texts_bring_the_recipe_of_their_paper(package):
    assert zoo.model_info(f"hf:{NAME}").recipe["lr"] == 1e-4
    assert not zoo.model_info("hf:vit").recipe


def test_loading_is_told_once(package, capfd):
    """Fails if transformers' bar and report stand beside the zoo's, or its logging stays changed."""
    from transformers.utils import logging as library

    capfd.readouterr()
    before = library.get_verbosity(), library.is_progress_bar_enabled()
    create_model_with_report(f"hf:{NAME}", weights="default", arguments={"num_classes": 3})
    assert (library.get_verbosity(), library.is_progress_bar_enabled()) == before
    assert "Loading weights" not in capfd.readouterr().err
