"""How good decoded sequences are: token loss, BLEU, chrF, exact matches, phoneme and word error rates.

Source: BLEU from Papineni et al. 2002, doi:10.3115/1073083.1073135, and chrF from Popovic 2015,
  doi:10.18653/v1/W15-3049, both as sacrebleu computes them (Post 2018, arXiv:1804.08771), whose signature is logged;
  edit distance from Levenshtein 1966; of several right answers the closest counts, as in Yao and Zweig 2015,
  arXiv:1506.00196, section 4.1.
Differs from the papers: nothing known.
"""

import functools
import logging
import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.metrics import ListMetric, Metric
from zoo.metrics.base import undefined

logger = logging.getLogger(__name__)

# -- The right answers of each row: one text or several.
References = Sequence[Sequence[str]]


class Decoded(NamedTuple):
    """What metrics need of a batch.

    texts:  decoded [B]; None where nothing was decoded.
    nats:   sum of the negative log-likelihood of the target's tokens, []; tokens: their number, [].
    """

    texts: list[str] | None
    nats: Tensor
    tokens: Tensor


class TokenLoss(Metric):
    """Mean negative log-likelihood of a target token given those before it, in nats."""

    higher_is_better = False

    def __init__(self) -> None:
        zero = torch.zeros((), dtype=torch.float64)
        super().__init__({"nats": zero, "tokens": zero.clone()})

    def update(self, outputs: Decoded, target: References) -> None:  # type: ignore[override]
        sums = self._open(outputs.nats.device)
        sums["nats"].add_(outputs.nats)
        sums["tokens"].add_(outputs.tokens)

    def compute(self) -> float:
        tokens = self._sums["tokens"].item()
        return self._sums["nats"].item() / tokens if tokens else undefined(self, "no token was seen")


class Perplexity(TokenLoss):
    """The exponential of the token loss: between how many equally likely tokens the model chooses."""

    def compute(self) -> float:
        loss = super().compute()
        return math.inf if loss > 700 else math.exp(loss)  # float64 ends at exp(709)


class TextMetric(ListMetric):
    """A metric of decoded texts against their right answers; `items` are pairs of these."""

    items: list[tuple[str, tuple[str, ...]]]

    def update(self, outputs: Decoded, target: References) -> None:
        if outputs.texts is None:
            raise ValueError(f"{type(self).__name__} needs decoded texts, and none were decoded.")
        self.items += [(text, tuple(answers)) for text, answers in zip(outputs.texts, target, strict=True)]

    def compute(self) -> float:
        """The value over all items."""
        return self._value() if self.items else undefined(self, "no text was seen")

    def _value(self) -> float:
        raise NotImplementedError


class SacreMetric(TextMetric):
    """A corpus score of sacrebleu, 0..100; its signature is logged once."""

    higher_is_better = True

    def _library(self) -> Any:
        raise NotImplementedError

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


class ExactMatch(TextMetric):
    """Share of texts that are one of their right answers, 0..1."""

    higher_is_better = True

    def _value(self) -> float:
        return sum(text in answers for text, answers in self.items) / len(self.items)


class WordErrorRate(ExactMatch):
    """Share of words whose transcription is none of the right ones, 0..1: one word is one row here."""

    higher_is_better = False

    def _value(self) -> float:
        return 1 - super()._value()


class PhonemeErrorRate(TextMetric):
    """Edits that make the transcriptions right, over the phonemes of the right ones; 0 is best, above 1 is possible.

    Phonemes stand between spaces. Of several right answers that with the fewest edits for its length counts.
    """

    higher_is_better = False

    def _value(self) -> float:
        edits, length = 0, 0
        for text, answers in self.items:
            found = text.split()
            candidates = [(edit_distance(found, right), len(right)) for right in (answer.split() for answer in answers)]
            best = min(candidates, key=lambda pair: pair[0] / max(pair[1], 1))
            edits, length = edits + best[0], length + best[1]
        return edits / length if length else undefined(self, "the right answers are empty")


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The fewest insertions, deletions and substitutions of items that make `one` into `other`."""
    if one == other:
        return 0
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, 1):
        diagonal, row[0] = row[0], number
        for place, right in enumerate(other, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (left != right))
    return row[-1]


@functools.cache
def tell_signature(metric: str, signature: str) -> None:
    """Logs the signature of one of sacrebleu's metrics the first time that it is met."""
    logger.info("%s by sacrebleu, signature %s", metric, signature)
