"""Tiny models, batches and corpora for sequence-to-sequence tests."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.decoding import Special
from nlp.translation.rnn import Seq2SeqRNN
from nlp.translation.transformer import Transformer

VOCABULARY = 12
SPECIAL = Special(bos=2, eos=3, never=(0, 2))
RECURRENT = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY, "embedding": 6, "hidden": 8}
ATTENTIVE = {
    "source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY, "width": 16, "num_heads": 4, "num_layers": 2,
    "hidden": 24, "max_positions": 40,
}  # fmt: skip
MODELS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: Seq2SeqRNN(
        **RECURRENT, attention="none", cell="lstm", num_layers=2, bidirectional=False, reverse_source=True
    ),
    "bahdanau": lambda: Seq2SeqRNN(**RECURRENT),
    "luong_dot": lambda: Seq2SeqRNN(**RECURRENT, attention="luong_dot", cell="lstm", bidirectional=False, num_layers=2),
    "luong_general": lambda: Seq2SeqRNN(**RECURRENT, attention="luong_general", input_feeding=False),
    "luong_concat": lambda: Seq2SeqRNN(**RECURRENT, attention="luong_concat"),
    "post_norm": lambda: Transformer(**ATTENTIVE),
    "pre_norm": lambda: Transformer(**ATTENTIVE, norm="pre", positions="learned", shared="none"),
}


def build(name: str, *, sharpness: float = 3.0) -> nn.Module:
    """The model in float64 with larger weights than it starts with, so that its answers differ from token to token."""
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(sharpness if parameter.std() > 0.05 else sharpness / 0.03)
    return model


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@pytest.fixture
def batch() -> Seq2SeqBatch:
    """Four sentences of 6, 2, 4 and 1 tokens, and targets of 5, 5, 2 and 3."""
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(4, VOCABULARY, (4, 6), generator=generator)
    target = torch.randint(4, VOCABULARY, (4, 5), generator=generator)
    target[:, 0] = SPECIAL.bos
    source_mask = torch.arange(6) < torch.tensor([6, 2, 4, 1])[:, None]
    target_mask = torch.arange(5) < torch.tensor([5, 5, 2, 3])[:, None]
    return Seq2SeqBatch(source * source_mask, source_mask, target * target_mask, target_mask)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 240 "words" and their letters in capitals with spaces between: easy to learn."""
    generator = random.Random(0)
    folder = tmp_path_factory.mktemp("corpus")
    words = sorted({"".join(generator.choices("abcde", k=generator.randint(1, 4))) for _ in range(400)})[:240]
    lines = [f"{word}\t{' '.join(word.upper())}" for word in words]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "pairs.tsv"
