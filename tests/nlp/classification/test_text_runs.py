"""Runs end to end: learning, resuming, transformers' models from an installed package, and the command line."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

import zoo
from zoo.cli import app
from zoo.errors import DataError
from zoo.training import Callback, load_run

SMALL = {"embedding_dim": 16, "width": 16}
QUIET = {"progress": False, "accelerator": "cpu"}


class StopError(BaseException):
    """A kill, as far as the trainer can tell."""


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer) -> None:
        if trainer.position.step == self.step:
            raise StopError


def train(data: Path, out: Path, **options: object):
    return zoo.train(
        "lstm_classifier", data, out=out, model_options={**SMALL, "pooling": "max"}, batch_size=16, epochs=3,
        data_options={"test": 0.2}, **QUIET, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(reviews: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("run") / "run"
    return zoo.train(
        "lstm_attention_classifier", reviews, out=out, batch_size=8, epochs=10, lr=1e-2,
        model_options={**SMALL, "embedding_dropout": 0.1}, data_options={"test": 0.2}, **QUIET,
    )  # fmt: skip


def test_learns_and_opens_again(trained, reviews):
    """Fails if the texts of a reopened run get other numbers than those trained on."""
    assert trained.results["test"]["accuracy"] > 0.9
    opened = load_run(trained.directory)
    assert opened.predict("this is a lovely dress")[0]["label"] == "pos"
    assert opened.predict(["this is an awful dress"]) == trained.predict(["this is an awful dress"])
    assert opened.evaluate(split="test") == pytest.approx(trained.results["test"])
    assert opened.evaluate(reviews)["accuracy"] > 0.9
    assert opened.explain("a lovely dress").method == "integrated_gradients"
    (judge,) = opened.task.baselines().values()
    assert judge(opened.bundle, "test")["accuracy"] > 0.8


def test_resume_is_bit_for_bit(reviews, tmp_path):
    """Fails if the order of the batches, dropout or the vocabulary is not the same after a stop in mid-epoch."""
    options = {"checkpoint_every_steps": 2, "ema": 0.9, "seed": 3}
    train(reviews, tmp_path / "whole", **options)
    with pytest.raises(StopError):
        train(reviews, tmp_path / "broken", callbacks=[Stop(7)], **options)  # 5 batches an epoch
    load_run(tmp_path / "broken").resume(progress=False)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    records = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "broken")]
    assert records[0] == records[1]


def test_published_vectors_need_no_file_afterwards(reviews, tmp_path):
    """Fails if a finished run asks for the file of vectors again."""
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("good 1 1 1 1\nbad -1 -1 -1 -1\n")
    run = zoo.train(
        "gru_classifier", reviews, out=tmp_path / "run", model_options={"embedding_dim": 4, "width": 4}, epochs=1,
        task_options={"embedding_weights": str(vectors)}, **QUIET,
    )  # fmt: skip
    expected = run.predict("a good dress")
    vectors.unlink()
    assert load_run(tmp_path / "run").predict("a good dress") == expected


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a tiny BERT in it, as a body without a head; its model's name."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path / "site" / "tiny_text_model" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('a package of weights is not imported')")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, "a", "is", "the", "dress", "good", "great", "lovely", "bad", "awful", "poor"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=15).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "hf:package:tiny_text_model/model"
    sys.modules.pop("tiny_text_model", None)


def test_fine_tunes_a_model_of_an_installed_package(installed, reviews, tmp_path):
    """Fails if the model's own tokenizer is not used, or the run does not find it again."""
    run = zoo.fine_tune(
        installed, reviews, task="nlp/classification", out=tmp_path / "run", strategy="full", epochs=10, lr=1e-2,
        body_lr_ratio=1.0, batch_size=16, data_options={"test": 0.2}, **QUIET,
    )  # fmt: skip
    assert run.results["test"]["accuracy"] > 0.9
    assert run.recipe.weight_decay == 0.01, "the recipe of the model's entry"
    opened = load_run(tmp_path / "run")
    assert opened.task.encoder.tokenizer.name == "hf"
    assert opened.task.encoder.max_length == 15
    assert opened.predict("the dress is lovely") == run.predict("the dress is lovely")
    assert opened.explain(["the dress is lovely"]).view.tokens[0][0] == "[CLS]"
    assert opened.explain(["the dress is lovely"], method="attention").heat.shape == (1, 6, 6)
    assert opened.evaluate(reviews)["accuracy"] > 0.8


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_command_line(reviews, tmp_path, monkeypatch):
    """Fails if a sentence cannot be given, or an option does not reach the reader."""
    monkeypatch.chdir(tmp_path)
    command(
        "train", "lstm_classifier", "--data", reviews, "--from-scratch", "--epochs", "2", "--lr", "0.01", "--out",
        "run", "--model-set", "width=8", "--model-set", "embedding_dim=8", "--data-set", "test=0.2",
        "--data-set", "max_length=20",
    )  # fmt: skip
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["origin"]["max_length"] == 20
    assert 0 <= json.loads(command("evaluate", "run", "--json").stdout)["accuracy"] <= 1
    found = json.loads(command("predict", "run", "a lovely dress", reviews, "--json").stdout)
    assert [row["file"] for row in found[:2]] == ["a lovely dress", "reviews.csv:2"]
    assert {row["label"] for row in found} <= {"neg", "pos"}
    assert "pos" in command("predict", "run", "a lovely dress").stdout
    assert "pos" in command("predict", "run", "lovely " * 400).stdout, "a text longer than a file's name may be"
    nothing = CliRunner().invoke(app, ["predict", "run", ""], prog_name="zoo")
    assert isinstance(nothing.exception, SystemExit | DataError), "an empty text is not the working directory"
    assert "is empty" in nothing.output + str(nothing.exception)
    command("explain", "run", "a lovely dress", "--out", "why.png")
    assert Path("why.png").stat().st_size > 1000
    assert os.path.getsize("run/confusion_test.png") > 1000
