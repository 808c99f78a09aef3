"""Text classification: one class for each text.

Shapes: B texts, T tokens of the longest, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from nlp.classification.baselines import tfidf_logistic_regression
from nlp.data.encoding import TextEncoder
from nlp.data.inputs import read_input_texts
from nlp.data.sources import TextBatch, text_batch
from nlp.data.tokenizers import VocabularyTokenizer
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.losses import make_loss
from zoo.metrics import Metric, make_metric
from zoo.records import Entry, TextPreprocessing
from zoo.training import Batch, Inputs, Item, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

PREDICTED_AT_ONCE = 64  # texts
READS_LAST_PLACE = "XLNet"  # its summary is of the last place, and padding stands there


class TextClassification(Task):
    """Trains and judges classifiers of texts by cross-entropy.

    Models are called as transformers' are: by `input_ids` and `attention_mask`, both [B, T].

    classes:           names in the order of the outputs.
    encoder:           how texts become token numbers, or what its `to_dict()` gave.
    label_smoothing:   share of the target that is spread over all classes, 0..1.
    class_weights:     one for each class, or None for equal ones.
    embedding_weights: text file of published word vectors, such as GloVe's, for models that take one.
    """

    name = "nlp/classification"
    monitor = "accuracy"
    mode: Literal["min", "max"] = "max"
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
    ) -> None:
        if len(classes) < 2:
            raise DataError(f"Classification needs two classes or more, got {list(classes)}.")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is a share in [0, 1]; got {label_smoothing}.")
        if class_weights is not None:
            _check_class_weights(class_weights, len(classes))
        self.classes = tuple(classes)
        self.encoder = TextEncoder(**encoder) if isinstance(encoder, Mapping) else encoder
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tuple(class_weights)
        self.embedding_weights = embedding_weights
        self._weights = None if class_weights is None else torch.tensor(self.class_weights)
        self._loss = make_loss("cross_entropy", label_smoothing=label_smoothing, class_weights=self.class_weights)

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "TextClassification":
        """The task for the classes and the encoder of a bundle of texts."""
        if bundle.classes is None or not isinstance(bundle.preprocessing, TextEncoder):
            raise DataError(
                "Text classification needs texts with a class each: read them by nlp.data.texts.read_texts."
            )
        return cls(classes=bundle.classes, encoder=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "encoder": self.encoder.to_dict(),
            "label_smoothing": self.label_smoothing,
            "class_weights": None if self.class_weights is None else list(self.class_weights),
        }

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

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        texts, targets = batch
        logits = logits_of(model(**call_arguments(texts)))
        return {
            "loss": self._loss(logits, targets),
            "accuracy": (logits.argmax(1) == targets).mean(dtype=torch.float32),
        }

    def rows(self, batch: Batch) -> int:
        return len(batch[1])

    def mean_weight(self, batch: Batch) -> float | Tensor:
        if self._weights is None:
            return len(batch[1])
        self._weights = self._weights.to(batch[1].device)  # once; each copy would make the device wait
        return self._weights[batch[1]].sum()

    def metrics(self) -> dict[str, Metric]:
        num_classes = len(self.classes)
        metrics = {
            "accuracy": make_metric("accuracy"),
            "loss": make_metric("log_loss"),
            "precision": make_metric("precision", num_classes=num_classes),
            "recall": make_metric("recall", num_classes=num_classes),
            "f1": make_metric("f1", num_classes=num_classes),
            "confusion_matrix": make_metric("confusion_matrix", num_classes=num_classes),
        }
        if num_classes > 5:
            metrics["top5"] = make_metric("top5")
        return metrics

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        texts, targets = batch
        return logits_of(model(**call_arguments(texts))).float(), targets

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
        best = probs.topk(min(top, len(self.classes)), dim=1)
        predictions = []
        for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            ranked = [{"label": self.classes[i], "probability": p} for p, i in zip(values, indices, strict=True)]
            predictions.append({**ranked[0], "top": ranked})
        return predictions

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
        if isinstance(target, str):
            if target not in self.classes:
                raise ValueError(f"There is no class {target!r}; expected one of {', '.join(self.classes)}.")
            target = self.classes.index(target)
        texts = _texts(inputs)
        return explain_tokens(
            model, self._batch(self.encoder.encode(texts), model), [self.encoder.tokens(text) for text in texts],
            method=method, pad=self.encoder.tokenizer.pad, target=target, labels=self.classes, options=options,
        )  # fmt: skip

    def _batch(self, rows: Sequence[Sequence[int]], model: nn.Module) -> dict[str, Tensor]:
        """What the model is called with for rows of token numbers."""
        device = next(model.parameters()).device
        batch = text_batch(rows, self.encoder.tokenizer.pad)
        return call_arguments(TextBatch(batch.ids.to(device), batch.mask.to(device)))

    def figures(self, metrics: Mapping[str, Metric]) -> dict[str, "Figure"]:
        from zoo.metrics.pictures import confusion_figure

        matrix = metrics["confusion_matrix"].compute()
        assert isinstance(matrix, Tensor)
        return {"confusion": confusion_figure(matrix, self.classes)}

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


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] in whatever a classifier returns: a tensor, or a library's output."""
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(f"A classifier must return logits [B, C]; this one returned {type(output).__name__}.")
    return logits


def _texts(inputs: Any) -> list[str]:
    """One text or several, as a list.

    Raises: DataError for anything else.
    """
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f"Expected texts, or files of them, got {type(inputs).__name__}.")
    return list(texts)


def _check_class_weights(weights: Any, num_classes: int) -> None:
    """Raises ValueError unless there is a number from 0 up for each class, and one above 0."""
    numbers = isinstance(weights, Sequence) and all(isinstance(weight, int | float) for weight in weights)
    if not numbers or len(weights) != num_classes:
        raise ValueError(f"{num_classes} classes need as many numbers as class_weights, got {weights!r}.")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"class_weights must be finite, not negative and not all 0, got {list(weights)}.")
