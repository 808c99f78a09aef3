"""How good produced texts are beside right ones: BLEU, chrF, word and character error rates.

Source: BLEU from Papineni et al. 2002, doi:10.3115/1073083.1073135, and chrF from Popovic 2015,
  doi:10.18653/v1/W15-3049, both as sacrebleu computes them (Post 2018, arXiv:1804.08771), whose signature is logged;
  error rates from the edit distance of Levenshtein 1966, Soviet Physics Doklady 10(8), as jiwer counts it.
Differs from the papers: nothing known.
"""

import functools
import logging
from abc import abstractmethod
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch

from zoo.metrics.base import ListMetric, Metric, undefined

logger = logging.getLogger(__name__)


class TextMetric(ListMetric):
    """A metric of texts against their right answers; all of them are kept. `items` are pairs of these."""

    items: list[tuple[str, tuple[str, ...]]]

    def update(self, outputs: Sequence[str], target: Sequence[Sequence[str]]) -> None:
        """Adds texts, and for each of them its right answer, or a sequence of several."""
        check_texts(outputs, target)
        several = [(answers,) if isinstance(answers, str) else tuple(answers) for answers in target]
        if not all(several):
            raise ValueError("Each text needs a right answer or more; one has none.")
        self.items += list(zip(outputs, several, strict=True))

    def compute(self) -> float:
        return self._value() if self.items else undefined(self, "no text was seen")

    @abstractmethod
    def _value(self) -> float:
        """The value over all items, of which there are some."""


class SacreMetric(TextMetric):
    """A corpus score of sacrebleu, 0..100; its signature is logged once."""

    higher_is_better = True

    @abstractmethod
    def _library(self) -> Any:
        """What computes it."""

    def _value(self) -> float:
        library = self._library()
        texts, answers = zip(*self.items, strict=True)
        score = float(library.corpus_score(list(texts), [list(stream) for stream in zip_longest(*answers)]).score)
        tell_signature(type(self).__name__, str(library.get_signature()))
        return score

    def signature(self) -> str:
        """What sacrebleu was told, in its own form; known once something was scored."""
        library = self._library()
        texts, answers = zip(*(self.items or [("", ("",))]), strict=True)
        library.corpus_score(list(texts), [list(stream) for stream in zip_longest(*answers)])
        return str(library.get_signature())


class BLEU(SacreMetric):
    """Corpus BLEU, of texts and right answers as they come: those of a word tokenizer have spaces around their marks.

    lowercase: whether case is ignored; tokenize: sacrebleu's tokenizer, "13a" by default there.
    """

    def __init__(self, *, lowercase: bool = True, tokenize: str = "13a") -> None:
        super().__init__()
        self.lowercase = lowercase
        self.tokenize = tokenize

    def _library(self) -> Any:
        from sacrebleu.metrics import BLEU as Library  # noqa: N811

        # force: no warning of spaces before full stops, which the right answers have too
        return Library(lowercase=self.lowercase, tokenize=self.tokenize, force=True)


class ChrF(SacreMetric):
    """Corpus chrF2: F-score of character n-grams up to 6."""

    def __init__(self, *, lowercase: bool = True) -> None:
        super().__init__()
        self.lowercase = lowercase

    def _library(self) -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF(lowercase=self.lowercase)


class ErrorRate(Metric):
    """Edits that make all texts right, over the length of all right ones; 0 is best, above 1 is possible.

    Texts are judged as they come: whoever ignores case or marks takes them off both sides first. Only counts are kept.
    """

    higher_is_better = False

    def __init__(self) -> None:
        zero = torch.zeros((), dtype=torch.int64)
        super().__init__({"edits": zero, "length": zero.clone()})

    def update(self, outputs: Sequence[str], target: Sequence[str]) -> None:  # type: ignore[override]
        """Adds texts beside right ones, one for each."""
        check_texts(outputs, target)
        if not all(isinstance(right, str) for right in target):
            raise TypeError(f"{type(self).__name__} takes one right text for each; got several.")
        sums = self._open(torch.device("cpu"))
        if outputs:
            edits, length = self._counts(list(outputs), list(target))
            sums["edits"].add_(edits)
            sums["length"].add_(length)
        self._count += len(outputs)

    def compute(self) -> float:
        length = int(self._sums["length"])
        if not length:
            return undefined(self, "the right texts are empty" if self._count else "no text was seen")
        return int(self._sums["edits"]) / length

    @abstractmethod
    def _counts(self, texts: list[str], right: list[str]) -> tuple[int, int]:
        """Edits, and the length of the right texts."""


class WER(ErrorRate):
    """Word error rate: substituted, left out and added words, over the words of the right texts."""

    def _counts(self, texts: list[str], right: list[str]) -> tuple[int, int]:
        from jiwer import process_words

        return _totals(process_words(right, texts))


class CER(ErrorRate):
    """Character error rate: substituted, left out and added characters, spaces too, over those of the right texts."""

    def _counts(self, texts: list[str], right: list[str]) -> tuple[int, int]:
        from jiwer import process_characters

        return _totals(process_characters(right, texts))


def check_texts(outputs: Sequence[str], target: Sequence[Any]) -> None:
    """Raises TypeError or ValueError unless both are sequences, of texts and right ones, equally long.

    A single text would pass for one of its characters.
    """
    if isinstance(outputs, str) or isinstance(target, str) or not all(isinstance(text, str) for text in outputs):
        raise TypeError('A sequence of texts is needed on both sides, such as ["a text"].')
    if len(outputs) != len(target):
        raise ValueError(f"{len(outputs)} texts need as many right ones; got {len(target)}.")


@functools.cache
def tell_signature(metric: str, signature: str) -> None:
    """Logs the signature of one of sacrebleu's metrics the first time that it is met."""
    logger.info("%s by sacrebleu, signature %s", metric, signature)


def bleu(
    outputs: Sequence[str], target: Sequence[Sequence[str]], *, lowercase: bool = True, tokenize: str = "13a"
) -> float:
    """`BLEU` of one batch."""
    metric = BLEU(lowercase=lowercase, tokenize=tokenize)
    metric.update(outputs, target)
    return metric.compute()


def chrf(outputs: Sequence[str], target: Sequence[Sequence[str]], *, lowercase: bool = True) -> float:
    """`ChrF` of one batch."""
    metric = ChrF(lowercase=lowercase)
    metric.update(outputs, target)
    return metric.compute()


def wer(outputs: Sequence[str], target: Sequence[str]) -> float:
    """`WER` of one batch."""
    metric = WER()
    metric.update(outputs, target)
    return metric.compute()


def cer(outputs: Sequence[str], target: Sequence[str]) -> float:
    """`CER` of one batch."""
    metric = CER()
    metric.update(outputs, target)
    return metric.compute()


def _totals(found: Any) -> tuple[int, int]:
    edits = found.substitutions + found.deletions + found.insertions
    return edits, found.hits + found.substitutions + found.deletions
