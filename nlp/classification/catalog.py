"""Text classifiers, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry

LSTM = Paper(
    title="Long short-term memory",
    authors="Hochreiter and Schmidhuber",
    year=1997,
    id="doi:10.1162/neco.1997.9.8.1735",
)
GRU = Paper(
    title="Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    authors="Cho et al.",
    year=2014,
    id="arXiv:1406.1078",
)
ATTENTION = Paper(
    title="Hierarchical attention networks for document classification",
    authors="Yang et al.",
    year=2016,
    id="doi:10.18653/v1/N16-1174",
)


def _classifier(name: str, paper: Paper, num_params: int, summary: str, **config: str) -> Entry:
    return Entry(
        name=name,
        task="nlp/classification",
        builder="nlp.classification.recurrent:RecurrentClassifier",
        summary=summary,
        paper=paper,
        num_params=num_params,
        config=config,
        weight_arguments={"embedding_weights": None},
    )


MODELS: tuple[Entry, ...] = (
    _classifier(
        "lstm_classifier", LSTM, 7_446_002, "Bidirectional LSTM over 20,000 words; its last states", cell="lstm"
    ),
    _classifier("gru_classifier", GRU, 7_084_802, "Bidirectional GRU over 20,000 words; its last states", cell="gru"),
    _classifier(
        "lstm_attention_classifier", ATTENTION, 7_807_202,
        "Bidirectional LSTM whose states are averaged with learned weights", cell="lstm", pooling="attention",
    ),
)  # fmt: skip

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="nlp/classification",
        builder="nlp.classification.task:TextClassification",
        reader="nlp.data.texts:read_texts",
        summary="One class for each text, from a table with texts and labels or a folder with a sub-folder per class.",
    ),
)
