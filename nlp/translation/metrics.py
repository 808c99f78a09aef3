"""How good decoded sequences are: token loss, BLEU, chrF, exact matches, phoneme and word error rates.

Source: token loss and perplexity, BLEU and chrF are those of zoo.metrics, of a decoder's batches; edit distance from
  Levenshtein 1966; of several right answers the closest counts, as in Yao and Zweig 2015, arXiv:1506.00196, section
  4.1.
Differs from the papers: nothing known.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from zoo.metrics import text as text_metrics
from zoo.metrics import tokens as token_metrics
from zoo.metrics.base import undefined

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


class TokenLoss(token_metrics.TokenLoss):
    """Mean negative log-likelihood of a target token given those before it, in nats."""

    def update(self, outputs: Decoded, target: References) -> None:  # type: ignore[override]
        self.add(outputs.nats, outputs.tokens)


class Perplexity(TokenLoss, token_metrics.Perplexity):
    """The exponential of the token loss: between how many equally likely tokens the model chooses."""


class TextMetric(text_metrics.TextMetric):
    """A metric of decoded texts against their right answers; `items` are pairs of these."""

    def update(self, outputs: Decoded, target: References) -> None:  # type: ignore[override]
        if outputs.texts is None:
            raise ValueError(f"{type(self).__name__} needs decoded texts, and none were decoded.")
        super().update(outputs.texts, target)


class BLEU(TextMetric, text_metrics.BLEU):
    """Corpus BLEU of decoded texts, 0..100."""


class ChrF(TextMetric, text_metrics.ChrF):
    """Corpus chrF2 of decoded texts, 0..100."""


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
