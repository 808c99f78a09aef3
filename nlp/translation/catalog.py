"""The sequence-to-sequence models of the zoo, as data: importing this file imports no torch.

Counts are of the vocabularies that bentrevett's pytorch-seq2seq tutorials have of Multi30k, 7,853 German and 5,893
English tokens, but for `transformer_base` and `seq2seq_luong_large`; a run takes those of its data.
"""

from collections.abc import Mapping
from typing import Any

from nlp.translation.options import PairOptions
from zoo.records import Entry, Paper, TaskEntry

TASK = "nlp/translation"

SUTSKEVER = Paper(
    title="Sequence to sequence learning with neural networks",
    authors="Sutskever, Vinyals and Le",
    year=2014,
    id="arXiv:1409.3215",
)
BAHDANAU = Paper(
    title="Neural machine translation by jointly learning to align and translate",
    authors="Bahdanau, Cho and Bengio",
    year=2014,
    id="arXiv:1409.0473",
)
LUONG = Paper(
    title="Effective approaches to attention-based neural machine translation",
    authors="Luong, Pham and Manning",
    year=2015,
    id="arXiv:1508.04025",
)
VASWANI = Paper(title="Attention is all you need", authors="Vaswani et al.", year=2017, id="arXiv:1706.03762")

MULTI30K: Mapping[str, Any] = {"source_vocabulary": 7853, "target_vocabulary": 5893}
RNN_RECIPE: Mapping[str, Any] = {"optimizer": "adam", "lr": 1e-3, "schedule": "constant"}
# -- Vaswani et al., section 5.3; the rate is 1 / sqrt(512 * 4000), which equation 3 reaches at its top.
BASE_RECIPE: Mapping[str, Any] = {
    "optimizer": "adam",
    "optimizer_options": {"betas": (0.9, 0.98), "eps": 1e-9},
    "lr": 6.987712429686843e-4,
    "schedule": "inverse_square_root",
    "schedule_options": {"rise_steps": 4000},
}
SMALL_RECIPE: Mapping[str, Any] = {
    "optimizer": "adam",
    "optimizer_options": {"betas": (0.9, 0.98), "eps": 1e-9},
    "lr": 1e-3,
    "schedule": "inverse_square_root",
    "schedule_options": {"rise_steps": 800},
}


def _rnn(name: str, num_params: int, summary: str, paper: Paper, **config: Any) -> Entry:
    return Entry(
        name=name,
        task=TASK,
        builder="nlp.translation.rnn:Seq2SeqRNN",
        config={**MULTI30K, **config},
        num_params=num_params,
        summary=summary,
        paper=paper,
        recipe=RNN_RECIPE,
    )


LUONG_CONFIG: Mapping[str, Any] = {
    "attention": "luong_general", "cell": "lstm", "num_layers": 2, "bidirectional": False, "dropout": 0.2
}  # fmt: skip

MODELS: tuple[Entry, ...] = (
    _rnn(
        "seq2seq_rnn", 13898501, "two LSTM layers on each side, the source read from its end; no attention", SUTSKEVER,
        attention="none", cell="lstm", num_layers=2, bidirectional=False, reverse_source=True,
    ),
    _rnn("seq2seq_bahdanau", 20518405, "GRU of both directions, and a GRU decoder with additive attention", BAHDANAU),
    _rnn(
        "seq2seq_luong", 15733509, "two LSTM layers on each side, bilinear attention and input feeding", LUONG,
        **LUONG_CONFIG,
    ),
    _rnn(
        "seq2seq_luong_large", 221114000, "as seq2seq_luong at the paper's size: four layers, 1000 wide, 50,000 words",
        LUONG, **{
            **LUONG_CONFIG, "num_layers": 4, "hidden": 1000, "embedding": 1000, "source_vocabulary": 50000,
            "target_vocabulary": 50000,
        },
    ),
    Entry(
        name="transformer_base",
        task=TASK,
        builder="nlp.translation.transformer:Transformer",
        num_params=63082496,
        summary="the paper's base model: six layers on each side, 512 wide, one vocabulary of 37,000 for all",
        paper=VASWANI,
        preprocessing=PairOptions(
            tokenizer="bpe", tokenizer_options={"vocab_size": 37000}, joint=True, max_length=1024
        ),
        task_options={"label_smoothing": 0.1},
        recipe=BASE_RECIPE,
    ),
    Entry(
        name="transformer_multi30k",
        task=TASK,
        builder="nlp.translation.transformer:Transformer",
        config={
            **MULTI30K, "width": 256, "num_layers": 3, "num_heads": 8, "hidden": 512, "positions": "learned",
            "max_positions": 100, "shared": "none", "inner_dropout": 0.1,
        },
        num_params=9038341,
        summary="small: three layers on each side, 256 wide, learned positions, for data sets such as Multi30k",
        paper=VASWANI,
        preprocessing=PairOptions(max_length=100),
        task_options={"label_smoothing": 0.1},
        recipe=SMALL_RECIPE,
    ),
)  # fmt: skip

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name=TASK,
        builder="nlp.translation.task:Translation",
        reader="nlp.translation.reader:read_pairs",
        summary="one sequence for another: translation, pronunciation of words",
    ),
)
