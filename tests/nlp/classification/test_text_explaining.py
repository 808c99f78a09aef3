"""Heat over tokens: completeness, what it points at, and attention as the model gives it."""

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from nlp.classification.explaining import token_embedding
from nlp.classification.recurrent import RecurrentClassifier
from nlp.classification.task import TextClassification
from nlp.data.encoding import TextEncoder
from nlp.data.tokenizers import train_tokenizer
from zoo.errors import UnknownNameError

WORDS = ["good", "bad", "dress", "blue", "skirt", "small"]
TEXTS = ["a good dress", "small blue skirt bad", "good"]


@pytest.fixture(scope="module")
def task() -> TextClassification:
    encoder = TextEncoder(train_tokenizer("whitespace", [*TEXTS, " ".join(WORDS)]))
    return TextClassification(classes=("neg", "pos"), encoder=encoder)


def lstm(task: TextClassification, pooling: str = "attention") -> nn.Module:
    torch.manual_seed(0)
    return RecurrentClassifier(vocab_size=task.encoder.tokenizer.vocab_size, embedding_dim=6, width=5, pooling=pooling)


def bert(task: TextClassification) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=task.encoder.tokenizer.vocab_size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16, num_labels=2,
    )  # fmt: skip
    return BertForSequenceClassification(config)


@pytest.mark.parametrize("build", [lstm, bert])
def test_integrated_gradients_are_complete(task, build):
    """Fails if the baseline is not padding, a token is left out, or heat lies on padding: the sums would be off."""
    model = build(task).eval()
    with torch.no_grad():
        token_embedding(model).weight[task.encoder.tokenizer.pad] = 0.3  # a baseline that is not 0
    explanation = task.explain(model, TEXTS, target="pos", options={"steps": 100})
    assert explanation.heat.shape == (3, 4)
    with torch.no_grad():
        for row, text in enumerate(TEXTS):
            ids = torch.tensor(task.encoder.encode([text]))
            scores = [model(input_ids=numbers) for numbers in (ids, torch.zeros_like(ids))]
            scores = [getattr(score, "logits", score)[0, 1] for score in scores]
            torch.testing.assert_close(explanation.heat[row].sum(), scores[0] - scores[1], atol=2e-4, rtol=1e-3)
            assert not explanation.heat[row, ids.shape[1] :].any()


def test_heat_points_at_the_word_that_decides(task):
    """Fails if heat and tokens are shifted against each other."""
    model = lstm(task, "max")
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    generator = random.Random(0)
    for _ in range(60):
        labels = [generator.randrange(2) for _ in range(16)]
        texts = [" ".join([*generator.choices(WORDS[2:], k=3), ("bad", "good")[label]]) for label in labels]
        ids = torch.tensor(task.encoder.encode([" ".join(generator.sample(text.split(), 4)) for text in texts]))
        loss = nn.functional.cross_entropy(model(input_ids=ids), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    explanation = task.explain(model, ["small blue skirt bad", "good dress"])
    assert explanation.heat.argmax(1).tolist() == [3, 0]
    assert explanation.title(0).startswith("neg")
    assert explanation.view.tokens[0] == ["small", "blue", "skirt", "bad"]


def test_explaining_changes_nothing(task):
    """Fails if the mode, gradients, hooks or the way of attention are left changed."""
    for model, methods in ((lstm(task), ("saliency", "attention")), (bert(task), ("input_x_gradient", "attention"))):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        for method in methods:
            task.explain(model, TEXTS, method=method)
        assert model.training
        assert all(parameter.grad is None for parameter in model.parameters())
        assert not any(module._forward_hooks for module in model.modules())
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.config._attn_implementation == "sdpa"


def test_attention_pooling_shows_its_weights(task, tmp_path):
    explanation = task.explain(lstm(task), TEXTS, method="attention")
    torch.testing.assert_close(explanation.heat.sum(1), torch.ones(3))
    assert explanation.heat[2, 0] == 1
    explanation.save(tmp_path / "heat.html")
    page = Path(tmp_path / "heat.html").read_text(encoding="utf-8")
    assert all(word in page for word in TEXTS[1].split())


def test_attention_of_a_transformer(task, tmp_path):
    """Fails if padding is attended to, or the maps are not those of the last layer."""
    model = bert(task).eval()
    explanation = task.explain(model, TEXTS, method="attention")
    assert explanation.heat.shape == (3, 4, 4)
    torch.testing.assert_close(explanation.heat.sum(2), torch.ones(3, 4))
    assert explanation.heat[2, :, 1:].max() < 1e-6
    explanation.save(tmp_path / "maps.png")


def test_every_method_draws(task, tmp_path):
    for method in ("saliency", "input_x_gradient", "smooth_grad", "integrated_gradients"):
        explanation = task.explain(lstm(task), TEXTS, method=method)
        explanation.save(tmp_path / f"{method}.png")
        assert explanation.heat.shape == (3, 4)


def test_what_cannot_be_explained(task):
    with pytest.raises(UnknownNameError, match="attention"):
        task.explain(lstm(task), TEXTS, method="grad_cam")
    with pytest.raises(ValueError, match="pooling='attention'"):
        task.explain(lstm(task, "mean"), TEXTS, method="attention")
    with pytest.raises(ValueError, match="no class 'good'"):
        task.explain(lstm(task), TEXTS, target="good")
    with pytest.raises(ValueError, match="leave target and options out"):
        task.explain(lstm(task), TEXTS, method="attention", target="pos")
    with pytest.raises(ValueError, match="leave layer out"):
        task.explain(lstm(task), TEXTS, layer="head")
    with pytest.raises(TypeError, match="`embedding`"):
        token_embedding(nn.Linear(2, 2))
