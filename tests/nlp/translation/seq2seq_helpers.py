"""Tiny models, options and batches for sequence-to-sequence tests."""

from collections.abc import Callable

import torch
from torch import nn

from nlp.translation.decoding import Special
from nlp.translation.pairs import PairDataset
from nlp.translation.rnn import Seq2SeqRNN
from nlp.translation.task import Translation
from nlp.translation.transformer import Transformer

VOCABULARY = 12
SPECIAL = Special(bos=2, eos=3, never=(0, 2))
RECURRENT = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY, "embedding": 6, "hidden": 8}
ATTENTIVE = {
    "source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY, "width": 16, "num_heads": 4, "num_layers": 2,
    "hidden": 24, "max_positions": 40,
}  # fmt: skip
READING = {
    "tokenizer": "character", "target_tokenizer": "whitespace",
    "target_tokenizer_options": {"lowercase": False, "min_frequency": 1}, "test": 0.1,
}  # fmt: skip
QUIET = {"progress": False, "accelerator": "cpu"}
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


def dataset(task: Translation, *lines: str) -> PairDataset:
    sources, targets = zip(*(line.split("\t") for line in lines), strict=True)
    return PairDataset(task.tokenizers, sources, targets)


def batch_of(task: Translation, *lines: str):
    found = dataset(task, *lines)
    return found.collate([found[row] for row in range(len(found))])
