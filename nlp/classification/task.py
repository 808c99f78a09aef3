"""Text classification: one class for each text.

Shapes: B texts, T tokens of the longest, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from nlp.classification.baselines import tfidf_logistic_regression
from nlp.data.encoding import TextEncoder
from nlp.data.inputs import read_input_texts
from nlp.data.sources import TextBatch, text_batch
from nlp.data.tokenizers import VocabularyTokenizer
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.records import Entry, TextPreprocessing
from zoo.training import Inputs, Item, Prediction, evaluation_mode
from zoo.training.classification import Classification, class_number, logits_of, ranked

if TYPE_CHECKING:
    from zoo.explanation import Explanation

PREDICTED_AT_ONCE = 64  # texts
READS_LAST_PLACE = "XLNet"  # its summary is of the last place, and padding stands there


class TextClassification(Classification):
    """Trains and judges classifiers of texts by cross-entropy.

    Models are called as transformers' are: by `input_ids` and `attention_mask`, both [B, T].

    classes:           names in the order of the outputs.
    encoder:           how texts become token numbers, or what its `to_dict()` gave.
    label_smoothing:   share of the target that is spread over all classes, 0..1.
    class_weights:     one for each class, or None for equal ones.
    embedding_weights: text file of published word vectors, such as GloVe's, for models that take one.
    All others:        see `zoo.training.classification.Classification`.
    """

    name = "nlp/classification"
    recipe: ClassVar[Mapping[str, Any]] = {"clip_norm": 1.0}  # Pascanu et al. 2013, arXiv:1211.5063, section 3.2
    explanation: ClassVar[str] = "integrated_gradients"

    def __init__(
        self,
        *,
        classes: Sequence[str],
        encoder: TextEncoder | Mapping[str, Any],
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        embedding_weights: str | None = None,
        extra_metrics: Sequence[str] = (),
    ) -> None:
        super().__init__(
            classes=classes, label_smoothing=label_smoothing, class_weights=class_weights, extra_metrics=extra_metrics
        )
        self.encoder = TextEncoder(**encoder) if isinstance(encoder, Mapping) else encoder
        self.embedding_weights = embedding_weights

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "TextClassification":
        """The task for the classes and the encoder of a bundle of texts."""
        if bundle.classes is None or not isinstance(bundle.preprocessing, TextEncoder):
            raise DataError(
                "Text classification needs texts with a class each: read them by nlp.data.texts.read_texts."
            )
        return cls(classes=bundle.classes, encoder=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "encoder": self.encoder.to_dict()}

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        """The number of classes, and of tokens where the model's weights do not fix it.

        Raises: DataError for a model whose weights were trained with another tokenizer, or that reads padding.
        """
        if READS_LAST_PLACE in entry.builder:
            raise DataError(f"{entry.name} judges a text by its last place, which is padding in a batch. Take another.")
        arguments: dict[str, Any] = {"num_classes": len(self.classes)}
        tokenizer = self.encoder.tokenizer
        if isinstance(entry.preprocessing, TextPreprocessing):
            if tokenizer.name != "hf":
                raise DataError(
                    f"{entry.name} was trained with the tokenizer {entry.preprocessing.tokenizer}, and these texts "
                    f"were read by {tokenizer.name!r}. Leave the reader's tokenizer out."
                )
            return arguments
        arguments |= {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.pad}
        if self.embedding_weights is not None:
            if not isinstance(tokenizer, VocabularyTokenizer):
                raise DataError(f"Word vectors need the tokenizer 'whitespace', got {tokenizer.name!r}.")
            words = list(tokenizer.vocabulary.tokens)
            arguments |= {"embedding_weights": str(Path(self.embedding_weights).absolute()), "vocabulary": words}
        return arguments

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        return logits_of(model(**call_arguments(inputs)))

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        """Texts as they are, .txt files with a text a line, or tables with a column of texts."""
        texts, names = read_input_texts(items, text_column=self.encoder.text_column)
        return Inputs(rows=texts, names=names)

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, *, top: int = 5) -> list[Prediction]:
        """For each text the most probable class as "label" and "probability", and the `top` ones.

        inputs: texts, or one text.
        """
        texts = _texts(inputs)
        rows = self.encoder.encode(texts)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # like lengths together: less padding
        probs = torch.empty(len(rows), len(self.classes))  # [B, C]
        with evaluation_mode(model):
            for first in range(0, len(order), PREDICTED_AT_ONCE):
                chosen = order[first : first + PREDICTED_AT_ONCE]
                arguments = self._batch([rows[row] for row in chosen], model)
                probs[chosen] = logits_of(model(**arguments)).float().softmax(1).cpu()
        return ranked(probs, self.classes, top=top)

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "integrated_gradients",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Heat over the tokens of texts: a gradient method on their vectors, or "attention"."""
        from nlp.classification.explaining import explain_tokens

        if layer is not None:
            raise ValueError("Texts are explained at the layer of their tokens' vectors: leave layer out.")
        texts = _texts(inputs)
        return explain_tokens(
            model, self._batch(self.encoder.encode(texts), model), [self.encoder.tokens(text) for text in texts],
            method=method, pad=self.encoder.tokenizer.pad, target=class_number(target, self.classes),
            labels=self.classes, options=options,
        )  # fmt: skip

    def _batch(self, rows: Sequence[Sequence[int]], model: nn.Module) -> dict[str, Tensor]:
        """What the model is called with for rows of token numbers."""
        device = next(model.parameters()).device
        batch = text_batch(rows, self.encoder.tokenizer.pad)
        return call_arguments(TextBatch(batch.ids.to(device), batch.mask.to(device)))

    def reading(self) -> dict[str, Any]:
        """The classes and the tokenizer, so that other texts are read as those trained on."""
        return {
            "classes": list(self.classes),
            "tokenizer": self.encoder.tokenizer.to_dict(),
            "tokenizer_options": {},
            "max_length": self.encoder.max_length,
        }

    def check_bundle(self, bundle: Bundle) -> None:
        """Raises DataError for other classes, or texts that were encoded otherwise."""
        super().check_bundle(bundle)
        other = bundle.preprocessing
        if not isinstance(other, TextEncoder) or other.tokenizer.to_dict() != self.encoder.tokenizer.to_dict():
            raise DataError(
                "These texts were encoded by another tokenizer than those trained on. Give their path, or read them "
                "by read_texts(path, **task.reading())."
            )

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        return {"tfidf_logistic_regression": partial(tfidf_logistic_regression, metrics=self.metrics)}


def call_arguments(texts: TextBatch) -> dict[str, Tensor]:
    """What a classifier of texts is called with."""
    return {"input_ids": texts.ids, "attention_mask": texts.mask.long()}


def _texts(inputs: Any) -> list[str]:
    """One text or several, as a list.

    Raises: DataError for anything else.
    """
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f"Expected texts, or files of them, got {type(inputs).__name__}.")
    return list(texts)
