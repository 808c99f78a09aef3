"""Fixtures of sequence-to-sequence tests: tiny models, a batch, a corpus and its task."""

import random
from pathlib import Path

import pytest
import torch
from seq2seq_helpers import MODELS, READING, SPECIAL, VOCABULARY, build
from torch import nn

from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.task import Translation
from zoo.data import load_data


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


@pytest.fixture
def task(corpus) -> Translation:
    return Translation.from_bundle(load_data(corpus, task="nlp/translation", **READING))
