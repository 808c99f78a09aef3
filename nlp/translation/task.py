"""Translation, and all else that makes one sequence of another: pronunciations of words, for instance.

Shapes: B sentences, S source tokens, T target tokens, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from nlp.data.parallel import is_table, read_lines
from nlp.translation.generation import Decoder, logits_of
from nlp.translation.metrics import (
    BLEU,
    ChrF,
    Decoded,
    ExactMatch,
    Perplexity,
    PhonemeErrorRate,
    TokenLoss,
    WordErrorRate,
)
from nlp.translation.pairs import IGNORED, PairTokenizers
from zoo.data import Bundle
from zoo.errors import DataError, check_name
from zoo.losses import cross_entropy
from zoo.records import Entry, TextPreprocessing
from zoo.training import Batch, Inputs, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from zoo.explanation import Explanation

MetricName = Literal["bleu", "chrf", "exact_match", "phoneme_error_rate", "loss"]
SHOWN = 60  # characters of a sentence that name it
TEXT_SUFFIXES = (".txt", ".gz", ".tsv", ".csv")  # of what is meant as a file, where nothing is there by its name


class Translation(Task):
    """Trains and judges models that give a target sequence for a source, by the loss of each next token.

    tokenizers:           of both sides, or what their `to_dict` gave.
    metric:               by which the best weights are chosen: "bleu", "chrf" or "exact_match" of decoded sentences;
                          "phoneme_error_rate" for pronunciations; "loss", which decodes nothing and so is fast.
    label_smoothing:      share of the target that is spread over the vocabulary, 0..1.
    beam_size:            hypotheses kept in `predict`; 1 takes the likeliest token at each place.
    evaluation_beam_size: the same while judging.
    length_penalty:       alpha of the beam search's, 0 for none.
    max_length_ratio:     most target tokens for each source token, beside `max_length_extra` more.
    bleu_lowercase:       whether BLEU and chrF ignore case; bleu_tokenize: sacrebleu's tokenizer for BLEU. The right
                          answers are written as the target's tokenizer writes them, "t - shirt" by "whitespace".
    """

    name = "nlp/translation"
    recipe: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adam", "lr": 5e-4, "weight_decay": 0.0, "clip_norm": 1.0, "batch_size": 128
    }  # fmt: skip
    explanation: ClassVar[str] = "attention"

    def __init__(
        self,
        *,
        tokenizers: PairTokenizers | Mapping[str, Any],
        metric: MetricName = "bleu",
        label_smoothing: float = 0.0,
        beam_size: int = 5,
        evaluation_beam_size: int = 1,
        length_penalty: float = 0.6,
        max_length_ratio: float = 2.0,
        max_length_extra: int = 10,
        bleu_lowercase: bool = True,
        bleu_tokenize: str = "13a",
    ) -> None:
        check_name("metric", metric, get_args(MetricName))
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is a share in [0, 1]; got {label_smoothing}.")
        if min(beam_size, evaluation_beam_size) < 1:
            raise ValueError(f"Beam sizes must be 1 or more, got {beam_size} and {evaluation_beam_size}.")
        if max_length_ratio <= 0 or max_length_extra < 1:
            raise ValueError("max_length_ratio must be above 0, and max_length_extra 1 or more.")
        self.tokenizers = tokenizers if isinstance(tokenizers, PairTokenizers) else PairTokenizers.from_dict(tokenizers)
        self.metric: MetricName = metric
        self.monitor = metric
        self.mode = "min" if metric in ("phoneme_error_rate", "loss") else "max"
        self.label_smoothing = label_smoothing
        self.beam_size = beam_size
        self.evaluation_beam_size = evaluation_beam_size
        self.length_penalty = length_penalty
        self.max_length_ratio = max_length_ratio
        self.max_length_extra = max_length_extra
        self.bleu_lowercase = bleu_lowercase
        self.bleu_tokenize = bleu_tokenize
        self.decoder = Decoder(self.tokenizers, length_penalty, max_length_ratio, max_length_extra)

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "Translation":
        """The task for the tokenizers of a bundle that `read_pairs` made."""
        if not isinstance(bundle.preprocessing, PairTokenizers):
            raise DataError(
                "Translation needs sentence pairs with their tokenizers: read them by "
                "zoo.data.load_data(path, task='nlp/translation')."
            )
        return cls(tokenizers=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return {
            "tokenizers": self.tokenizers.to_dict(),
            "metric": self.metric,
            "label_smoothing": self.label_smoothing,
            "beam_size": self.beam_size,
            "evaluation_beam_size": self.evaluation_beam_size,
            "length_penalty": self.length_penalty,
            "max_length_ratio": self.max_length_ratio,
            "max_length_extra": self.max_length_extra,
            "bleu_lowercase": self.bleu_lowercase,
            "bleu_tokenize": self.bleu_tokenize,
        }

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        if ":" in entry.name:  # a library's model comes with its own vocabulary
            if not isinstance(entry.preprocessing, TextPreprocessing):
                raise DataError(f"{entry.name} comes without a tokenizer: name a folder or repository that has one.")
            if self.tokenizers.source.name != "hf":
                raise DataError(
                    f"{entry.name} was trained with the tokenizer {entry.preprocessing.tokenizer}, and these pairs "
                    f"were read by {self.tokenizers.source.name!r}. Leave the reader's tokenizer out."
                )
            return {}
        return {
            "source_vocabulary": self.tokenizers.source.vocab_size,
            "target_vocabulary": self.tokenizers.target.vocab_size,
        }

    def reading(self) -> dict[str, Any]:
        made = self.tokenizers.to_dict()
        options: dict[str, Any] = {"tokenizer": made["source"], "tokenizer_options": None, "target_path": None}
        return {**options, "target_tokenizer": made["target"], "target_tokenizer_options": None}

    def check_bundle(self, bundle: Bundle) -> None:
        """Raises DataError for pairs whose tokens have other numbers."""
        super().check_bundle(bundle)
        own, other = self.tokenizers, bundle.preprocessing
        if not isinstance(other, PairTokenizers) or any(
            getattr(other, side).to_dict() != getattr(own, side).to_dict() for side in ("source", "target")
        ):
            raise DataError(
                "These pairs were read by other tokenizers than those trained on. Give their path, or read them by "
                "read_pairs(path, **task.reading())."
            )

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        logits = logits_of(model, batch)
        loss = cross_entropy(
            logits.flatten(0, 1), batch[1].flatten(), label_smoothing=self.label_smoothing, ignore_index=IGNORED
        )
        return {"loss": loss}

    def rows(self, batch: Batch) -> int:
        return len(batch[1])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        return (batch[1] != IGNORED).sum()

    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = {"loss": TokenLoss(), "perplexity": Perplexity()}
        if self.metric == "phoneme_error_rate":
            return {**found, "phoneme_error_rate": PhonemeErrorRate(), "word_error_rate": WordErrorRate()}
        if self.metric != "loss":
            found["bleu"] = BLEU(lowercase=self.bleu_lowercase, tokenize=self.bleu_tokenize)
            found["chrf"] = ChrF(lowercase=self.bleu_lowercase)
            found["exact_match"] = ExactMatch()
        return found

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Decoded, Any]:
        pairs, targets, references = batch
        nats = cross_entropy(
            logits_of(model, batch).flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED
        )
        texts = None
        if self.metric != "loss":
            found = self.decoder.decode(model, pairs.source, pairs.source_mask, beam_size=self.evaluation_beam_size)
            texts = [self.decoder.text(hypothesis) for hypothesis in found]
        return Decoded(texts, nats, (targets != IGNORED).sum()), references

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Sequence[str]) -> list[Prediction]:
        """For each sentence its translation as "text", the "tokens" of that, and the "score" they were chosen by."""
        with evaluation_mode(model):
            found = self.decoder.decode_texts(model, _texts(inputs), beam_size=self.beam_size)
        return [
            {
                "text": self.decoder.text(hypothesis),
                "tokens": self.decoder.tokens(hypothesis.tokens),
                "score": hypothesis.score,
            }
            for hypothesis in found
        ]

    def describe(self, prediction: Prediction) -> str:
        return f"{prediction['text']}  (score {prediction['score']:.3f})"

    def read_inputs(self, items: Sequence[str | Path]) -> Inputs:
        rows: list[str] = []
        names: list[str] = []
        for item in items:
            if not _is_file(item):
                text = str(item)
                rows.append(text)
                names.append(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")
                continue
            if is_table(Path(item)):
                raise DataError(f"{item} is a table. Give a text file with a source on each line, or the sources.")
            for number, line in enumerate(read_lines(Path(item)), 1):
                if line.strip():
                    rows.append(line.strip())
                    names.append(f"{Path(item).name}:{number}")
        return Inputs(rows=_texts(rows), names=names)

    def explain(
        self,
        model: nn.Module,
        inputs: Sequence[str],
        *,
        method: str = "attention",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Where the model looked ("attention"), or which source tokens speak for the output (gradient methods).

        target: the output to be explained, one text for each input or one for all; None takes the model's own.
        """
        from nlp.translation.explaining import explain_sequences

        return explain_sequences(
            model, self.decoder, _texts(inputs), method=method, target=target, layer=layer, options=options
        )


def _texts(inputs: Any) -> list[str]:
    """The inputs as a list of sentences.

    Raises: DataError for anything else, and for one that is empty.
    """
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise DataError(f"Expected sentences, got {type(text).__name__} as number {number}.")
        if not text.strip():
            raise DataError(f"Sentence {number} is empty.")
    if not texts:
        raise DataError("There is no sentence to read: the inputs are empty.")
    return texts


def _is_file(item: str | Path) -> bool:
    """Whether an item names a file of sentences, and is no sentence itself.

    Raises: DataError for the name of a file that is not there.
    """
    try:
        there = Path(item).is_file()
    except (OSError, ValueError):  # a sentence too long to be a path, or with a character that no path has
        there = False
    named = isinstance(item, Path) or (item.lower().endswith(TEXT_SUFFIXES) and " " not in item)
    if named and not there:
        raise DataError(f"There is no file {item} of sentences. Give a sentence, or a text file with one on each line.")
    return there
