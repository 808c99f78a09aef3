"""The task: losses, predictions, what a run keeps, and the classical baseline."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from nlp.classification.recurrent import RecurrentClassifier
from nlp.classification.task import TextClassification, call_arguments
from nlp.data.texts import read_texts
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.records import Entry, TextPreprocessing
from zoo.registry import create_model, model_info
from zoo.training import evaluate

ENTRY = Entry(name="any", task="nlp/classification", builder="any:any", summary="")


@pytest.fixture(scope="module")
def bundle(reviews: Path) -> Bundle:
    return read_texts(reviews, test=0.2)


@pytest.fixture
def task(bundle: Bundle) -> TextClassification:
    return TextClassification.from_bundle(bundle)


def make_model(task: TextClassification) -> nn.Module:
    torch.manual_seed(0)
    return RecurrentClassifier(embedding_dim=8, width=6, **task.model_arguments(ENTRY))


def test_schema_rebuilds_the_task(bundle, task):
    """Fails if the vocabulary or an option is lost between a run and its directory."""
    task = TextClassification.from_bundle(bundle, label_smoothing=0.1, class_weights=[1.0, 2.0])
    again = TextClassification(**json.loads(json.dumps(task.schema())))
    assert again.schema() == task.schema()
    assert again.encoder.encode(["a good dress"]) == task.encoder.encode(["a good dress"])
    model = make_model(task)
    batch = next(bundle.train.batches(batch_size=5))
    assert torch.equal(model.eval()(**call_arguments(batch[0])), model(**call_arguments(batch[0])))
    assert torch.equal(again.losses(model, batch)["loss"], task.losses(model, batch)["loss"])


def test_loss_by_hand(bundle):
    """Fails if weights or smoothing do not reach the loss, or the mean's weight is not that of the loss."""
    task = TextClassification.from_bundle(bundle, class_weights=[1.0, 3.0])
    model = make_model(task).eval()
    texts, targets = next(bundle.train.batches(batch_size=7))
    logits = model(**call_arguments(texts))
    expected = nn.functional.cross_entropy(logits, targets, weight=torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(task.losses(model, (texts, targets))["loss"], expected)
    assert float(task.mean_weight((texts, targets))) == float(torch.tensor([1.0, 3.0])[targets].sum())
    assert task.rows((texts, targets)) == 7


def test_predictions_do_not_depend_on_their_neighbours(task):
    """Fails if sorting by length mixes up the rows, or padding reaches an answer."""
    model = make_model(task)
    texts = [" ".join(["good dress"] * count) for count in (9, 1, 4, 30, 2)] * 20
    together = task.predict(model, texts)
    for index in (0, 1, 3, 99):
        alone = task.predict(model, texts[index])[0]
        assert together[index]["label"] == alone["label"]
        assert together[index]["probability"] == pytest.approx(alone["probability"], abs=1e-6)
    assert together[0]["top"][0]["label"] == together[0]["label"]
    assert sum(item["probability"] for item in together[0]["top"]) == pytest.approx(1, abs=1e-5)
    assert model.training, "the mode is given back"
    json.dumps(together)


NARROW = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
ARCHITECTURES = {
    "bert": NARROW,
    "roberta": NARROW,
    "modernbert": NARROW,
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_padding_changes_nothing_for_transformers_models(task, name):
    """Fails if the mask or the number of padding does not reach them: a text alone gets what it gets among others."""
    torch.manual_seed(0)
    arguments = {**task.model_arguments(model_info(f"hf:{name}")), **ARCHITECTURES[name]}
    model = create_model(f"hf:{name}", weights=None, task="nlp/classification", **arguments)
    for parameter in model.parameters():  # larger weights, so that answers differ from text to text
        parameter.data *= 5 if parameter.ndim > 1 else 1
    texts = ["a good dress", "small blue skirt is the size and it fits", "good"]
    together = task.predict(model, texts)
    for text, among in zip(texts, together, strict=True):
        (alone,) = task.predict(model, text)
        assert alone["label"] == among["label"]
        assert alone["probability"] == pytest.approx(among["probability"], abs=1e-5)
    assert len({round(found["probability"], 4) for found in together}) == 3


def test_a_model_that_would_read_padding_is_refused(task):
    with pytest.raises(DataError, match="its last place"):
        task.model_arguments(model_info("hf:xlnet"))


def test_inputs_that_are_no_texts(task):
    for wrong in (torch.zeros(2, 3), [], [1, 2], None):
        with pytest.raises(DataError, match="Expected texts"):
            task.predict(make_model(task), wrong)


def test_inputs_from_files(task, reviews):
    """Fails if a table's rows are not named by file and line."""
    inputs = task.read_inputs(["a good dress", reviews])
    assert inputs.names[:3] == ["a good dress", "reviews.csv:2", "reviews.csv:3"]
    assert len(inputs.rows) == 121


def test_model_arguments(task, bundle):
    """Fails if a trained tokenizer is used with another's numbers, or vectors come without their words."""
    tokenizer = task.encoder.tokenizer
    assert task.model_arguments(ENTRY) == {"num_classes": 2, "vocab_size": tokenizer.vocab_size, "pad_token_id": 0}
    trained = Entry(
        name="hf:x",
        task="nlp/classification",
        builder="a:b",
        summary="",
        preprocessing=TextPreprocessing(tokenizer="x"),
    )
    with pytest.raises(DataError, match="was trained with the tokenizer x"):
        task.model_arguments(trained)
    arguments = TextClassification.from_bundle(bundle, embedding_weights="glove.txt").model_arguments(ENTRY)
    assert arguments["embedding_weights"] == str(Path("glove.txt").absolute())
    assert arguments["vocabulary"] == list(tokenizer.vocabulary.tokens)


def test_other_data_must_be_read_alike(task, reviews, tmp_path):
    """Fails if texts with another vocabulary are judged: every number would mean another word."""
    task.check_bundle(read_texts(reviews, **task.reading(), validation=0.0))
    with pytest.raises(DataError, match="another tokenizer"):
        task.check_bundle(read_texts(reviews, tokenizer="character"))


def test_metrics_are_those_of_sklearn(task, bundle):
    """Fails if a metric is fed probabilities of the wrong class, or batches weigh by their number."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    model = make_model(task)
    values, _ = evaluate(model, task, bundle.train.batches(batch_size=7))
    probs = torch.zeros(len(bundle.train), 2)
    for row, prediction in enumerate(task.predict(model, bundle.train.texts)):
        for item in prediction["top"]:
            probs[row, task.classes.index(item["label"])] = item["probability"]
    codes = bundle.train.targets()
    assert values["accuracy"] == pytest.approx(accuracy_score(codes, probs.argmax(1)))
    assert values["f1"] == pytest.approx(f1_score(codes, probs.argmax(1), average="macro"))
    assert values["loss"] == pytest.approx(log_loss(codes, probs.double()), abs=1e-5)


def test_baseline_fits_the_training_part_and_judges_another(task, bundle):
    """Fails if it is fitted on the part it is judged on, or the classes are in another order."""
    (judge,) = task.baselines().values()
    values = judge(bundle, "test")
    assert values["accuracy"] > 0.9
    assert set(values) == {"accuracy", "loss", "precision", "recall", "f1"}
    codes = bundle.train.codes
    flipped = type(bundle.train)(bundle.train.texts, [[1]] * len(codes), 1 - codes, pad=0)
    swapped = Bundle(train=flipped, test=bundle.test, task=bundle.task, kind=bundle.kind, classes=bundle.classes)
    assert judge(swapped, "test")["accuracy"] < 0.1
    with pytest.raises(DataError, match="'nothing'"):
        judge(bundle, "nothing")


def test_wrong_options(bundle):
    with pytest.raises(ValueError, match="label_smoothing"):
        TextClassification.from_bundle(bundle, label_smoothing=-0.1)
    with pytest.raises(ValueError, match="2 classes need as many"):
        TextClassification.from_bundle(bundle, class_weights=[1.0])
    with pytest.raises(DataError, match="two classes"):
        TextClassification(classes=["one"], encoder=bundle.preprocessing)
    with pytest.raises(DataError, match="read_texts"):
        TextClassification.from_bundle(Bundle.from_arrays([[1.0], [2.0]], [0, 1], validation=0.0))
